//! Tokens in, identity out.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::sync::UserId;

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
    /// Whether the catalogue may be written and the active users seen.
    #[must_use]
    pub fn is_admin(self) -> bool {
        self != Self::Authenticated
    }
}

/// Why a token was not accepted, in words for its holder. Never holds the token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Denied(pub String);

/// Turns a token into who calls.
#[async_trait]
pub trait Verify: Send + Sync + 'static {
    /// Who holds this token. A token counts until its leeway after `exp` is over.
    async fn verify(&self, token: &str) -> Result<Caller, Denied>;
}
