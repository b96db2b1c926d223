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
        // The server became a standby; behind the same name another one may write.
        Kind::ReadOnlyTransaction => (StoreError::Unavailable(message), Remedy::Reconnect),
        _ if message.contains("row-level security policy") => (StoreError::Denied(message), Remedy::None),
        _ if is_any(&message, &LOST) => (StoreError::Unavailable(message), Remedy::Reconnect),
        _ if is_any(&message, &PASSING) => (StoreError::Unavailable(message), Remedy::None),
        _ if is_any(&message, &REFUSED) => (StoreError::Constraint(message), Remedy::None),
        _ => (StoreError::Failed(message), Remedy::None),
    }
}

/// About the values of the row: an application's own table may take fewer than its adapter.
const REFUSED: [&str; 4] =
    ["value too long for type", "invalid input value for enum", "out of range for type", "numeric field overflow"];

/// The same from a server whose words are not understood: what can't be told apart may pass.
pub(super) fn in_doubt(judged: (StoreError, Remedy)) -> (StoreError, Remedy) {
    match judged {
        (StoreError::Failed(message), Remedy::None) => (StoreError::Unavailable(message), Remedy::Again),
        other => other,
    }
}

/// The server has ended the connection, or is about to; or what was prepared on it counts no longer, because the
/// application has changed a table.
const LOST: [&str; 4] = [
    "terminating connection",
    "the database system is",
    "connection closed",
    "cached plan must not change result type",
];

/// About now and not about the statement.
const PASSING: [&str; 8] = [
    "canceling statement due to",
    "could not obtain lock",
    "remaining connection slots",
    "No space left on device",
    "could not extend file",
    "disk full",
    "out of memory",
    "too many clients",
];

fn is_any(message: &str, parts: &[&str]) -> bool {
    parts.iter().any(|part| message.contains(part))
}
