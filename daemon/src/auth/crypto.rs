//! The cryptography of tokens: `jsonwebtoken` on `ring`, which TLS brings along, so that no second library of it is built.

use std::sync::Once;

use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result};
use jsonwebtoken::signature::{Error, Signer, Verifier};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::hmac;
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm};

/// The shortest RSA key of RS256 (RFC 7518, 3.3), in bytes.
const SHORTEST_RSA: usize = 2048 / 8;

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: signer,
    verifier_factory: verifier,
    // Only for keys that are written as a JWK, or named by their thumbprint.
    key_utils: KeyUtils::new_unimplemented(),
};

/// Tells `jsonwebtoken`, once in the process, to use this cryptography. Comes before the first token is signed or checked.
pub(super) fn install() {
    static INSTALLED: Once = Once::new();
    // It fails only when one was installed before, and nothing else installs one.
    INSTALLED.call_once(|| {
        let _ = PROVIDER.install_default();
    });
}

/// True unless it is an RSA key that is too short for RS256.
pub(super) fn is_long_enough(key: &DecodingKey) -> bool {
    let length = match key.kind() {
        // Besides the modulus there are the exponent and the frame, a dozen bytes: far from the next size.
        DecodingKeyKind::SecretOrDer(der) => der.len(),
        DecodingKeyKind::RsaModulusExponent { n, .. } => without_zeros(n).len(),
    };
    key.family() != AlgorithmFamily::Rsa || length >= SHORTEST_RSA
}

/// A number in the form that `ring` wants it, which others fill up.
fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    match algorithm {
        Algorithm::HS256 => Ok(Box::new(Hmac(hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes())))),
        _ => Err(ErrorKind::UnsupportedAlgorithm.into()),
    }
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    if algorithm.family() != key.family() {
        return Err(ErrorKind::InvalidKeyFormat.into());
    }
    let bytes = || key.try_get_as_bytes().map(<[u8]>::to_vec);
    Ok(match (algorithm, key.kind()) {
        (Algorithm::HS256, _) => Box::new(Hmac(hmac::Key::new(hmac::HMAC_SHA256, &bytes()?))),
        (Algorithm::RS256, DecodingKeyKind::RsaModulusExponent { n, e }) => {
            Box::new(Rsa(RsaPublicKeyComponents { n: without_zeros(n).into(), e: without_zeros(e).into() }))
        }
        (Algorithm::RS256, _) => Public::boxed(*algorithm, &signature::RSA_PKCS1_2048_8192_SHA256, bytes()?),
        (Algorithm::ES256, _) => Public::boxed(*algorithm, &signature::ECDSA_P256_SHA256_FIXED, bytes()?),
        (Algorithm::EdDSA, _) => Public::boxed(*algorithm, &signature::ED25519, bytes()?),
        _ => return Err(ErrorKind::UnsupportedAlgorithm.into()),
    })
}

/// HS256.
struct Hmac(hmac::Key);

impl Signer<Vec<u8>> for Hmac {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, Error> {
        Ok(hmac::sign(&self.0, message).as_ref().to_vec())
    }
}

impl Verifier<Vec<u8>> for Hmac {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), Error> {
        hmac::verify(&self.0, message, signature).map_err(|_| Error::new())
    }
}

impl JwtSigner for Hmac {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl JwtVerifier for Hmac {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

/// RS256 with a key that comes as its two numbers, from a JWKS.
struct Rsa(RsaPublicKeyComponents<Vec<u8>>);

impl Verifier<Vec<u8>> for Rsa {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), Error> {
        let checked = self.0.verify(&signature::RSA_PKCS1_2048_8192_SHA256, message, signature);
        checked.map_err(|_| Error::new())
    }
}

impl JwtVerifier for Rsa {
    fn algorithm(&self) -> Algorithm {
        Algorithm::RS256
    }
}

/// A public key of any other form.
struct Public {
    algorithm: Algorithm,
    key: UnparsedPublicKey<Vec<u8>>,
}

impl Public {
    fn boxed(algorithm: Algorithm, by: &'static dyn VerificationAlgorithm, key: Vec<u8>) -> Box<dyn JwtVerifier> {
        Box::new(Self { algorithm, key: UnparsedPublicKey::new(by, key) })
    }
}

impl Verifier<Vec<u8>> for Public {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), Error> {
        self.key.verify(message, signature).map_err(|_| Error::new())
    }
}

impl JwtVerifier for Public {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}
