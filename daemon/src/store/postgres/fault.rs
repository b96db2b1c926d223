//! Translates errors of PostgreSQL: into the store's error, and whether to try again, wait, or give up.

use diesel::result::{DatabaseErrorInformation, DatabaseErrorKind as Kind, Error};

use crate::store::StoreError;
use crate::sync::token::Refusal;

/// What the words begin with in which `ryzed.admit` refuses.
const REFUSES: &str = "ryzed refuses for its ";

/// What is to be done about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Two transactions were in each other's way; the same again may go well at once.
    Again,
    /// The connection is gone, and with it what was not committed.
    Reconnect,
    /// Another transaction keeps a lock; the same later may succeed.
    Wait,
    /// Only the commit has shown that a row is refused; the same again, checked at once, tells which.
    Strictly,
    /// The tables may be others than the statements were made for: look, then the same again.
    Inspect,
    /// The tables are others than the statements were made for; a trigger says so.
    Strayed,
    /// Not in our hands.
    None,
}

/// The error in the words of the store, with those of the server, and what is to be done about it.
pub(super) fn judge(error: &Error) -> (StoreError, Remedy) {
    verdict(error, |information, _| information.message().to_owned())
}

/// Judges an error of reading or writing rows: the server's message may quote them, so only the kind of the error is
/// told.
pub(super) fn judge_discreetly(error: &Error) -> (StoreError, Remedy) {
    verdict(error, |_, class| class)
}

fn verdict(error: &Error, words: impl Fn(&dyn DatabaseErrorInformation, String) -> String) -> (StoreError, Remedy) {
    let Error::DatabaseError(kind, information) = error else {
        return (StoreError::Failed(error.to_string()), Remedy::None);
    };
    let information = &**information;
    let unavailable = |class: &str| StoreError::Unavailable(words(information, class.to_owned()));
    if let Some(rule) = rule(kind) {
        let name = information.constraint_name().or(information.column_name()).unwrap_or_default();
        return match kind {
            Kind::ForeignKeyViolation => (StoreError::Reference(name.to_owned()), Remedy::None),
            _ => (StoreError::Constraint(words(information, format!("{rule} {name}"))), Remedy::None),
        };
    }
    match kind {
        Kind::SerializationFailure => return (unavailable("could not serialize access"), Remedy::Again),
        Kind::UnableToSendCommand | Kind::ClosedConnection => {
            return (unavailable("the connection was lost"), Remedy::Reconnect);
        }
        // The server became a standby; behind the same name another one may write.
        Kind::ReadOnlyTransaction => return (unavailable("the server is read-only"), Remedy::Reconnect),
        _ => {}
    }
    if let Some(refusal) = information.message().strip_prefix(REFUSES).and_then(Refusal::of) {
        return (StoreError::Refused(refusal), Remedy::None);
    }
    // The kind does not tell the others apart, so the text has to.
    if let Some((phrase, _)) = STORAGE.iter().find(|(phrase, _)| information.message().contains(phrase)) {
        return (unavailable(phrase), Remedy::None);
    }
    let Some((phrase, meaning)) = MEANINGS.iter().find(|(phrase, _)| information.message().contains(phrase)) else {
        return (StoreError::Failed(words(information, format!("an error{UNSAID}"))), Remedy::None);
    };
    match meaning {
        Meaning::Crossing => (unavailable(phrase), Remedy::Again),
        Meaning::Lost => (unavailable(phrase), Remedy::Reconnect),
        Meaning::Locked => (unavailable(phrase), Remedy::Wait),
        Meaning::Passing => (unavailable(phrase), Remedy::None),
        Meaning::Denied => (StoreError::Denied(words(information, (*phrase).to_owned())), Remedy::None),
        Meaning::Refused => (StoreError::Constraint(words(information, (*phrase).to_owned())), Remedy::None),
        Meaning::Structure => (StoreError::Failed(words(information, format!("{phrase}{UNSAID}"))), Remedy::Inspect),
        Meaning::Another => (unavailable("a table is another, or stopped"), Remedy::Inspect),
        Meaning::Strayed => (StoreError::Failed((*phrase).to_owned()), Remedy::Strayed),
    }
}

/// True if an error is about tables and columns, and not about a row. A trigger's words may sound alike.
pub(super) fn is_structural(error: &Error) -> bool {
    let Error::DatabaseError(_, information) = error else { return false };
    let message = information.message();
    let is_named = || STRUCTURES.iter().any(|what| message.starts_with(what));
    MEANINGS.iter().any(|(phrase, meaning)| match meaning {
        Meaning::Structure if *phrase == GONE => message.contains(GONE) && is_named(),
        Meaning::Structure => message.contains(phrase),
        _ => false,
    })
}

