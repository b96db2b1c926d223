//! Keys, each bound to the one algorithm it is believed for, so that no token can choose how it is checked.

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Header};
use serde::Deserialize;
use serde_json::Value;

use super::{Secret, crypto};

/// The most keys of one document; a token without `kid` is tried against each of its algorithm.
const MOST_KEYS: usize = 32;

/// A key and the one algorithm it is for.
#[derive(Clone)]
pub(super) struct Key {
    pub(super) id: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) decoding: DecodingKey,
}

impl Key {
    /// The key of our own tokens.
    pub(super) fn of_secret(secret: &Secret) -> Self {
        Self { id: None, algorithm: Algorithm::HS256, decoding: DecodingKey::from_secret(secret.bytes()) }
    }

    /// The public key in a PEM text.
    pub(super) fn of_pem(pem: &[u8]) -> Option<Self> {
        type Read = fn(&[u8]) -> jsonwebtoken::errors::Result<DecodingKey>;
        let kinds: [(Algorithm, Read); 3] = [
            (Algorithm::RS256, DecodingKey::from_rsa_pem),
            (Algorithm::ES256, DecodingKey::from_ec_pem),
            (Algorithm::EdDSA, DecodingKey::from_ed_pem),
        ];
        let (algorithm, decoding) =
            kinds.into_iter().find_map(|(algorithm, read)| Some((algorithm, read(pem).ok()?)))?;
        crypto::is_long_enough(&decoding).then_some(Self { id: None, algorithm, decoding })
    }

    /// The public key of one entry of a JWKS, if it is one that we check signatures with.
    fn of_jwk(jwk: &Jwk) -> Option<Self> {
        let algorithm = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => Algorithm::RS256,
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => Algorithm::ES256,
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
            // A symmetric key has no place in a public document.
            _ => return None,
        };
        let meant_for = match jwk.common.key_algorithm {
            None => algorithm,
            Some(KeyAlgorithm::RS256) => Algorithm::RS256,
            Some(KeyAlgorithm::ES256) => Algorithm::ES256,
            Some(KeyAlgorithm::EdDSA) => Algorithm::EdDSA,
            Some(_) => return None,
        };
        let for_signatures = matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature));
        if meant_for != algorithm || !for_signatures {
            return None;
        }
        let decoding = DecodingKey::from_jwk(jwk).ok()?;
        crypto::is_long_enough(&decoding).then_some(Self { id: jwk.common.key_id.clone(), algorithm, decoding })
    }

    /// True if a token with this header may have been signed with it.
    pub(super) fn fits(&self, header: &Header) -> bool {
        let same_id = match (&self.id, &header.kid) {
            (Some(own), Some(named)) => own == named,
            _ => true,
        };
        self.algorithm == header.alg && same_id
    }
}

/// The usable keys of a JWKS document. Entries that we can't use are passed over, whatever they are.
pub(super) fn of_jwks(text: &[u8]) -> Option<Vec<Key>> {
    #[derive(Deserialize)]
    struct Document {
        keys: Vec<Value>,
    }
    let document: Document = serde_json::from_slice(text).ok()?;
    let keys = document.keys.into_iter().filter_map(|entry| Key::of_jwk(&serde_json::from_value(entry).ok()?));
    let keys: Vec<Key> = keys.take(MOST_KEYS).collect();
    (!keys.is_empty()).then_some(keys)
}
