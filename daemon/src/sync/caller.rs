//! The caller of a request, with their role.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::ids::UserId;
use super::token::Token;

/// The authenticated caller of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The person: `sub`.
    pub user: UserId,
    /// The caller's role: `role`.
    pub role: Role,
    /// The `email` claim, for the person's row on first contact.
    pub email: Option<String>,
    /// The time at which the token expires: `exp`, without leeway.
    pub expires_at: DateTime<Utc>,
    /// The token; none for whoever needs none, as a command beside the daemon.
    pub token: Option<Arc<Token>>,
}

/// The role of a caller, which decides what they may do.
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

    /// True if the caller may write the catalogue and see the active users.
    #[must_use]
    pub fn is_admin(self) -> bool {
        self != Self::Authenticated
    }
}
