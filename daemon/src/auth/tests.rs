//! Tests of tokens and keys: which of them are believed.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::Utc;
use ryzed_tests::SigningKey;
use ryzed_tests::jwt::encode;
use serde_json::{Value, json};

use super::remote::RemoteKeys;
use super::*;
use crate::config::Auth;
use crate::sync::UserId;

const SECRET: &[u8] = b"a secret of thirty-two bytes, or more";
const USER: &str = "6f1c1f7e-53a4-4ac1-9d4c-0c2f1a8e8f11";

// Made for these tests; they open nothing.
fn private(name: &str) -> SigningKey {
    SigningKey::of_file(&public(&format!("{name}.pem")))
}

fn at(seconds: i64) -> i64 {
    Utc::now().timestamp() + seconds
}

fn claims(more: &Value) -> Value {
    let mut claims = json!({"sub": USER, "exp": at(60)});
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    claims.as_object_mut().unwrap().retain(|_, value| value != "absent");
    claims
}

fn signed(key: &SigningKey) -> String {
    encode(&json!({}), &claims(&json!({})), key)
}

fn ours(more: &Value) -> String {
    encode(&json!({}), &claims(more), &SigningKey::secret(SECRET))
}

fn verifier(config: &Auth) -> Verifier {
    Verifier::new(config, Some(&Secret::of(SECRET))).unwrap()
}

fn public(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src/auth/test_keys")).join(name)
}

fn asymmetric() -> [(SigningKey, PathBuf); 3] {
    ["rsa", "ec", "ed"].map(|name| (private(name), public(&format!("{name}.pub.pem"))))
}

#[tokio::test]
async fn a_token_names_its_caller() {
    let verifier = verifier(&Auth::default());
    let token = ours(&json!({"role": "admin", "email": "runner@example.com", "aud": "whatever"}));
    let caller = verifier.verify(&token).await.unwrap();
    assert_eq!(caller.user.to_string(), USER);
    assert_eq!((caller.role, caller.email.as_deref()), (Role::Admin, Some("runner@example.com")));
    assert!((at(55)..=at(60)).contains(&caller.expires_at.timestamp()));
    let plain = verifier.verify(&ours(&json!({}))).await.unwrap();
    assert_eq!((plain.role, plain.email), (Role::Authenticated, None));
    let service = verifier.verify(&ours(&json!({"role": "service_role"}))).await.unwrap();
    assert_eq!(service.role, Role::ServiceRole);
    for role in [json!("anon"), json!("Admin"), json!(["admin"]), json!(7)] {
        let stranger = verifier.verify(&ours(&json!({"role": role}))).await.unwrap();
        assert_eq!(stranger.role, Role::Authenticated, "the least rights");
    }
    let odd = verifier.verify(&ours(&json!({"email": "a\0@b"}))).await.unwrap();
    assert_eq!(odd.email, None);
}

#[tokio::test]
async fn a_token_is_known_again_and_its_session_and_device_are_read() {
    let verifier = verifier(&Auth::default());
    let read = async |more: Value| verifier.verify(&ours(&more)).await.unwrap().token.unwrap();
    let (one, again, other) = (read(json!({"exp": 9e9})).await, read(json!({"exp": 9e9})).await, read(json!({})).await);
    assert_eq!(one, again);
    assert_ne!(one.mark, other.mark);
    assert_eq!((one.session, one.device.clone(), one.issued_at), (None, None, None));
    let (supabase, oidc) = (read(json!({"session_id": "s"})).await, read(json!({"sid": "s"})).await);
    assert!(supabase.session.is_some() && supabase.session == oidc.session);
    assert_ne!(supabase.session, read(json!({"sid": "t"})).await.session);
    for more in [json!({"device_id": "pixel-8"}), json!({"device": "pixel-8"})] {
        assert_eq!(read(more).await.device, "pixel-8".parse().ok());
    }
    for more in [json!({"device_id": "no device"}), json!({"device": 7}), json!({"sid": ""}), json!({"sid": [1]})] {
        let token = read(more).await;
        assert_eq!((&token.device, token.session), (&None, None));
    }
    let issued = read(json!({"iat": 1_700_000_000.9})).await.issued_at.unwrap();
    assert_eq!(issued.timestamp(), 1_700_000_000, "whole seconds");
    assert!(read(json!({"iat": at(20)})).await.issued_at.is_some(), "clocks differ");
    for iat in [json!(at(60)), json!(-1), json!("now"), Value::Null, json!(1e300)] {
        assert_eq!(read(json!({"iat": iat})).await.issued_at, None, "{iat}");
    }
    // The last time that there is, and a little more.
    let lasting = verifier.verify(&ours(&json!({"exp": 1e15}))).await.unwrap();
    assert!(lasting.expires_at + LEEWAY > lasting.expires_at);
}

