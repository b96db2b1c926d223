//! SQL as text on a connection of its own, outside the daemon's transactions: migrations, adoption, looks at the catalogue.

use diesel::sql_types::Text;
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};

use super::fault::judge;
use crate::store::StoreError;
use crate::store::statement::statement;

/// Runs statements that answer nothing.
pub(super) async fn execute(connection: &mut AsyncPgConnection, sql: &str) -> Result<(), StoreError> {
    connection.batch_execute(sql).await.map_err(|error| judge(&error).0)
}

/// The answers of a query of one column of text.
pub(super) async fn texts(connection: &mut AsyncPgConnection, sql: &str) -> Result<Vec<String>, StoreError> {
    statement::<Text>(sql).load(connection).await.map_err(|error| judge(&error).0)
}

/// A text as SQL takes it, whatever is in it and whatever the server thinks of backslashes.
pub(super) fn escaped(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}
