//! From a token to its caller: which keys may have signed it, and what else must hold.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Header, Validation};

use super::claims::Claims;
use super::keys::{self, Key};
use super::remote::RemoteKeys;
use super::{AuthError, Caller, LEEWAY, Secret, Verify, crypto};
use crate::config::Auth;
use crate::private;

/// The longest token that is read.
const LONGEST_TOKEN: usize = 16 << 10;

const MALFORMED: AuthError = AuthError::Refused("this is not a token that this server can read");
const UNKNOWN_KEY: AuthError =
    AuthError::Refused("the token is not signed with a key and algorithm that this server believes");
const WRONG_SIGNATURE: AuthError = AuthError::Refused("the token's signature is wrong");

/// Judges tokens by the configured keys.
pub struct Verifier {
    local: Vec<Key>,
    remote: Option<RemoteKeys>,
    issuer: Option<String>,
    audience: Option<String>,
}

/// Why the configured keys can't be used.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A file can't be read.
    #[error("can't read {path} ({key}): {}", crate::private::why(.error))]
    Read {
        /// The configuration's key.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A file holds something else.
    #[error("{path} ({key}) holds no {wanted}")]
    Content {
        /// The configuration's key.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// The expected content.
        wanted: &'static str,
    },
}

impl Verifier {
    /// Reads the configured files. Without a secret, no token is believed that is signed with one. Nothing is fetched before a token asks for it.
    ///
    /// # Errors
    /// When a file can't be read or holds no key.
    pub fn new(config: &Auth, secret: Option<&Secret>) -> Result<Self, SetupError> {
        crypto::install();
        let mut local: Vec<Key> = secret.into_iter().map(Key::of_secret).collect();
        if let Some(path) = &config.public_key_file {
            let (key, wanted) =
                ("auth.public_key_file", "public key in PEM for RS256 (of 2048 bits or more), ES256 or EdDSA");
            let found = Key::of_pem(&read(key, path)?);
            local.push(found.ok_or(SetupError::Content { key, path: path.clone(), wanted })?);
        }
        if let Some(path) = &config.jwks_file {
            let (key, wanted) =
                ("auth.jwks_file", "JWKS with a public key for RS256 (of 2048 bits or more), ES256 or EdDSA");
            let found = keys::of_jwks(&read(key, path)?);
            local.extend(found.ok_or(SetupError::Content { key, path: path.clone(), wanted })?);
        }
        if config.fetches_unguarded() {
            tracing::warn!(
                "auth.jwks_url is fetched without TLS: whoever stands between could put in keys of their own; use https://"
            );
        }
        Ok(Self {
            local,
            remote: config.jwks_url.clone().map(RemoteKeys::at),
            issuer: config.issuer.clone(),
            audience: config.audience.clone(),
        })
    }

    #[cfg(test)]
    pub(super) fn set_remote(&mut self, remote: RemoteKeys) {
        self.remote = Some(remote);
    }

    /// The required claims of a token, apart from its audience.
    fn validation(&self, key: &Key) -> Validation {
        let mut validation = Validation::new(key.algorithm);
        validation.leeway = LEEWAY.as_secs();
        validation.validate_nbf = true;
        // What is checked must also be there: a token without `aud` is not for us.
        let mut required = vec!["exp"];
        if let Some(issuer) = &self.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        match &self.audience {
            Some(audience) => {
                validation.set_audience(&[audience]);
                required.push("aud");
            }
            None => validation.validate_aud = false,
        }
        validation.set_required_spec_claims(&required);
        validation
    }

    /// `None` when no key fits, so that it may be worth to look for another.
    fn judge(&self, token: &str, header: &Header, keys: &[Key]) -> Option<Result<Caller, AuthError>> {
        let mut outcome = None;
        for key in keys.iter().filter(|key| key.fits(header)) {
            match jsonwebtoken::decode::<Claims>(token, &key.decoding, &self.validation(key)) {
                Ok(read) => return Some(read.claims.caller(token)),
                Err(error) if matches!(error.kind(), ErrorKind::InvalidSignature) => outcome = outcome.or(Some(error)),
                // Signed with this key, so no other can say better.
                Err(error) => return Some(Err(explained(&error))),
            }
        }
        outcome.map(|error| Err(explained(&error)))
    }
}

#[async_trait::async_trait]
impl Verify for Verifier {
    async fn verify(&self, token: &str) -> Result<Caller, AuthError> {
        if token.is_empty() {
            return Err(AuthError::Missing);
        }
        if token.len() > LONGEST_TOKEN {
            return Err(MALFORMED);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| MALFORMED)?;
        if header.crit.is_some() {
            return Err(AuthError::Refused("the token's header demands an extension that this server does not have"));
        }
        let local = self.judge(token, &header, &self.local);
        let Some(remote) = &self.remote else { return local.unwrap_or(Err(UNKNOWN_KEY)) };
        // Only a wrong signature leaves it open whether another key would fit.
        match local {
            Some(outcome) if outcome != Err(WRONG_SIGNATURE) => return outcome,
            _ => {}
        }
        let known: Arc<Vec<Key>> = remote.current().await;
        match self.judge(token, &header, &known) {
            Some(outcome) => outcome,
            None => {
                let newest = remote.after_unknown(&known).await;
                let nothing = if newest.is_empty() { AuthError::Unavailable } else { UNKNOWN_KEY };
                self.judge(token, &header, &newest).unwrap_or(Err(nothing))
            }
        }
    }
}

fn read(key: &'static str, path: &Path) -> Result<Vec<u8>, SetupError> {
    private::read(path).map_err(|error| SetupError::Read { key, path: path.to_owned(), error })
}

/// The error for the client. Never the content of the token.
fn explained(error: &Error) -> AuthError {
    AuthError::Refused(match error.kind() {
        ErrorKind::ExpiredSignature => return AuthError::Expired,
        ErrorKind::InvalidSignature => return WRONG_SIGNATURE,
        ErrorKind::ImmatureSignature => "the token is not valid yet",
        ErrorKind::InvalidIssuer => "the token is from another issuer",
        ErrorKind::InvalidAudience => "the token is for another audience",
        ErrorKind::MissingRequiredClaim(claim) => match claim.as_str() {
            "exp" => "the token has no exp",
            "iss" => "the token has no iss",
            _ => "the token has no aud",
        },
        _ => return MALFORMED,
    })
}
