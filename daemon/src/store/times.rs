//! The times that a database has stored.

use async_trait::async_trait;

use super::StoreError;

/// The times that a database has stored, as texts in the wire's form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredTimes {
    /// The newest of all scopes; none when it holds none.
    pub newest: Option<String>,
    /// The time that the daemon trusts, as it was last stored; none when it never was.
    pub believed: Option<String>,
    /// Now, by the database's clock.
    pub here: String,
}

/// The part of a transaction that is about the time.
#[async_trait]
pub trait Times {
    /// Reads the stored times.
    async fn times(&mut self) -> Result<StoredTimes, StoreError>;
    /// Stores the time that the daemon trusts.
    async fn keep_time(&mut self, believed: &str) -> Result<(), StoreError>;
}
