//! The spec of a table, which an adapter or a block of the configuration yields.

use serde_json::{Map, Value};

use crate::{FieldError, Row, ScopeRule, Strategy, TableAdapter, schema};

/// A table before it is compiled.
#[derive(Debug, Clone)]
pub struct TableSpec {
    /// The table's name in the database and on the wire.
    pub name: &'static str,
    /// The name of the part of the app that it belongs to.
    pub domain: &'static str,
    /// The rule for the owner of a row.
    pub scope: ScopeRule,
    /// The strategy for conflicts when the request names none.
    pub strategy: Strategy,
    /// Hours that a row's times may lie ahead of the server's clock, where that is more than for all tables.
    pub future_hours: u32,
    /// The JSON Schema of its own columns, without the base columns: what each may hold, with `x-merge` and `x-references`.
    pub schema: Map<String, Value>,
    /// Pairs of columns of which the later one must not be less than the earlier one, where a row has both.
    pub ordered: Vec<(String, String)>,
    /// True if no migration makes the table: the daemon generates its DDL, and adds columns to it.
    pub is_generated: bool,
    /// Other rules that span columns, checked on the whole row as it would be stored.
    pub check: Option<fn(&Row) -> Vec<FieldError>>,
}

impl TableSpec {
    /// The spec of an adapter.
    #[must_use]
    pub fn of<T: TableAdapter>() -> Self {
        let ordered = T::ORDERED.iter().map(|(earlier, later)| ((*earlier).to_owned(), (*later).to_owned()));
        Self {
            name: T::NAME,
            domain: T::DOMAIN,
            scope: T::SCOPE,
            strategy: T::STRATEGY,
            future_hours: T::FUTURE_HOURS,
            schema: schema::of_struct::<T>(),
            ordered: ordered.collect(),
            is_generated: false,
            check: Some(T::check),
        }
    }
}
