//! Statements that may be refused for the sake of a row, and go on from before then.

use diesel::result::Error;
use diesel_async::AsyncConnectionCore;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::super::fault::{Remedy, is_structural};
use super::{PostgresTransaction, all_of, nobody};
use crate::store::StoreError;
use crate::store::statement::{Statement, statement};

/// The device's error for a row that a rule of the operator's refuses; the rule's own words may quote other rows.
const RULE: &str = "a rule of the database refuses it";

impl PostgresTransaction<'_> {
    /// Notes where the transaction stands.
    pub(in super::super) fn mark_here(&mut self) {
        self.push_ahead(statement("SAVEPOINT upload"));
    }

    /// Takes back what was done since then, with whose change it was.
    pub(in super::super) fn back_to_mark(&mut self) {
        self.prefetched.clear();
        self.push_ahead(statement("ROLLBACK TO SAVEPOINT upload"));
        self.device = None;
        self.push_ahead(
            statement("SELECT set_config('ryzed.device', ?1, true)").text(nobody(self.schema.terms.resident)),
        );
    }

    /// A statement whose failure spoils nothing. When it concerns fewer than `least` rows, nothing of it is done.
    pub(in super::super) fn try_run<'f>(
        &'f mut self,
        attempt: Statement<'_>,
        least: usize,
    ) -> BoxFuture<'f, Result<usize, StoreError>> {
        self.prefetched.clear();
        self.push_ahead(statement("SAVEPOINT attempt"));
        let (ahead, mut connection) = (std::mem::take(&mut self.ahead), self.connection);
        let running = AsyncConnectionCore::execute_returning_count(&mut connection, attempt);
        async move {
            let (before, done) = futures_util::join!(all_of(ahead), running);
            if let Err(error) = before {
                return self.noted(Err(error));
            }
            let done = match done {
                Ok(count) => {
                    if count < least {
                        self.push_ahead(statement("ROLLBACK TO SAVEPOINT attempt"));
                    }
                    Ok(count)
                }
                Err(error) => match self.refusal(&error) {
                    Some(refused) => {
                        self.is_doubtful = true;
                        self.push_ahead(statement("ROLLBACK TO SAVEPOINT attempt"));
                        Err(refused)
                    }
                    None => return self.noted(Err(error)),
                },
            };
            self.push_ahead(statement("RELEASE SAVEPOINT attempt"));
            done
        }
        .boxed()
    }

    /// Reads an error as a rule's refusal of a row; none if it is another kind of failure. An application's rules, and
    /// an operator's triggers, raise errors of any kind.
    pub(super) fn refusal(&self, error: &Error) -> Option<StoreError> {
        match self.judged(error) {
            (refused @ (StoreError::Constraint(_) | StoreError::Reference(_) | StoreError::Denied(_)), _) => {
                Some(refused)
            }
            (_, Remedy::Inspect | Remedy::Strayed) => None,
            (StoreError::Failed(class), _) if matches!(error, Error::DatabaseError(..)) => {
                let is_of_a_row = self.schema.is_adopted || !is_structural(error);
                is_of_a_row.then(|| StoreError::Constraint(if self.schema.is_adopted { class } else { RULE.into() }))
            }
            _ => None,
        }
    }
}
