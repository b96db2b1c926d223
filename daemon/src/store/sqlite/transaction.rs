//! Each operation of a transaction as SQLite does it. No future in here ever waits.

mod attempt;
mod devices;
mod housekeeping;
mod index;
mod receipts;
mod rows;
mod scopes;
mod sets;

use std::sync::Arc;

use async_trait::async_trait;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel::sqlite::SqliteConnection;

use super::Schema;
use super::reads::json;
use crate::store::combine::Writer;
use crate::store::statement::{Statement, statement};
use crate::store::{StoreError, Transaction};
use crate::sync::{DeviceId, Scope, UserId};
pub(in crate::store::sqlite) use attempt::Care;
pub(in crate::store::sqlite) use sets::at;

/// A transaction that somebody else began and will end.
pub(super) struct SqliteTransaction<'c> {
    pub connection: &'c mut SqliteConnection,
    pub schema: &'c Arc<Schema>,
    /// The person on whose behalf it runs.
    pub user: Option<UserId>,
    /// The reason of a failure that is about the moment and not about the statement.
    pub trouble: Option<String>,
    /// The rows that roll the transaction back, while its jobs run again.
    pub care: Option<Care>,
    /// A row has taken the transaction back.
    pub is_taken_back: bool,
    /// True once something was written that would reach nobody.
    pub is_unbooked: bool,
}

impl<'c> SqliteTransaction<'c> {
    pub(super) fn new(connection: &'c mut SqliteConnection, schema: &'c Arc<Schema>) -> Self {
        Self { connection, schema, user: None, trouble: None, care: None, is_taken_back: false, is_unbooked: false }
    }

    pub(super) fn run(&mut self, statement: Statement<'_>) -> Result<usize, StoreError> {
        self.sound()?;
        let done = statement.execute(self.connection);
        self.noted(done)
    }

    pub(super) fn noted<T>(&mut self, result: QueryResult<T>) -> Result<T, StoreError> {
        let result = result.map_err(StoreError::from);
        if let Err(StoreError::Unavailable(trouble)) = &result {
            self.trouble = Some(trouble.clone());
        }
        result
    }

    pub(super) fn load<ST, T>(&mut self, statement: Statement<'_, ST>) -> Result<Vec<T>, StoreError>
    where
        for<'s> Statement<'s, ST>: diesel::query_dsl::LoadQuery<'s, SqliteConnection, T>,
    {
        self.sound()?;
        let loaded = statement.load::<T>(self.connection);
        self.noted(loaded)
    }
}

#[async_trait]
impl Transaction for SqliteTransaction<'_> {
    fn refuse_unbooked(&mut self) {
        self.is_unbooked = true;
    }
}

impl SqliteTransaction<'_> {
    /// The device of the transaction's person, in each scope that they may write.
    fn writers(&self, device: Option<&DeviceId>) -> Vec<Writer> {
        let scopes = self.user.map(Scope::User).into_iter().chain([Scope::Global]);
        device.map(|device| scopes.map(|scope| (scope, device.clone())).collect()).unwrap_or_default()
    }

    /// Tells the triggers on whose behalf the next statement writes.
    fn name_writers(&mut self, by: &[Writer]) -> Result<(), StoreError> {
        if by.is_empty() {
            return Ok(());
        }
        let name = "INSERT INTO sync_writers (scope, device) SELECT value ->> 0, value ->> 1 FROM json_each(?1)";
        self.run(statement(name).text(json(&by))).map(|_| ())
    }

    fn forget_writers(&mut self, by: &[Writer]) -> Result<(), StoreError> {
        if by.is_empty() { Ok(()) } else { self.run(statement("DELETE FROM sync_writers")).map(|_| ()) }
    }

    fn number(&mut self, statement: Statement<'_, BigInt>) -> Result<i64, StoreError> {
        Ok(self.load::<BigInt, i64>(statement)?.first().copied().unwrap_or(0))
    }
}
