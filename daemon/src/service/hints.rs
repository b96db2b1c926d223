//! Hints from the service to the realtime layer; never truth.

use crate::sync::{ChangeRecord, Scope, Version};

/// A scope has moved. Losing one costs latency, never data: the receiver compares versions and reads what it lacks.
#[derive(Debug, Clone)]
pub struct Committed {
    /// The scope.
    pub scope: Scope,
    /// The least version that the scope has now.
    pub version: Version,
    /// The changes that led there, in version order, when they were at hand and small.
    pub records: Vec<ChangeRecord>,
}

/// A receiver of news about commits.
pub trait Hints: Send + Sync + 'static {
    /// Called after the commit, from any task; must not block.
    fn committed(&self, commit: Committed);

    /// Called after a commit that may have moved scopes that nobody named: what is deleted from the catalogue
    /// is taken out of people's rows that refer to it. Must not block.
    fn others_may_have_moved(&self);
}
