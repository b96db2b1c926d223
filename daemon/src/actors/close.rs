//! The reasons to close a socket, with the code and the text that its client gets.

use std::borrow::Cow;

use crate::auth::AuthError;
use crate::budget::{Who, note_key};
use crate::metrics::metrics;
use crate::service::ServiceError;
use crate::sync::token::Refusal;

/// The room for a reason in a close frame, besides its code, in bytes.
const LONGEST_REASON: usize = 123;
/// The delay with which clients reconnect after a restart: spread, so that they do not come all at once.
const RECONNECT_MS: std::ops::Range<u64> = 250..5000;

/// The reason for which the daemon closes a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CloseReason {
    /// 4400: what came is not our protocol.
    Protocol(Cow<'static, str>),
    /// 4401: no token, a bad one or one that has ended.
    Token(Cow<'static, str>),
    /// 4403: the device was revoked.
    Revoked,
    /// 4403: the token was revoked together with another device.
    TokenRevoked,
    /// 4408: nothing came for two heartbeats.
    Silent,
    /// 4408: an answer was not read.
    Unread,
    /// 4409: the same device has connected again.
    Replaced,
    /// 4429: too many messages, or another limit of what one user may use.
    Limit(Cow<'static, str>),
    /// 1009: a message over the limit.
    TooLarge,
    /// 1007: text that is not UTF-8.
    NotText,
    /// 1002: bytes that are no WebSocket frames.
    Malformed,
    /// 1011: the daemon's own fault.
    Internal,
    /// 1012: the daemon restarts; come back after this delay.
    Restarting {
        /// The delay.
        reconnect_in_ms: u64,
    },
    /// 1013: the database, or what tokens are checked with, is away; try later.
    TryLater,
}

impl CloseReason {
    /// "The daemon restarts", with a delay that spreads the clients' return.
    #[must_use]
    pub fn restarting() -> Self {
        Self::Restarting { reconnect_in_ms: rand::random_range(RECONNECT_MS) }
    }

    /// The close reason for a token that does not let a device in, or stay.
    #[must_use]
    pub fn denied(error: AuthError) -> Self {
        metrics().auth_refusals.inc((&error).into());
        match error {
            AuthError::Unavailable => Self::TryLater,
            other => Self::Token(other.to_string().into()),
        }
    }

    /// The code of the close frame.
    #[must_use]
    pub fn code(&self) -> u16 {
        match self {
            Self::Malformed => 1002,
            Self::NotText => 1007,
            Self::TooLarge => 1009,
            Self::Internal => 1011,
            Self::Restarting { .. } => 1012,
            Self::TryLater => 1013,
            Self::Protocol(_) => 4400,
            Self::Token(_) => 4401,
            Self::Revoked | Self::TokenRevoked => 4403,
            Self::Silent | Self::Unread => 4408,
            Self::Replaced => 4409,
            Self::Limit(_) => 4429,
        }
    }

    /// The words of the close frame, as long as one can hold.
    #[must_use]
    pub fn text(&self) -> Cow<'static, str> {
        let text: Cow<'static, str> = match self {
            Self::Protocol(text) | Self::Token(text) | Self::Limit(text) => text.clone(),
            Self::Revoked => "this device was revoked".into(),
            Self::TokenRevoked => "this token was revoked together with a device that it was used by".into(),
            Self::Silent => "nothing was heard for two heartbeats; send a ping at every heartbeat".into(),
            Self::Unread => "an answer was not read in time (limits.least_bytes_per_second)".into(),
            Self::Replaced => "this device has connected again".into(),
            Self::TooLarge => "the message is over limits.message_bytes".into(),
            Self::NotText => "text messages are UTF-8".into(),
            Self::Malformed => "not a WebSocket frame".into(),
            Self::Internal => "an error of the server; connect again with your cursor".into(),
            Self::Restarting { reconnect_in_ms } => format!("{{\"reconnect_in_ms\":{reconnect_in_ms}}}").into(),
            Self::TryLater => "the server can't serve you right now; try again later".into(),
        };
        shortened(text)
    }

    /// The close reason for a device that the service refuses.
    #[must_use]
    pub fn of(error: &ServiceError) -> Self {
        match error {
            ServiceError::Revoked => Self::Revoked,
            ServiceError::TokenRevoked => Self::TokenRevoked,
            ServiceError::TokenTooOld => Self::Token(error.to_string().into()),
            ServiceError::Limit { limit, .. } => {
                note_key(limit, Who::Nobody);
                Self::Limit(error.to_string().into())
            }
            ServiceError::Busy(refused) if refused.is_the_callers() => Self::Limit(refused.to_string().into()),
            ServiceError::Busy(_) | ServiceError::Unavailable { .. } | ServiceError::Stopped(_) => Self::TryLater,
            ServiceError::Invalid(errors) => {
                let words = errors.first().map(|error| format!("{}: {}", error.field, error.message));
                Self::Protocol(words.unwrap_or_else(|| error.to_string()).into())
            }
            ServiceError::Forbidden(detail) => Self::Token((*detail).into()),
            ServiceError::NotFound(_) | ServiceError::Store(_) => Self::Internal,
        }
    }
}

impl From<Refusal> for CloseReason {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Device => Self::Revoked,
            Refusal::Token => Self::TokenRevoked,
            Refusal::Age => Self::Token(ServiceError::TokenTooOld.to_string().into()),
        }
    }
}

fn shortened(text: Cow<'static, str>) -> Cow<'static, str> {
    if text.len() <= LONGEST_REASON {
        return text;
    }
    let end = (0..=LONGEST_REASON).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    text[..end].to_owned().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_fits_its_frame() {
        let long = CloseReason::Token("é".repeat(100).into());
        assert_eq!(long.text().len(), 122);
        assert_eq!(CloseReason::Restarting { reconnect_in_ms: 1234 }.text(), r#"{"reconnect_in_ms":1234}"#);
    }
}