/// The holder of an ES256 token can make another valid one: each signature has a twin.
#[tokio::test]
async fn a_token_under_another_signature_is_the_same_token() {
    let config = Auth { public_key_file: Some(public("ec.pub.pem")), ..Auth::default() };
    let token = signed(&private("ec"));
    let (said, signature) = token.rsplit_once('.').unwrap();
    let twin = format!("{said}.{}", URL_SAFE_NO_PAD.encode(other_half(&URL_SAFE_NO_PAD.decode(signature).unwrap())));
    assert_ne!(token, twin);
    let mark = async |token: &str| verifier(&config).verify(token).await.unwrap().token.unwrap().mark;
    assert_eq!(mark(&token).await, mark(&twin).await);
}

/// The signature (r, n - s) for (r, s); n is the order of P-256.
fn other_half(signature: &[u8]) -> Vec<u8> {
    const ORDER: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad,
        0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let (r, s) = signature.split_at(32);
    let (mut other, mut borrow) = (r.to_vec(), 0);
    other.resize(64, 0);
    for at in (0..32).rev() {
        let difference = i16::from(ORDER[at]) - i16::from(s[at]) - borrow;
        borrow = i16::from(difference < 0);
        other[32 + at] = difference.rem_euclid(256) as u8;
    }
    other
}

#[tokio::test]
async fn what_is_wrong_with_a_token_is_told() {
    let verifier = verifier(&Auth::default());
    for (more, words) in [
        (json!({"exp": at(-31)}), "expired"),
        (json!({"exp": "absent"}), "exp"),
        (json!({"exp": "soon"}), ""),
        (json!({"exp": 1e30}), "exp"),
        (json!({"nbf": at(60)}), "not valid yet"),
        (json!({"sub": "bob"}), "UUID"),
        (json!({"sub": "absent"}), "UUID"),
        (json!({"sub": 7}), "UUID"),
    ] {
        let error = verifier.verify(&ours(&more)).await.unwrap_err().to_string();
        assert!(error.contains(words), "{more}: {error}");
    }
}

#[tokio::test]
async fn clocks_may_differ_by_thirty_seconds() {
    let verifier = verifier(&Auth::default());
    assert!(verifier.verify(&ours(&json!({"exp": at(-25)}))).await.is_ok());
    assert!(verifier.verify(&ours(&json!({"nbf": at(25)}))).await.is_ok());
}

#[tokio::test]
async fn what_is_not_signed_with_our_key_is_refused() {
    let verifier = verifier(&Auth::default());
    let good = ours(&json!({}));
    let payload = good.split('.').nth(1).unwrap();
    let foreign = SigningKey::secret("another secret, long enough as well");
    let unsigned = format!("eyJhbGciOiJub25lIn0.{payload}.");
    let with = |header| encode(&header, &claims(&json!({})), &SigningKey::secret(SECRET));
    let (critical, other_algorithm) = (with(json!({"crit": ["b64"]})), with(json!({"alg": "HS512"})));
    for bad in [
        signed(&foreign),
        unsigned,
        critical,
        other_algorithm,
        good[..good.len() - 2].to_owned(),
        "a.b.c".into(),
        "x".repeat(1 << 20),
    ] {
        assert!(matches!(verifier.verify(&bad).await, Err(AuthError::Refused(_))), "{bad:.200}");
    }
    assert_eq!(verifier.verify("").await, Err(AuthError::Missing));
}

