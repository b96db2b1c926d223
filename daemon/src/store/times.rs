//! What a database knows of the time.

use async_trait::async_trait;

use super::StoreError;

/// What a database knows of the time, in the form in which times travel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredTimes {
    /// The newest of all scopes; none when it holds none.
    pub newest: Option<String>,
    /// How far the time had come that was believed; none when that was never written down.
    pub believed: Option<String>,
    /// Now, by the database's clock.
    pub here: String,
}

/// The part of a transaction that is about the time.
#[async_trait]
pub trait Times {
    /// What the database knows of it.
    async fn times(&mut self) -> Result<StoredTimes, StoreError>;
    /// Writes down how far the time has come that is believed.
    async fn keep_time(&mut self, believed: &str) -> Result<(), StoreError>;
}
