//! Tokens as another issuer signs them, right or wrong, without a line of the daemon's.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384,
    RsaKeyPair,
};
use ring::{hmac, rsa};
use serde_json::{Value, json};

/// A key that tokens are signed with.
#[derive(Debug)]
pub enum SigningKey {
    /// Of HS256, HS384 and HS512.
    Secret(Vec<u8>),
    /// Of RS256 and RS384.
    Rsa(Box<RsaKeyPair>),
    /// Of ES256.
    Ec(EcdsaKeyPair),
    /// Of EdDSA.
    Ed(Ed25519KeyPair),
}

impl SigningKey {
    /// A secret.
    #[must_use]
    pub fn secret(secret: impl AsRef<[u8]>) -> Self {
        Self::Secret(secret.as_ref().to_vec())
    }

    /// The private key (PKCS #8) of a PEM file whose name tells its kind: `rsa.pem`, `ec.pem` or `ed.pem`.
    #[must_use]
    pub fn of_file(path: &Path) -> Self {
        let pem = std::fs::read_to_string(path).expect("a key");
        let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        let der = STANDARD.decode(body).expect("base64");
        match path.file_stem().and_then(|name| name.to_str()) {
            Some("rsa") => Self::Rsa(Box::new(RsaKeyPair::from_pkcs8(&der).expect("an RSA key"))),
            Some("ec") => Self::Ec(
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der, &SystemRandom::new())
                    .expect("a key of P-256"),
            ),
            _ => Self::Ed(Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).expect("an Ed25519 key")),
        }
    }

    /// The algorithm that fits the key best.
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        match self {
            Self::Secret(_) => "HS256",
            Self::Rsa(_) => "RS256",
            Self::Ec(_) => "ES256",
            Self::Ed(_) => "EdDSA",
        }
    }

    /// The public half as an entry of a JWKS.
    #[must_use]
    pub fn jwk(&self) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Secret(secret) => json!({"kty": "oct", "k": text(secret)}),
            Self::Rsa(key) => {
                let public = rsa::PublicKeyComponents::<Vec<u8>>::from(key.public());
                json!({"kty": "RSA", "alg": "RS256", "n": text(&public.n), "e": text(&public.e)})
            }
            Self::Ec(key) => {
                // Behind the byte that says: both coordinates.
                let (x, y) = key.public_key().as_ref()[1..].split_at(32);
                json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "x": text(x), "y": text(y)})
            }
            Self::Ed(key) => {
                json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "x": text(key.public_key().as_ref())})
            }
        }
    }

    fn sign(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match (self, algorithm) {
            (Self::Secret(secret), _) => {
                let kind = match algorithm {
                    "HS384" => hmac::HMAC_SHA384,
                    "HS512" => hmac::HMAC_SHA512,
                    _ => hmac::HMAC_SHA256,
                };
                hmac::sign(&hmac::Key::new(kind, secret), message).as_ref().to_vec()
            }
            (Self::Rsa(key), _) => {
                let padding = if algorithm == "RS384" { &RSA_PKCS1_SHA384 } else { &RSA_PKCS1_SHA256 };
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(padding, &random, message, &mut signature).expect("a signature");
                signature
            }
            (Self::Ec(key), _) => key.sign(&random, message).expect("a signature").as_ref().to_vec(),
            (Self::Ed(key), _) => key.sign(message).as_ref().to_vec(),
        }
    }
}

/// A token with this header, whose `alg` is by default the key's.
#[must_use]
pub fn encode(header: &Value, claims: &Value, key: &SigningKey) -> String {
    let mut whole = json!({"typ": "JWT", "alg": key.algorithm()});
    if let (Some(whole), Some(header)) = (whole.as_object_mut(), header.as_object()) {
        whole.extend(header.clone());
    }
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(&whole), part(claims));
    let signature = key.sign(whole["alg"].as_str().unwrap_or_default(), message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}
