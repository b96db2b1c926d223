//! Which keys are believed: no secret that can be guessed, and none at all where only public keys are meant.

use std::fs;
use std::path::{Path, PathBuf};

use ryzed_tests::command::ryzed;
use ryzed_tests::{Api, Daemon, Person, Ran, SECRET, SigningKey, Token, jwt};
use serde_json::{Value, json};

const USER: &str = "7b0e9f0e-7d2c-4f5c-9d5f-6f1c2b1f8a11";
/// Pairs that open nothing but the daemons of these stories.
const PRIVATE: [(&str, &str); 3] = [("RS256", "rsa"), ("ES256", "ec"), ("EdDSA", "ed")];

fn keys() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../daemon/src/auth/test_keys")
}

fn private(name: &str) -> SigningKey {
    SigningKey::of_file(&keys().join(format!("{name}.pem")))
}

fn public(name: &str) -> String {
    keys().join(format!("{name}.pub.pem")).display().to_string()
}

/// A daemon that believes the holder of this key, and no secret that anybody has named.
fn believing(name: &str) -> ryzed_tests::Builder {
    Daemon::builder().alone().without("RYZED_AUTH__SECRET").env("RYZED_AUTH__PUBLIC_KEY_FILE", public(name))
}

async fn status_with(daemon: &Daemon, token: &str) -> u16 {
    Api::new(&daemon.address(), Some(token.to_owned())).get("/digest").await.status
}

fn is_refused(ran: &Ran, secret: &str) {
    assert_eq!(ran.code, 2, "{}", ran.said());
    for words in ["32 bytes", "/dev/urandom", "auth.allow_short_secret"] {
        assert!(ran.stderr.contains(words), "{words} is not in: {}", ran.stderr);
    }
    assert!(!ran.said().contains(secret), "{}", ran.said());
}

#[test]
fn a_secret_that_can_be_guessed_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let padded = format!("{:>40}", "q~1");
    for secret in ["a", "q~1234567890123456789012345678", &padded] {
        for command in [&["serve"][..], &["token", "--user", USER], &["check-config"]] {
            is_refused(&ryzed(folder.path(), &[("RYZED_AUTH__SECRET", secret)], command), "q~1");
        }
        let config = folder.path().join("ryzed.toml");
        fs::write(&config, format!("[auth]\nsecret = \"{secret}\"\n")).expect("a file");
        let ran = ryzed(folder.path(), &[("RYZED_CONFIG", config.to_str().expect("a path"))], &["serve"]);
        is_refused(&ran, "q~1");
        assert!(ran.stderr.contains("ryzed.toml:2"), "{}", ran.stderr);
        fs::remove_file(&config).expect("it goes");
    }
    assert!(!folder.path().join("data/ryzed.db").exists(), "nothing was begun");
}

#[test]
fn a_file_with_a_secret_that_can_be_guessed_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let named = folder.path().join("named");
    fs::write(&named, "q~123\n").expect("a file");
    let file = [("RYZED_AUTH__SECRET_FILE", named.to_str().expect("a path"))];
    fs::create_dir(folder.path().join("data")).expect("a folder");
    fs::write(folder.path().join("data/secret"), "q~123").expect("a file");
    for env in [&file[..], &[]] {
        for command in [&["serve"][..], &["token", "--user", USER]] {
            let ran = ryzed(folder.path(), env, command);
            is_refused(&ran, "q~123");
            assert!(ran.stderr.contains(if env.is_empty() { "data/secret" } else { "named" }), "{}", ran.stderr);
        }
    }
}

#[tokio::test]
async fn who_has_a_short_secret_can_go_on_with_it_for_a_while() {
    let builder = Daemon::builder().alone().env("RYZED_AUTH__SECRET", "short");
    let daemon = builder.env("RYZED_AUTH__ALLOW_SHORT_SECRET", true).start();
    assert_eq!(status_with(&daemon, &Token::of(&Person::new()).key("short").sign()).await, 200);
    assert!(daemon.log().contains("may be guessed"), "{}", daemon.log());
    let long = Daemon::builder().alone().env("RYZED_AUTH__SECRET", "x".repeat(32)).start();
    assert_eq!(status_with(&long, &Token::of(&Person::new()).key(&"x".repeat(32)).sign()).await, 200);
}

