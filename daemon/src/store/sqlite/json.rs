//! JSON that SQLite has made of what a table holds: a text in it may be no UTF-8.

use diesel::backend::Backend;
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::sql_types::Text;
use diesel::sqlite::Sqlite;

use crate::sync::said;

/// A JSON object of a row's values.
#[derive(Debug, FromSqlRow)]
#[diesel(sql_type = Text)]
pub(super) struct Json(pub String);

impl From<Json> for String {
    fn from(json: Json) -> Self {
        json.0
    }
}

impl FromSql<Text, Sqlite> for Json {
    fn from_sql(mut value: <Sqlite as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(said::text(value.read_blob())))
    }
}

/// JSON to be kept to the letter.
#[derive(Debug, FromSqlRow)]
#[diesel(sql_type = Text)]
pub(super) enum Exact {
    /// The text as it is.
    Whole(String),
    /// The text is no UTF-8 in places, which here are null and marked.
    Broken(String),
}

impl FromSql<Text, Sqlite> for Exact {
    fn from_sql(mut value: <Sqlite as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        let bytes = value.read_blob();
        Ok(std::str::from_utf8(bytes).map_or_else(|_| Self::Broken(said::text(bytes)), |text| Self::Whole(text.into())))
    }
}
