//! Tokens in, identity out. Nothing here knows HTTP: a caller is told why a token is refused, never what is in it.

mod claims;
mod keys;
mod remote;
mod secret;
mod verifier;

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::metrics::Refusal;
use crate::sync::UserId;

pub use claims::{Grant, sign};
pub use secret::{Secret, SecretError};
pub use verifier::{SetupError, Verifier};

/// How far the clocks of two machines may differ; a token counts as valid until so long after its `exp`.
pub const LEEWAY: Duration = Duration::from_secs(30);

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The person: `sub`.
    pub user: UserId,
    /// What they may do: `role`.
    pub role: Role,
    /// The `email` claim, for the person's row on first contact.
    pub email: Option<String>,
    /// When the token ends: `exp`, without leeway.
    pub expires_at: DateTime<Utc>,
}

/// What a caller may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Their own rows, and to read the catalogue.
    #[default]
    Authenticated,
    /// Also to write the catalogue and to see who is active.
    Admin,
    /// The same, for services.
    ServiceRole,
}

impl Role {
    /// The name in a token.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Authenticated => "authenticated",
            Self::Admin => "admin",
            Self::ServiceRole => "service_role",
        }
    }

    /// Whether the catalogue may be written and the active users seen.
    #[must_use]
    pub fn is_admin(self) -> bool {
        self != Self::Authenticated
    }
}

/// Why a token is not believed. The texts are for clients: they hold nothing of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// There was none.
    #[error("a token is needed")]
    Missing,
    /// It ended.
    #[error("the token has expired; get a new one")]
    Expired,
    /// It is no token of ours.
    #[error("{0}")]
    Refused(&'static str),
    /// The keys to judge it by can't be fetched right now.
    #[error("the keys that tokens are checked with can't be fetched; try again later")]
    Unavailable,
}

impl From<&AuthError> for Refusal {
    fn from(error: &AuthError) -> Self {
        match error {
            AuthError::Missing => Self::Missing,
            AuthError::Expired => Self::Expired,
            AuthError::Refused(_) => Self::Refused,
            AuthError::Unavailable => Self::Unavailable,
        }
    }
}

/// Says who a token belongs to.
#[async_trait::async_trait]
pub trait Verify: Send + Sync + 'static {
    /// The caller that `token` names.
    async fn verify(&self, token: &str) -> Result<Caller, AuthError>;
}

#[cfg(test)]
mod tests;
