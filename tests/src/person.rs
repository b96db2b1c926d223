//! People and their tokens, good and bad ones.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::Utc;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::SECRET;
use crate::jwt::{self, SigningKey};

/// A person who may call.
#[derive(Debug, Clone)]
pub struct Person {
    /// The `sub` of their tokens.
    pub id: Uuid,
    role: &'static str,
    email: Option<&'static str>,
}

impl Person {
    /// A person whom the daemon has never met.
    #[must_use]
    pub fn new() -> Self {
        Self { id: Uuid::new_v4(), role: "authenticated", email: None }
    }

    /// A person whom the application knows under this id.
    #[must_use]
    pub fn known(id: Uuid) -> Self {
        Self { id, ..Self::new() }
    }

    /// The same person with an e-mail address in their tokens.
    #[must_use]
    pub fn with_email(self, email: &'static str) -> Self {
        Self { email: Some(email), ..self }
    }

    /// A person who may write the catalogue.
    #[must_use]
    pub fn admin() -> Self {
        Self { role: "admin", ..Self::new() }
    }

    /// A service.
    #[must_use]
    pub fn service() -> Self {
        Self { role: "service_role", ..Self::new() }
    }

    /// A token that lasts an hour.
    #[must_use]
    pub fn token(&self) -> String {
        Token::of(self).sign()
    }
}

impl Default for Person {
    fn default() -> Self {
        Self::new()
    }
}

/// A token in the making.
#[derive(Debug, Clone)]
pub struct Token {
    claims: Value,
    key: String,
    algorithm: &'static str,
}

impl Token {
    /// A token of this person, good for an hour.
    #[must_use]
    pub fn of(person: &Person) -> Self {
        let now = Utc::now().timestamp();
        let claims =
            json!({"sub": person.id, "role": person.role, "iat": now, "exp": now + 3600, "jti": Uuid::new_v4()});
        let token = Self { claims, key: SECRET.to_owned(), algorithm: "HS256" };
        token.claim("email", person.email)
    }

    /// Ends in so many seconds; fewer than none: it has ended.
    #[must_use]
    pub fn expires_in(self, seconds: i64) -> Self {
        self.claim("exp", Utc::now().timestamp() + seconds)
    }

    /// Was issued so many seconds from now; fewer than none: so long ago.
    #[must_use]
    pub fn issued_in(self, seconds: i64) -> Self {
        self.claim("iat", Utc::now().timestamp() + seconds)
    }

    /// Says something else in a claim; `null` leaves it out.
    #[must_use]
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims[name] = value.into();
        if let Some(claims) = self.claims.as_object_mut() {
            claims.retain(|_, value| !value.is_null());
        }
        self
    }

    /// Is signed by somebody else.
    #[must_use]
    pub fn key(mut self, key: &str) -> Self {
        self.key = key.to_owned();
        self
    }

    /// Is signed with another algorithm.
    #[must_use]
    pub fn algorithm(mut self, algorithm: &'static str) -> Self {
        self.algorithm = algorithm;
        self
    }

    /// The token.
    #[must_use]
    pub fn sign(&self) -> String {
        self.sign_with(&SigningKey::secret(&self.key))
    }

    /// The token, signed by whoever has a key of its own.
    #[must_use]
    pub fn sign_with(&self, key: &SigningKey) -> String {
        jwt::encode(&json!({"alg": self.algorithm}), &self.claims, key)
    }

    /// The token without a signature, which says that it needs none.
    #[must_use]
    pub fn unsigned(&self) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.", part(&json!({"alg": "none", "typ": "JWT"})), part(&self.claims))
    }

    /// The token with other claims under the old signature.
    #[must_use]
    pub fn forged(&self, name: &str, value: impl Into<Value>) -> String {
        let signed = self.sign();
        let other = self.clone().claim(name, value).sign();
        let part = |token: &str, at: usize| token.split('.').nth(at).expect("three parts").to_owned();
        format!("{}.{}.{}", part(&signed, 0), part(&other, 1), part(&signed, 2))
    }
}
