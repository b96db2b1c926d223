//! The stored trace of a token: enough to recognise and refuse it, never the token itself.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Serialize, Serializer};

use super::ids::{DeviceId, UserId};

/// The SHA-256 of what a token says, or of the name of its session. As text 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mark(pub [u8; 32]);

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Marks stay out of the log, where nobody needs them.
impl fmt::Debug for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mark")
    }
}

impl Serialize for Mark {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A token that was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Tells it from every other one.
    pub mark: Mark,
    /// Tells its session: the sign-in that it was refreshed from. None when the token names none.
    pub session: Option<Mark>,
    /// The time at which it was issued, to the second. None when the token has none, or an impossible one.
    pub issued_at: Option<DateTime<Utc>>,
    /// The device that it names.
    pub device: Option<DeviceId>,
}

/// The token and device of a request. Every transaction on behalf of a person first checks that neither is refused.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Credentials {
    /// The token; none for a command beside the daemon.
    pub token: Option<Arc<Token>>,
    /// The device that the token is used by, where that is known.
    pub device: Option<DeviceId>,
}

impl Credentials {
    /// True if there is nothing that could be refused.
    pub(crate) fn are_none(&self) -> bool {
        self.token.is_none() && self.device.is_none()
    }
}

/// A connected person.
#[derive(Debug, Clone)]
pub struct Presented {
    /// The person.
    pub user: UserId,
    /// The token and device that they use.
    pub credentials: Credentials,
}

/// The reason for refusing a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The device is revoked.
    Device,
    /// The token was used by a device that was revoked since, or names it, or is of its session.
    Token,
    /// The device was revoked and allowed again, and the token is older than that.
    Age,
}

impl Refusal {
    /// Reads the reason as both backends name it; none when nothing is refused.
    pub(crate) fn of(word: &str) -> Option<Self> {
        match word {
            "device" => Some(Self::Device),
            "token" => Some(Self::Token),
            "age" => Some(Self::Age),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_written_in_digits_and_never_shown() {
        let mark = Mark([0x0f; 32]);
        assert_eq!(mark.to_string(), "0f".repeat(32));
        assert_eq!(format!("{mark:?}"), "Mark");
    }
}
