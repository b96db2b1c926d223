//! What an error of PostgreSQL means for who asked: try again, wait, or give up.

use diesel::result::{DatabaseErrorKind as Kind, Error};

use crate::store::StoreError;

/// What is to be done about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Two transactions were in each other's way; the same again may go well at once.
    Again,
    /// The connection is gone, and with it what was not committed.
    Reconnect,
    /// Not in our hands.
    None,
}

/// The error in the words of the store, and what is to be done about it.
pub(super) fn judge(error: &Error) -> (StoreError, Remedy) {
    let Error::DatabaseError(kind, information) = error else {
        return (StoreError::Failed(error.to_string()), Remedy::None);
    };
    let message = information.message().to_owned();
    match kind {
        Kind::ForeignKeyViolation => {
            (StoreError::Reference(information.constraint_name().unwrap_or_default().to_owned()), Remedy::None)
        }
        Kind::UniqueViolation
        | Kind::NotNullViolation
        | Kind::CheckViolation
        | Kind::ExclusionViolation
        | Kind::RestrictViolation => (StoreError::Constraint(message), Remedy::None),
        Kind::SerializationFailure => (StoreError::Unavailable(message), Remedy::Again),
        Kind::UnableToSendCommand | Kind::ClosedConnection => (StoreError::Unavailable(message), Remedy::Reconnect),
        // The kind does not tell these apart, so the text has to.
        _ if is_any(&message, &["deadlock detected", "could not serialize"]) => {
            (StoreError::Unavailable(message), Remedy::Again)
        }
        _ if is_any(&message, &LOST) => (StoreError::Unavailable(message), Remedy::Reconnect),
        _ if is_any(&message, &PASSING) => (StoreError::Unavailable(message), Remedy::None),
        _ => (StoreError::Failed(message), Remedy::None),
    }
}

/// The server has ended the connection, or is about to.
const LOST: [&str; 3] = ["terminating connection", "the database system is", "connection closed"];

/// About now and not about the statement.
const PASSING: [&str; 7] = [
    "canceling statement due to",
    "lock timeout",
    "No space left on device",
    "could not extend file",
    "disk full",
    "out of memory",
    "too many clients",
];

fn is_any(message: &str, parts: &[&str]) -> bool {
    parts.iter().any(|part| message.contains(part))
}