#[tokio::test]
async fn where_only_public_keys_are_meant_no_secret_is_made_or_believed() {
    for (algorithm, name) in PRIVATE {
        let daemon = believing(name).start();
        assert!(!daemon.folder().join("data/secret").exists(), "{name}");
        let token = || Token::of(&Person::admin());
        assert_eq!(status_with(&daemon, &token().algorithm(algorithm).sign_with(&private(name))).await, 200, "{name}");
        assert_eq!(status_with(&daemon, &token().sign()).await, 401);
        assert_eq!(status_with(&daemon, &token().key("").sign()).await, 401);
        assert_eq!(status_with(&daemon, &token().unsigned()).await, 401);
        // What everybody may know, as the secret of an HMAC.
        let pem = fs::read_to_string(public(name)).expect("a key");
        let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        for known in [pem.as_str(), pem.trim(), &body] {
            for algorithm in ["HS256", "HS384", "HS512"] {
                let confused = token().algorithm(algorithm).key(known).sign();
                assert_eq!(status_with(&daemon, &confused).await, 401, "{name} {algorithm}");
            }
        }
        // Another kind of key, under its own name and under that which is believed.
        for (other, its) in PRIVATE.into_iter().filter(|(_, its)| *its != name) {
            assert_eq!(status_with(&daemon, &token().algorithm(other).sign_with(&private(its))).await, 401);
            let foreign = token().algorithm(other).sign_with(&private(its));
            let renamed = json!({"alg": algorithm, "typ": "JWT"});
            assert_eq!(status_with(&daemon, &with_header(&foreign, &renamed)).await, 401, "{its} as {name}");
        }
        let ran = Ran::of(&mut daemon.command(&["token", "--user", USER]));
        assert_eq!(ran.code, 2, "{}", ran.said());
        assert!(ran.stdout.is_empty() && ran.stderr.contains("auth.hs256"), "{}", ran.said());
        assert!(!daemon.folder().join("data/secret").exists(), "{name}");
        assert!(!daemon.log().contains("ryzed token"), "{}", daemon.log());
    }
}

fn with_header(token: &str, header: &Value) -> String {
    use base64::Engine as _;
    let (_, rest) = token.split_once('.').expect("a token");
    format!("{}.{rest}", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(header.to_string()))
}

#[tokio::test]
async fn a_token_does_not_bring_the_key_that_it_is_checked_with() {
    let daemon = believing("ec").start();
    let person = Person::admin();
    let claims = json!({"sub": person.id, "role": "admin", "exp": chrono::Utc::now().timestamp() + 60});
    let own = private("rsa");
    for header in [
        json!({"jwk": own.jwk()}),
        json!({"jku": "http://127.0.0.1:1/keys"}),
        json!({"x5u": "http://127.0.0.1:1/keys"}),
        json!({"kid": "../../../../dev/null"}),
        json!({"kid": "' UNION SELECT 'a"}),
    ] {
        let token = jwt::encode(&header, &claims, &own);
        assert_eq!(status_with(&daemon, &token).await, 401, "{header}");
    }
    for kid in ["/dev/null", "../secret", "", "%00"] {
        let token = jwt::encode(&json!({"kid": kid}), &claims, &SigningKey::secret(""));
        assert_eq!(status_with(&daemon, &token).await, 401, "{kid}");
    }
}

#[tokio::test]
async fn a_secret_that_was_there_before_is_believed_until_it_is_switched_off() {
    let mut daemon = Daemon::builder().alone().without("RYZED_AUTH__SECRET").start();
    let token = Ran::of(&mut daemon.command(&["token", "--user", USER])).ok().trim().to_owned();
    assert_eq!(status_with(&daemon, &token).await, 200);
    daemon.set_env("RYZED_AUTH__PUBLIC_KEY_FILE", &public("ed"));
    let issued = || Token::of(&Person::new()).algorithm("EdDSA").sign_with(&private("ed"));
    for (setting, status, warnings) in
        [(None, 200, 1), (Some("off"), 401, 1), (Some("on"), 200, 1), (Some("auto"), 200, 2)]
    {
        daemon.terminate();
        assert_eq!(daemon.exit_code().await, 0);
        if let Some(setting) = setting {
            daemon.set_env("RYZED_AUTH__HS256", setting);
        }
        daemon.restart();
        assert_eq!(status_with(&daemon, &token).await, status, "{setting:?}");
        assert_eq!(status_with(&daemon, &issued()).await, 200, "{setting:?}");
        assert_eq!(daemon.log().matches("auth.hs256").count(), warnings, "{setting:?}: {}", daemon.log());
    }
}

#[tokio::test]
async fn a_secret_is_made_beside_public_keys_where_it_is_asked_for() {
    let daemon = believing("ed").env("RYZED_AUTH__HS256", "on").start();
    let token = Ran::of(&mut daemon.command(&["token", "--user", USER])).ok();
    assert_eq!(status_with(&daemon, token.trim()).await, 200);
    let named = believing("ed").env("RYZED_AUTH__SECRET", SECRET).start();
    assert_eq!(status_with(&named, &Token::of(&Person::new()).sign()).await, 200, "a named secret is meant");
    let off = believing("ed").env("RYZED_AUTH__SECRET", SECRET).env("RYZED_AUTH__HS256", "off").start();
    assert_eq!(status_with(&off, &Token::of(&Person::new()).sign()).await, 401);
}

#[test]
fn a_daemon_that_would_believe_nobody_does_not_start() {
    let folder = tempfile::tempdir().expect("a folder");
    for command in [&["serve"][..], &["check-config"]] {
        let ran = ryzed(folder.path(), &[("RYZED_AUTH__HS256", "off")], command);
        assert_eq!(ran.code, 2, "{}", ran.said());
        assert!(ran.stderr.contains("auth.hs256") && ran.stderr.contains("auth.jwks_url"), "{}", ran.stderr);
    }
    let ran = ryzed(folder.path(), &[("RYZED_AUTH__HS256", "never")], &["check-config"]);
    assert!(ran.code == 2 && ran.stderr.contains("RYZED_AUTH__HS256"), "{}", ran.said());
}
