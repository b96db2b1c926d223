//! The claims of a token: read into a [`Caller`], and written for `ryzed token`.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{AuthError, Caller, LEEWAY, Role, Secret, crypto};
use crate::sync::{DeviceId, Mark, Token, UserId};

/// The longest `email` that is taken over.
const LONGEST_EMAIL: usize = 320;
/// The last second of the year 9999: no token lasts longer, whatever it says.
const LAST_SECOND: i64 = 253_402_300_799;

/// The claims that count. Loose types: a claim of the wrong type gets a better answer than "malformed".
#[derive(Debug, Deserialize)]
pub(super) struct Claims {
    #[serde(default)]
    sub: Value,
    #[serde(default)]
    exp: Value,
    #[serde(default)]
    role: Value,
    #[serde(default)]
    email: Value,
    #[serde(default)]
    iat: Value,
    #[serde(default)]
    session_id: Value,
    #[serde(default)]
    sid: Value,
    #[serde(default)]
    device_id: Value,
    #[serde(default)]
    device: Value,
}

impl Claims {
    /// Makes the caller from the claims of `token`. Its signature, the times, `iss` and `aud` have been checked.
    pub(super) fn caller(&self, token: &str) -> Result<Caller, AuthError> {
        let user = self.sub.as_str().and_then(|sub| Uuid::try_parse(sub).ok());
        let user = user.ok_or(AuthError::Refused("the token's sub is not a UUID"))?;
        let expires_at = self.exp.as_f64().and_then(|exp| DateTime::from_timestamp((exp as i64).min(LAST_SECOND), 0));
        // Issuers have roles of their own; a person with none of ours has the least rights.
        let role = Role::deserialize(&self.role).unwrap_or_default();
        let email = self.email.as_str().filter(|email| is_email(email));
        Ok(Caller {
            user: UserId(user),
            role,
            email: email.map(str::to_owned),
            expires_at: expires_at.ok_or(AuthError::Refused("the token's exp is not a time"))?,
            token: Some(Arc::new(self.token(token))),
        })
    }

    fn token(&self, token: &str) -> Token {
        // Without the signature, of which there may be several that are right.
        let signed = token.rsplit_once('.').map_or(token, |(signed, _)| signed);
        let session = [&self.session_id, &self.sid].into_iter().find_map(Value::as_str);
        let named = [&self.device_id, &self.device].into_iter().find_map(Value::as_str);
        Token {
            mark: mark("token", signed),
            session: session.filter(|session| !session.is_empty()).map(|session| mark("session", session)),
            issued_at: self.issued_at(),
            device: named.and_then(|device| device.parse::<DeviceId>().ok()),
        }
    }

    /// A time that is still to come says nothing of when the token was issued.
    fn issued_at(&self) -> Option<DateTime<Utc>> {
        let latest = Utc::now() + LEEWAY;
        let issued_at = self.iat.as_f64().filter(|iat| *iat >= 0.0)?;
        DateTime::from_timestamp(issued_at as i64, 0).filter(|issued_at| *issued_at <= latest)
    }
}

fn mark(kind: &str, text: &str) -> Mark {
    Mark(Sha256::new().chain_update(kind).chain_update([0]).chain_update(text).finalize().into())
}

/// True if the text can be stored as an e-mail address. Nobody is turned away for it.
fn is_email(text: &str) -> bool {
    !text.is_empty() && text.len() <= LONGEST_EMAIL && !text.chars().any(char::is_control)
}

/// The content of a token that the daemon issues itself.
#[derive(Debug, Clone)]
pub struct Grant {
    /// The person.
    pub user: UserId,
    /// The person's role.
    pub role: Role,
    /// For the person's row.
    pub email: Option<String>,
    /// `iss`, as the configuration asks for it.
    pub issuer: Option<String>,
    /// `aud`, as the configuration asks for it.
    pub audience: Option<String>,
}

/// A token that says `grant`, from `now` for `ttl`.
///
/// # Errors
/// When the time is out of range or the signature fails.
pub fn sign(secret: &Secret, grant: &Grant, now: DateTime<Utc>, ttl: Duration) -> Result<String, SignError> {
    #[derive(Serialize)]
    struct Written<'a> {
        sub: UserId,
        role: Role,
        #[serde(skip_serializing_if = "Option::is_none")]
        email: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        iss: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        aud: Option<&'a str>,
        iat: i64,
        exp: i64,
        /// Tells it from another one that was made in the same second.
        jti: Uuid,
    }
    let ends = chrono::TimeDelta::from_std(ttl).ok().and_then(|ttl| now.checked_add_signed(ttl));
    let claims = Written {
        sub: grant.user,
        role: grant.role,
        email: grant.email.as_deref(),
        iss: grant.issuer.as_deref(),
        aud: grant.audience.as_deref(),
        iat: now.timestamp(),
        exp: ends.ok_or(SignError::TooLong)?.timestamp(),
        jti: Uuid::new_v4(),
    };
    crypto::install();
    let key = EncodingKey::from_secret(secret.bytes());
    Ok(jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)?)
}

/// Why a token could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// It would end after the end of time.
    #[error("the token would live too long")]
    TooLong,
    /// The library refused.
    #[error("the token can't be signed: {0}")]
    Library(#[from] jsonwebtoken::errors::Error),
}
