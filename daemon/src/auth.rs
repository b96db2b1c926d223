//! Tokens in, identity out. Nothing here knows HTTP. An error gives the reason for refusing a token, never its content.

mod claims;
mod crypto;
mod keys;
mod remote;
mod secret;
mod verifier;

use std::time::Duration;

use crate::metrics::Refusal;

pub use crate::sync::{Caller, Role};
pub use claims::{Grant, sign};
pub use secret::{Secret, SecretError};
pub use verifier::{SetupError, Verifier};

/// The tolerance between the clocks of two machines; a token counts as valid until so long after its `exp`.
pub const LEEWAY: Duration = Duration::from_secs(30);

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
