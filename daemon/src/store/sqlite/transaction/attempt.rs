//! Writes rows as one attempt: one that a rule of the database refuses leaves nothing behind. A rule may also roll the
//! whole transaction back (`RAISE(ROLLBACK)`), with the jobs of others in it; then nothing more is done in it, since
//! SQLite would commit each further statement by itself. Those jobs run again, with care for that row.

use std::collections::HashSet;

use diesel::connection::SimpleConnection;
use diesel::result::{DatabaseErrorKind as Kind, Error};
use diesel::{QueryResult, RunQueryDsl};

use super::super::is_passing;
use super::SqliteTransaction;
use crate::store::StoreError;
use crate::store::combine::Writer;
use crate::store::statement::{Statement, statement};

/// The device's error for a row that a trigger refuses. The trigger's own words may quote other rows.
const REFUSED: &str = "a trigger of the database refuses it";
/// The error that ends a job whose transaction is gone.
const TAKEN_BACK: &str = "a rule of the database has taken the transaction back";

/// The beginnings of errors about tables and columns that are missing, not about a row.
const STRUCTURE: [&str; 7] = [
    "no such table",
    "no such column",
    "no such function",
    "no such module",
    "no such collation",
    "out of memory",
    "interrupted",
];

/// The rows that roll their transaction back, while its jobs run again.
#[derive(Debug, Default)]
pub(in crate::store::sqlite) struct Care {
    rows: HashSet<String>,
}

impl SqliteTransaction<'_> {
    /// Writes so many rows on behalf of these devices, and says how many it were. When those are fewer than `least`, since a trigger
    /// has passed over one without a word, none is written.
    pub(super) fn attempt(
        &mut self,
        write: Statement<'_>,
        (rows, least): (usize, usize),
        by: &[Writer],
    ) -> Result<usize, StoreError> {
        let key = self.care.as_ref().map(|_| write.key());
        if let (Some(care), Some(key)) = (&self.care, &key)
            && (rows > 1 || care.rows.contains(key))
        {
            return Err(StoreError::Constraint(REFUSED.into()));
        }
        self.run(statement("SAVEPOINT attempt"))?;
        let done = self.name_writers(by).and_then(|()| {
            let done = write.execute(self.connection);
            self.judged(done)
        });
        let done = done.and_then(|count| self.forget_writers(by).map(|()| count));
        let is_whole = done.as_ref().is_ok_and(|count| *count >= least);
        let end = if is_whole { "RELEASE attempt" } else { "ROLLBACK TO attempt; RELEASE attempt" };
        let ended = self.connection.batch_execute(end);
        match (done, ended) {
            (done, Ok(())) => done,
            (Ok(_), Err(error)) => Err(error.into()),
            // The savepoint is gone, and the transaction with it.
            (Err(StoreError::Constraint(_) | StoreError::Reference(_)), Err(_)) => {
                self.is_taken_back = true;
                if let (Some(care), Some(key)) = (&mut self.care, key) {
                    care.rows.insert(key);
                }
                Err(StoreError::Failed(TAKEN_BACK.into()))
            }
            (Err(error), Err(_)) => Err(error),
        }
    }

    /// Fails if the transaction is gone.
    pub(super) fn sound(&self) -> Result<(), StoreError> {
        if self.is_taken_back { Err(StoreError::Failed(TAKEN_BACK.into())) } else { Ok(()) }
    }

    /// Translates an error into one about the rows that were to be written.
    fn judged(&mut self, done: QueryResult<usize>) -> Result<usize, StoreError> {
        match done {
            Err(Error::DatabaseError(Kind::Unknown, said)) if is_of_a_row(said.message()) => {
                Err(StoreError::Constraint(REFUSED.into()))
            }
            done => self.noted(done),
        }
    }
}

/// True if SQLite's message is about a row, not about a passing state or a missing table.
fn is_of_a_row(message: &str) -> bool {
    !is_passing(message) && !STRUCTURE.iter().any(|phrase| message.starts_with(phrase))
}
