//! The tokens that the relay believes: JWTs with HS256.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::Utc;
use ring::hmac;
use serde::Deserialize;
use uuid::Uuid;

#[derive(Deserialize)]
struct Claims {
    sub: Uuid,
    exp: i64,
}

/// The key of the tokens.
#[derive(Debug)]
pub(super) struct Key(hmac::Key);

impl Key {
    pub(super) fn new(secret: &str) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()))
    }

    /// The person of a token that is signed with the key and has not ended.
    pub(super) fn subject(&self, token: &str) -> Option<Uuid> {
        let (message, signature) = token.rsplit_once('.')?;
        hmac::verify(&self.0, message.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).ok()?).ok()?;
        let (_, claims) = message.split_once('.')?;
        let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
        (claims.exp > Utc::now().timestamp()).then_some(claims.sub)
    }
}
