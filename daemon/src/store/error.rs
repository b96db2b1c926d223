//! Failures of the database.

use crate::sync::token::Refusal;

/// A failure of the database. Never holds row contents.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Not reachable, busy, out of connections or shutting down: safe to try again later.
    #[error("not available: {0}")]
    Unavailable(String),
    /// A rule of the schema refused a row.
    #[error("a constraint refused the row: {0}")]
    Constraint(String),
    /// The row belongs to somebody else, which the daemon should have seen before: a mistake of its own, stopped in time.
    #[error("the row is not the caller's: {0}")]
    Denied(String),
    /// The caller's token or device is refused; nothing was done.
    #[error("refused: {0:?}")]
    Refused(Refusal),
    /// A row refers to one that is not there; the text names the foreign key.
    #[error("a row refers to one that is not there: {0}")]
    Reference(String),
    /// The table is stopped, and was not asked. It may go on at any time.
    #[error("the table {0} is stopped until it is mended; the server's log says why")]
    Stopped(&'static str),
    /// The job decided against committing.
    #[error("rolled back")]
    RolledBack,
    /// The work is too much for one transaction; less at once may succeed.
    #[error("{0}")]
    TooMuch(String),
    /// Another process works on the database, and what is asked for wants it alone.
    #[error("{0}")]
    InUse(String),
    /// The database was taken elsewhere as a whole.
    #[error("{0}")]
    Sealed(String),
    /// The database is missing or not one that this release can work on; the text says what to do.
    #[error("{0}")]
    Unsuitable(String),
    /// The statement failed.
    #[error("{0}")]
    Failed(String),
}

impl StoreError {
    /// No trigger has booked what was written.
    pub(super) fn unbooked() -> Self {
        Self::Unavailable("what was written moved no version, and was taken back".into())
    }

    /// True if a person has to act first, so that trying again changes nothing.
    #[must_use]
    pub fn is_for_people(&self) -> bool {
        matches!(self, Self::InUse(_) | Self::Sealed(_) | Self::Unsuitable(_))
    }
}