#[tokio::test]
async fn issuer_and_audience_count_when_configured() {
    let config = Auth { issuer: Some("https://a.example".into()), audience: Some("app".into()), ..Auth::default() };
    let verifier = verifier(&config);
    assert!(verifier.verify(&ours(&json!({"iss": "https://a.example", "aud": ["x", "app"]}))).await.is_ok());
    for bad in [
        json!({"iss": "https://b.example", "aud": "app"}),
        json!({"iss": "https://a.example", "aud": "x"}),
        json!({"iss": "https://a.example"}),
        json!({"aud": "app"}),
    ] {
        assert!(verifier.verify(&ours(&bad)).await.is_err(), "{bad}");
    }
}

#[tokio::test]
async fn public_keys_in_pem_are_believed_for_their_algorithm_only() {
    for (key, path) in asymmetric() {
        let verifier = verifier(&Auth { public_key_file: Some(path.clone()), ..Auth::default() });
        assert!(verifier.verify(&signed(&key)).await.is_ok());
        // The public key, which everybody has, as the secret of an HS256 token.
        let confused = SigningKey::secret(std::fs::read(path).unwrap());
        assert!(verifier.verify(&signed(&confused)).await.is_err());
        for (other, _) in asymmetric().iter().filter(|(other, _)| other.algorithm() != key.algorithm()) {
            assert!(verifier.verify(&signed(other)).await.is_err());
            let renamed = encode(&json!({"alg": key.algorithm()}), &claims(&json!({})), other);
            assert!(verifier.verify(&renamed).await.is_err());
        }
    }
    let rsa = Auth { public_key_file: Some(public("rsa.pub.pem")), ..Auth::default() };
    let token = encode(&json!({"alg": "RS384"}), &claims(&json!({})), &private("rsa"));
    assert!(verifier(&rsa).verify(&token).await.is_err());
}

/// A key of a JWKS comes as numbers, which some issuers fill up with zeros.
#[tokio::test]
async fn every_kind_of_key_is_read_from_a_jwks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    for (key, _) in asymmetric() {
        let mut jwk = key.jwk();
        if let Some(n) = jwk["n"].as_str() {
            let filled = [&[0], &URL_SAFE_NO_PAD.decode(n).unwrap()[..]].concat();
            jwk["n"] = json!(URL_SAFE_NO_PAD.encode(filled));
        }
        std::fs::write(&path, json!({"keys": [jwk]}).to_string()).unwrap();
        let verifier = verifier(&Auth { jwks_file: Some(path.clone()), ..Auth::default() });
        assert!(verifier.verify(&signed(&key)).await.is_ok(), "{}", key.algorithm());
    }
}

/// RFC 7518 asks for 2,048 bits; a key of another length than its curve's checks nothing.
#[tokio::test]
async fn a_key_that_is_too_short_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    let short =
        json!({"keys": [{"kty": "RSA", "alg": "RS256", "e": "AQAB", "n": URL_SAFE_NO_PAD.encode([0x81; 128])}]});
    std::fs::write(&path, short.to_string()).unwrap();
    let config = Auth { jwks_file: Some(path.clone()), ..Auth::default() };
    assert!(matches!(Verifier::new(&config, None), Err(SetupError::Content { .. })));
    let config = Auth { public_key_file: Some(public("rsa1024.pub.pem")), ..Auth::default() };
    assert!(matches!(Verifier::new(&config, None), Err(SetupError::Content { .. })));
    let cut = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "x": "AAAA"}]});
    std::fs::write(&path, cut.to_string()).unwrap();
    let config = Auth { jwks_file: Some(path), ..Auth::default() };
    let verifier = Verifier::new(&config, None).unwrap();
    assert!(verifier.verify(&signed(&private("ed"))).await.is_err());
}

