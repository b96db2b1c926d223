//! The errors of a use case, in the words of the domain. `http::problem` turns them into status codes.

use std::time::Duration;

use ryzed_adapters::FieldError;

use crate::budget::Refused;
use crate::metrics::{DatabaseError, metrics};
use crate::store::StoreError;
use crate::sync::token::Refusal;

/// The reason for which a use case failed. Nothing of it was stored.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// Fields of the request are at fault.
    #[error("the request has invalid fields")]
    Invalid(Vec<FieldError>),
    /// There is no such thing, or it is somebody else's.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// The caller may not do this.
    #[error("{0}")]
    Forbidden(&'static str),
    /// The device was revoked and may not come back under its id.
    #[error("this device was revoked")]
    Revoked,
    /// The token was used by a device that was revoked since, or names it, or is of its session.
    #[error("this token was revoked together with a device that it was used by; get a new one")]
    TokenRevoked,
    /// The token is older than the revocation of a device that was allowed again, or is to be.
    #[error("this device was revoked after the token was issued; get a new one")]
    TokenTooOld,
    /// A named limit is exceeded.
    #[error("{detail} (limits.{limit})")]
    Limit {
        /// The limit's name in the configuration, below `limits`.
        limit: &'static str,
        /// The limit that was exceeded.
        detail: String,
    },
    /// Somebody wants more at once than they may have, or than there is.
    #[error("{0}")]
    Busy(#[from] Refused),
    /// The database can't be reached or is too busy; trying again later is safe.
    #[error("the database is not available")]
    Unavailable {
        /// The pause before the next try.
        retry_after: Duration,
    },
    /// The table is stopped until somebody has mended it; trying again later is safe.
    #[error("the table {0} is stopped until it is mended; keep the change and try again later")]
    Stopped(&'static str),
    /// The daemon's own fault.
    #[error("the database refused: {0}")]
    Store(StoreError),
}

impl From<StoreError> for ServiceError {
    fn from(error: StoreError) -> Self {
        if let StoreError::Refused(refusal) = error {
            return match refusal {
                Refusal::Device => Self::Revoked,
                Refusal::Token => Self::TokenRevoked,
                Refusal::Age => Self::TokenTooOld,
            };
        }
        metrics().database_errors.inc(match error {
            StoreError::Unavailable(_) | StoreError::Stopped(_) => DatabaseError::Unavailable,
            StoreError::Constraint(_) | StoreError::Reference(_) => DatabaseError::Constraint,
            StoreError::Denied(_) => DatabaseError::Denied,
            StoreError::Refused(_)
            | StoreError::RolledBack
            | StoreError::TooMuch(_)
            | StoreError::InUse(_)
            | StoreError::Sealed(_)
            | StoreError::Unsuitable(_)
            | StoreError::Failed(_) => DatabaseError::Failed,
        });
        match error {
            StoreError::Unavailable(_) => Self::Unavailable { retry_after: Duration::from_secs(2) },
            StoreError::Stopped(table) => Self::Stopped(table),
            StoreError::TooMuch(detail) => Self::Limit { limit: "changes_per_request", detail },
            StoreError::Denied(_) => {
                tracing::error!(%error, "row-level security rejected a write that the daemon had allowed (bug)");
                Self::Forbidden("this is not yours")
            }
            other => Self::Store(other),
        }
    }
}

impl ServiceError {
    /// The request failed, for a reason of the daemon's own.
    #[must_use]
    pub fn failed(reason: String) -> Self {
        StoreError::Failed(reason).into()
    }

    /// One field of the request is at fault.
    #[must_use]
    pub fn field(field: &str, code: &str, message: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError::new(field, code, message)])
    }
}