/// The server's words for something that does not exist.
const GONE: &str = "does not exist";
/// Their beginnings when that is no row.
const STRUCTURES: [&str; 9] =
    ["relation ", "table ", "column ", "function ", "procedure ", "type ", "schema ", "role ", "operator "];

/// The fault of the server's disk or files, when that is why it is [`StoreError::Unavailable`].
pub(super) fn storage_fault(reason: &str) -> Option<&'static str> {
    STORAGE.iter().find(|(phrase, _)| reason.contains(phrase)).map(|(_, words)| *words)
}

/// The server's messages about its disk or files, with ours.
const STORAGE: [(&str, &str); 14] = [
    ("No space left on device", "the disk of the database is full"),
    ("could not extend file", "the disk of the database is full"),
    ("disk full", "the disk of the database is full"),
    ("Disk quota exceeded", "the disk of the database is full: its quota is used up"),
    ("the server is read-only", "the database can only be read"),
    ("Read-only file system", "the database can only be read"),
    ("Input/output error", "the disk of the database can't be read or written"),
    ("could not read block", "the disk of the database can't be read or written"),
    ("could not write block", "the disk of the database can't be read or written"),
    ("could not write to file", "the disk of the database can't be read or written"),
    ("could not fsync file", "the disk of the database can't be read or written"),
    ("could not open file", "a file of the database can't be opened"),
    ("could not create file", "a file of the database can't be opened"),
    ("invalid page in block", "the database is damaged"),
];

/// Refers the operator to the server's log for a message that is not repeated.
const UNSAID: &str = "; the server's log has its words";

/// The rule of the schema that an error is about.
fn rule(kind: &Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::ForeignKeyViolation => "foreign key",
        Kind::UniqueViolation => "unique constraint",
        Kind::NotNullViolation => "not-null constraint",
        Kind::CheckViolation => "check constraint",
        Kind::ExclusionViolation => "exclusion constraint",
        Kind::RestrictViolation => "restricted by",
        _ => return None,
    })
}

/// Judges anew for a server whose messages are not in English: an error that can't be told apart counts as passing.
pub(super) fn in_doubt(judged: (StoreError, Remedy)) -> (StoreError, Remedy) {
    match judged {
        (StoreError::Failed(message), Remedy::None) => (StoreError::Unavailable(message), Remedy::Again),
        other => other,
    }
}

#[derive(Clone, Copy)]
enum Meaning {
    /// Two transactions were in each other's way.
    Crossing,
    /// The server has ended the connection, or is about to; or what was prepared on it counts no longer, because the
    /// application has changed a table.
    Lost,
    /// About a lock that somebody else has.
    Locked,
    /// About now and not about the statement.
    Passing,
    /// About whose the row is.
    Denied,
    /// About the values of the row: an application's own table may take fewer than its adapter.
    Refused,
    /// About what tables and columns there are, and who may use them. Nothing that a caller could change.
    Structure,
    /// A statement has met another table than the one that it was made for, or one that is stopped.
    Another,
    /// One of our triggers does not know its table any more.
    Strayed,
}

const MEANINGS: [(&str, Meaning); 27] = [
    ("deadlock detected", Meaning::Crossing),
    ("could not serialize", Meaning::Crossing),
    // Only those that narrow are named: in an application's tables these are ours, and the others the application's.
    ("row-level security policy \"ryzed_", Meaning::Denied),
    ("row-level security policy", Meaning::Denied),
    ("terminating connection", Meaning::Lost),
    ("the database system is", Meaning::Lost),
    ("connection closed", Meaning::Lost),
    ("cached plan must not change result type", Meaning::Lost),
    ("canceling statement due to lock timeout", Meaning::Locked),
    ("canceling statement due to statement timeout", Meaning::Passing),
    ("canceling statement due to", Meaning::Passing),
    ("could not obtain lock", Meaning::Passing),
    ("remaining connection slots", Meaning::Passing),
    ("out of memory", Meaning::Passing),
    ("too many clients", Meaning::Passing),
    ("value too long for type", Meaning::Refused),
    ("invalid input value for enum", Meaning::Refused),
    ("out of range for type", Meaning::Refused),
    ("numeric field overflow", Meaning::Refused),
    (STRAYED, Meaning::Strayed),
    (ANOTHER, Meaning::Another),
    ("permission denied", Meaning::Structure),
    (GONE, Meaning::Structure),
    ("but expression is of type", Meaning::Structure),
    ("non-DEFAULT value", Meaning::Structure),
    ("cannot insert into view", Meaning::Structure),
    ("cannot delete from view", Meaning::Structure),
];

/// The message that ryzed.is_another() raises.
const ANOTHER: &str = "ryzed: the table of this name is another";
/// The message that ryzed.stop() raises.
const STRAYED: &str = "ryzed: a table is no longer the one that was adopted";