fn jwks(ids: &[&str]) -> Vec<u8> {
    let key = private("ec");
    let mut keys: Vec<Value> = vec![json!({"kty": "martian"}), json!(7)];
    keys.push(json!({"kty": "oct", "kid": "shared", "k": "YSBzZWNyZXQ"}));
    for id in ids {
        let mut jwk = key.jwk();
        jwk["kid"] = json!(id);
        keys.push(jwk);
    }
    serde_json::to_vec(&json!({"keys": keys})).unwrap()
}

fn of_key(id: &str) -> String {
    encode(&json!({"kid": id}), &claims(&json!({})), &private("ec"))
}

#[tokio::test]
async fn a_jwks_file_is_believed_key_by_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    std::fs::write(&path, jwks(&["one"])).unwrap();
    let verifier = verifier(&Auth { jwks_file: Some(path.clone()), ..Auth::default() });
    assert!(verifier.verify(&of_key("one")).await.is_ok());
    assert!(verifier.verify(&of_key("two")).await.is_err());
    let token = encode(&json!({"kid": "shared"}), &claims(&json!({})), &SigningKey::secret("a secret"));
    assert!(verifier.verify(&token).await.is_err());
    std::fs::write(&path, "{}").unwrap();
    let config = Auth { jwks_file: Some(path), ..Auth::default() };
    assert!(matches!(Verifier::new(&config, Some(&Secret::of(SECRET))), Err(SetupError::Content { .. })));
}

#[tokio::test(start_paused = true)]
async fn fetched_keys_rotate_and_survive_a_failing_fetch() {
    let fetches = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&fetches);
    let fetch = move || match count.fetch_add(1, Ordering::SeqCst) {
        0 => Ok(jwks(&["one"])),
        1 => Ok(jwks(&["one", "two"])),
        _ => Err("away".into()),
    };
    let mut verifier = verifier(&Auth::default());
    verifier.set_remote(RemoteKeys::fetched_by(Arc::new(fetch)));
    let ours = ours(&json!({}));
    assert!(verifier.verify(&ours).await.is_ok());
    assert_eq!(fetches.load(Ordering::SeqCst), 0, "our own tokens need no fetch");
    assert!(verifier.verify(&of_key("one")).await.is_ok());
    assert!(verifier.verify(&of_key("two")).await.is_err(), "too soon to fetch again");
    assert_eq!(fetches.load(Ordering::SeqCst), 1);
    tokio::time::advance(Duration::from_secs(31)).await;
    assert!(verifier.verify(&of_key("two")).await.is_ok());
    tokio::time::advance(Duration::from_secs(3600)).await;
    assert!(verifier.verify(&of_key("one")).await.is_ok(), "old keys outlive a failing fetch");
    assert!(verifier.verify(&of_key("three")).await.is_err());
    assert_eq!(fetches.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn keys_that_never_came_are_the_servers_fault() {
    let mut verifier = verifier(&Auth::default());
    verifier.set_remote(RemoteKeys::fetched_by(Arc::new(|| Err("away".into()))));
    assert_eq!(verifier.verify(&of_key("one")).await, Err(AuthError::Unavailable));
}

#[tokio::test]
async fn what_we_sign_we_believe() {
    let config = Auth { issuer: Some("me".into()), audience: Some("app".into()), ..Auth::default() };
    let grant = Grant {
        user: UserId(USER.parse().unwrap()),
        role: Role::ServiceRole,
        email: Some("runner@example.com".into()),
        issuer: config.issuer.clone(),
        audience: config.audience.clone(),
    };
    let now = Utc::now();
    let token = sign(&Secret::of(SECRET), &grant, now, Duration::from_secs(60)).unwrap();
    assert_ne!(
        token,
        sign(&Secret::of(SECRET), &grant, now, Duration::from_secs(60)).unwrap(),
        "each is one of its own"
    );
    let caller = verifier(&config).verify(&token).await.unwrap();
    assert_eq!((caller.user, caller.role, caller.email), (grant.user, grant.role, grant.email));
    assert!(sign(&Secret::of(SECRET), &grant_of(caller.user), Utc::now(), Duration::MAX).is_err());
}

fn grant_of(user: UserId) -> Grant {
    Grant { user, role: Role::default(), email: None, issuer: None, audience: None }
}
