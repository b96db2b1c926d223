//! One statement with its values. Unlike `diesel::sql_query`, it is prepared once a connection and kept.

use std::borrow::Cow;
use std::marker::PhantomData;

use diesel::QueryResult;
use diesel::RunQueryDsl;
use diesel::backend::Backend;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::serialize::ToSql;
use diesel::sql_types::{BigInt, HasSqlType, Nullable, Text};
use diesel::sqlite::SqliteConnection;

/// SQL text with its values; `ST` is the SQL type of the rows that it returns, `()` when it returns none.
#[derive(Debug)]
pub(super) struct Statement<'a, ST = ()> {
    sql: &'a str,
    values: Vec<Value<'a>>,
    /// True if preparing it does not pay, because it is rarely used.
    is_rare: bool,
    returns: PhantomData<fn() -> ST>,
}

#[derive(Debug)]
enum Value<'a> {
    Text(Option<Cow<'a, str>>),
    Integer(i64),
}

/// A statement whose `?1`, `?2`, … stand for the values bound first, second, …, each as often as it likes, and `?0` for a
/// question mark.
pub(super) fn statement<ST>(sql: &str) -> Statement<'_, ST> {
    Statement { sql, values: Vec::new(), is_rare: false, returns: PhantomData }
}

impl<'a, ST> Statement<'a, ST> {
    /// Binds the next parameter to a text.
    pub(super) fn text(mut self, text: impl Into<Cow<'a, str>>) -> Self {
        self.values.push(Value::Text(Some(text.into())));
        self
    }

    /// Binds the next parameter to a text or NULL.
    pub(super) fn maybe(mut self, text: Option<&'a str>) -> Self {
        self.values.push(Value::Text(text.map(Cow::Borrowed)));
        self
    }

    /// Binds the next parameter to a number.
    pub(super) fn int(mut self, number: i64) -> Self {
        self.values.push(Value::Integer(number));
        self
    }

    /// Keeps the statement from being cached on the connection: there are too many like it.
    pub(super) fn once(mut self) -> Self {
        self.is_rare = true;
        self
    }

    /// Tells it from every statement with another text or other values.
    pub(super) fn key(&self) -> String {
        format!("{}{:?}", self.sql, self.values)
    }
}

impl<ST, DB> QueryFragment<DB> for Statement<'_, ST>
where
    DB: Backend + HasSqlType<Nullable<Text>> + HasSqlType<BigInt>,
    for<'t> Option<Cow<'t, str>>: ToSql<Nullable<Text>, DB>,
    i64: ToSql<BigInt, DB>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        if self.is_rare {
            out.unsafe_to_cache_prepared();
        }
        let mut rest = self.sql;
        while let Some((before, number, after)) = next_parameter(rest) {
            out.push_sql(before);
            match number.checked_sub(1).map(|place| self.values.get(place)) {
                None => out.push_sql("?"),
                Some(Some(Value::Text(text))) => out.push_bind_param::<Nullable<Text>, _>(text)?,
                Some(Some(Value::Integer(number))) => out.push_bind_param::<BigInt, _>(number)?,
                Some(None) => {
                    return Err(diesel::result::Error::QueryBuilderError(format!("?{number} has no value").into()));
                }
            }
            rest = after;
        }
        out.push_sql(rest);
        Ok(())
    }
}

/// SQL text from elsewhere, in which no `?` stands for a value.
pub(super) fn as_it_is(sql: &str) -> String {
    sql.replace('?', "?0")
}

/// Splits at the first `?` that a digit follows; other question marks are the text's own.
fn next_parameter(sql: &str) -> Option<(&str, usize, &str)> {
    let mut from = 0;
    while let Some(found) = sql[from..].find('?') {
        let at = from + found;
        let digits = match sql[at + 1..].bytes().next() {
            Some(b'0') => 1,
            _ => sql[at + 1..].bytes().take_while(u8::is_ascii_digit).count(),
        };
        if let Ok(number) = sql[at + 1..at + 1 + digits].parse() {
            return Some((&sql[..at], number, &sql[at + 1 + digits..]));
        }
        from = at + 1;
    }
    None
}

impl<ST> QueryId for Statement<'_, ST> {
    // No static id: the connection's cache goes by the text.
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<ST> Query for Statement<'_, ST> {
    type SqlType = ST;
}

impl<ST> RunQueryDsl<SqliteConnection> for Statement<'_, ST> {}
