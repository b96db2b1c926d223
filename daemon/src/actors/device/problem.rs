//! The error answers to a client's message. The codes are part of the protocol.

use serde_json::Value;

use crate::actors::close::CloseReason;
use crate::actors::message::ServerMessage;
use crate::budget::{Who, note_key};
use crate::service::ServiceError;

/// The codes of `error` messages.
pub(super) mod code {
    /// Not JSON, or fields are missing or of the wrong type.
    pub(crate) const MALFORMED: &str = "malformed";
    /// No such `type`.
    pub(crate) const UNKNOWN_TYPE: &str = "unknown_type";
    /// A binary message.
    pub(crate) const BINARY: &str = "binary";
    /// No such table.
    pub(crate) const UNKNOWN_TABLE: &str = "unknown_table";
    /// A sync in another device's name.
    pub(crate) const WRONG_DEVICE: &str = "wrong_device";
    /// Over a named limit.
    pub(crate) const LIMIT: &str = "limit";
    /// Fields are at fault.
    pub(crate) const INVALID: &str = "invalid";
    /// Not allowed.
    pub(crate) const FORBIDDEN: &str = "forbidden";
    /// No such thing.
    pub(crate) const NOT_FOUND: &str = "not_found";
    /// The database is away.
    pub(crate) const UNAVAILABLE: &str = "unavailable";
    /// The daemon's own fault.
    pub(crate) const INTERNAL: &str = "internal";
}

/// The longest detail, in characters.
const LONGEST: usize = 300;

/// The error answer to a message.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Problem {
    pub code: &'static str,
    pub detail: String,
    /// The type of the message.
    pub answers: Option<String>,
    pub mutation_id: Option<String>,
    pub request_id: Option<Value>,
}

/// A request was not served.
pub(super) enum Refused {
    /// And the device may not stay.
    Close(CloseReason),
    /// Why not.
    Say(Problem),
}

impl Problem {
    pub(super) fn new(code: &'static str, detail: impl Into<String>) -> Self {
        let mut detail: String = detail.into();
        if let Some((end, _)) = detail.char_indices().nth(LONGEST) {
            detail.truncate(end);
        }
        Self { code, detail, answers: None, mutation_id: None, request_id: None }
    }

    pub(super) fn answering(mut self, kind: &str) -> Self {
        const LONGEST_KIND: usize = 64;
        self.answers = Some(kind.chars().take(LONGEST_KIND).collect());
        self
    }

    pub(super) fn message(&self) -> ServerMessage<'_> {
        ServerMessage::Error {
            code: self.code,
            detail: &self.detail,
            answers: self.answers.as_deref(),
            mutation_id: self.mutation_id.as_deref(),
            request_id: self.request_id.as_ref(),
        }
    }
}

impl Refused {
    /// The service refused what a message of this type asked for.
    pub(super) fn of(error: &ServiceError, kind: &str) -> Self {
        let (code, detail) = match error {
            ServiceError::Revoked | ServiceError::TokenRevoked | ServiceError::TokenTooOld => {
                return Self::Close(CloseReason::of(error));
            }
            ServiceError::Invalid(errors) => {
                let each = errors.iter().map(|error| format!("{}: {}", error.field, error.message));
                (code::INVALID, each.collect::<Vec<_>>().join("; "))
            }
            ServiceError::NotFound(_) => (code::NOT_FOUND, error.to_string()),
            ServiceError::Forbidden(_) => (code::FORBIDDEN, error.to_string()),
            ServiceError::Limit { limit, .. } => {
                note_key(limit, Who::Nobody);
                (code::LIMIT, error.to_string())
            }
            // For the client it is the same: nothing was done, and the same again will do.
            ServiceError::Busy(refused) => (code::UNAVAILABLE, refused.to_string()),
            ServiceError::Unavailable { retry_after } => {
                (code::UNAVAILABLE, format!("{error}; try again in {} s", retry_after.as_secs().max(1)))
            }
            ServiceError::Stopped(_) => (code::UNAVAILABLE, error.to_string()),
            ServiceError::Store(_) => {
                tracing::error!(%error, "a message could not be served");
                (code::INTERNAL, "an error of the server; it has been logged".to_owned())
            }
        };
        Self::Say(Problem::new(code, detail).answering(kind))
    }
}
