//! The use cases. Transactions are opened here and nowhere else; nothing here knows HTTP or actors.

mod chronicle;
mod conflicts;
mod devices;
mod export;
#[cfg(test)]
mod fuzz_tests;
mod hints;
mod housekeeping;
mod instances;
mod known_users;
mod newest;
mod outcome;
mod pull;
mod push;
mod request;
mod sync;
mod times;
mod together;
mod tokens;
mod types;
mod verify;

use std::sync::{Arc, OnceLock};

use chrono::TimeDelta;
use ryzed_adapters::{FieldError, MOST_ERRORS, Registry, UnknownTable, first_errors};

use crate::budget::Budget;
use crate::clock::Clock;
use crate::config::Limits;
use crate::metrics::{Outcome, PoolUse, metrics};
use crate::store::{OnStopped, Stopped, Store};
use crate::sync::Scope;
use crate::sync::token::Presented;
use crate::sync::wire::Status;

pub use hints::{Committed, Hints};
pub use housekeeping::Forgotten;
pub use instances::InstanceDirectory;
pub use outcome::ServiceError;
use together::Together;
pub use types::{
    ConflictPage, Counted, DeviceInfo, DeviceSeen, PullRequest, Pushed, Resolution, ScopePage, Served, Settlement,
    Standing, SyncStatus,
};
pub use verify::Verdict;

/// All use cases, for all callers.
pub struct Service {
    /// The synced tables.
    pub registry: Arc<Registry>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The bounds.
    pub limits: Arc<Limits>,
    /// The remaining shares of those limits, for each person and for all.
    pub budget: Arc<Budget>,
    /// The time that tombstones are kept; receipts and devices at least a day.
    pub keep: TimeDelta,
    store: Arc<dyn Store>,
    hints: OnceLock<Arc<dyn Hints>>,
    known_users: known_users::KnownUsers,
    chronicle: chronicle::Chronicle,
    noted: tokens::Noted,
    samples: verify::Samples,
    arrivals: Arc<Together<Presented, newest::Place>>,
    heads: Arc<Together<Vec<Scope>, newest::Heads>>,
}

impl Service {
    /// All use cases on `store`.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        registry: Arc<Registry>,
        clock: Arc<dyn Clock>,
        limits: Limits,
        keep: TimeDelta,
    ) -> Self {
        let limits = Arc::new(limits);
        let budget = Budget::new(Arc::clone(&limits));
        let (hints, known_users, chronicle, noted, samples) = Default::default();
        let (arrivals, heads) = Default::default();
        Self {
            registry,
            clock,
            limits,
            budget,
            keep,
            store,
            hints,
            known_users,
            chronicle,
            noted,
            samples,
            arrivals,
            heads,
        }
    }

    /// Sets the receiver of hints about commits. Once; later calls change nothing.
    pub fn set_hints(&self, hints: Arc<dyn Hints>) {
        let _ = self.hints.set(hints);
    }

    /// The epoch of the database: the first part of every cursor.
    #[must_use]
    pub fn epoch(&self) -> &str {
        self.store.epoch()
    }

    /// The database's kind: `sqlite` or `postgres`.
    #[must_use]
    pub fn database(&self) -> &'static str {
        self.store.kind()
    }

    /// A round trip to the database.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn ready(&self) -> Result<(), ServiceError> {
        Ok(self.store.ping().await?)
    }

    /// True if nothing was ever written into the database.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.store.is_new()
    }

    /// Ready once the database can't be worked on any more before the daemon was started again; says why.
    pub async fn gone(&self) -> String {
        self.store.gone().await
    }

    /// The reason why the database can't be written just now, in words for an operator; none as far as nothing has
    /// shown it.
    #[must_use]
    pub fn storage_fault(&self) -> Option<&'static str> {
        self.store.storage_fault()
    }

    /// The tables that are stopped until somebody has mended them.
    #[must_use]
    pub fn stopped(&self) -> Arc<Stopped> {
        self.store.stopped()
    }

    /// Subscribes a listener to stopped tables: it gets them at once, and again whenever they change.
    pub fn hear_of_stops(&self, ear: OnStopped) {
        ear(&self.store.stopped());
        self.store.hear_of_stops(ear);
    }

    /// The use of the database's connection pool; none where that is not known.
    #[must_use]
    pub fn pool_use(&self) -> Option<PoolUse> {
        self.store.pool_use()
    }

    /// Finishes what is being written, and closes the database.
    pub async fn close(&self) {
        self.store.close().await;
    }

    fn tell(&self, pushed: &Pushed) {
        for result in &pushed.results {
            metrics().changes_pushed.inc(match result.status {
                Status::Applied => Outcome::Applied,
                Status::Merged => Outcome::Merged,
                Status::Conflict => Outcome::Conflict,
                Status::Rejected => Outcome::Rejected,
            });
        }
        if let Some(hints) = self.hints.get() {
            for commit in &pushed.commits {
                hints.committed(commit.clone());
            }
            if pushed.commits.iter().any(|commit| commit.scope == Scope::Global) {
                hints.others_may_have_moved();
            }
        }
    }

    /// Nobody knows whether an upload that failed at its end was committed, so somebody may have to hear of it.
    fn tell_of_doubt(&self, error: &ServiceError) {
        if let (ServiceError::Unavailable { .. }, Some(hints)) = (error, self.hints.get()) {
            hints.others_may_have_moved();
        }
    }

    /// The names of these tables; an unknown one is an error that names it.
    fn tables(&self, names: &[String]) -> Result<Vec<&'static str>, ServiceError> {
        let most = self.limits.subscriptions;
        if names.len() > most {
            let detail = format!("a request may name {most} tables; none named means all");
            return Err(ServiceError::Limit { limit: "subscriptions", detail });
        }
        let (found, unknown) = self.registry.resolve(names);
        let error = |unknown: UnknownTable<'_>| FieldError::new("tables", "unknown_table", unknown.to_string());
        let errors: Vec<FieldError> = unknown.into_iter().map(error).collect();
        if errors.is_empty() { Ok(found) } else { Err(ServiceError::Invalid(first_errors(errors, MOST_ERRORS))) }
    }
}
