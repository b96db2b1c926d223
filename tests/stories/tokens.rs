//! Access over HTTP: the tokens that get in, and those that do not.

use hyper::Method;
use ryzed_tests::{Api, Person, Token};
use serde_json::Value;

use crate::{shared, somebody};

const PATHS: [&str; 11] = [
    "/sync-status?device_id=phone",
    "/devices",
    "/topics",
    "/tables",
    "/tables/foods/schema",
    "/changes",
    "/digest",
    "/conflicts",
    "/export",
    "/active-users",
    "/changes?limit=1",
];

async fn status_with(token: &str) -> u16 {
    Api::new(&shared().address(), Some(token.to_owned())).get("/digest").await.status
}

#[tokio::test]
async fn nothing_but_health_answers_without_a_token() {
    let stranger = Api::new(&shared().address(), None);
    for path in PATHS {
        stranger.get(path).await.problem(&[401]);
    }
    for path in ["/sync", "/trigger-sync"] {
        stranger.post(path, &serde_json::json!({"device_id": "phone"})).await.problem(&[401]);
    }
    stranger.delete("/devices/phone").await.problem(&[401]);
}

#[tokio::test]
async fn a_refusal_says_how_to_come_in() {
    let answer = Api::new(&shared().address(), None).get("/digest").await;
    assert!(answer.header("www-authenticate").starts_with("Bearer"), "{:?}", answer.headers);
}

#[tokio::test]
async fn a_good_token_opens() {
    assert_eq!(status_with(&Person::new().token()).await, 200);
}

#[tokio::test]
async fn a_token_without_a_role_is_an_ordinary_persons() {
    let token = Token::of(&Person::admin()).claim("role", Value::Null).sign();
    assert_eq!(status_with(&token).await, 200);
    let api = Api::new(&shared().address(), Some(token));
    api.get("/active-users").await.problem(&[403]);
}

#[tokio::test]
async fn a_token_counts_for_thirty_seconds_after_its_end_and_no_longer() {
    let token = || Token::of(&Person::new());
    assert_eq!(status_with(&token().expires_in(-20).sign()).await, 200);
    assert_eq!(status_with(&token().expires_in(-35).sign()).await, 401);
}

#[tokio::test]
async fn a_token_of_another_key_is_refused() {
    assert_eq!(status_with(&Token::of(&Person::new()).key("a secret that somebody else made up").sign()).await, 401);
}

#[tokio::test]
async fn a_token_that_was_tampered_with_is_refused() {
    let token = Token::of(&Person::new());
    assert_eq!(status_with(&token.forged("role", "admin")).await, 401);
    assert_eq!(status_with(&token.forged("sub", Person::new().id.to_string())).await, 401);
}

#[tokio::test]
async fn a_token_without_signature_is_refused() {
    assert_eq!(status_with(&Token::of(&Person::admin()).unsigned()).await, 401);
}

#[tokio::test]
async fn a_token_of_another_algorithm_is_refused() {
    assert_eq!(status_with(&Token::of(&Person::new()).algorithm("HS512").sign()).await, 401);
}

#[tokio::test]
async fn a_token_must_have_an_end() {
    assert_eq!(status_with(&Token::of(&Person::new()).claim("exp", Value::Null).sign()).await, 401);
}

#[tokio::test]
async fn a_token_must_name_a_person_by_uuid() {
    for sub in [Value::Null, "bob".into(), 7.into(), "' OR 1=1 --".into()] {
        assert_eq!(status_with(&Token::of(&Person::new()).claim("sub", sub.clone()).sign()).await, 401, "{sub}");
    }
}

#[tokio::test]
async fn what_is_no_token_is_refused() {
    for token in ["", "x", "a.b.c", "....", "Bearer", &"a".repeat(5000)] {
        assert_eq!(status_with(token).await, 401, "{token:.20}");
    }
    let api = Api::new(&shared().address(), None);
    for header in ["Basic Zm9vOmJhcg==", "Bearer", "bearer x", ""] {
        let answer = api.raw(Method::GET, "/digest", &[("authorization", header)], "").await.expect("an answer");
        assert_eq!(answer.status, 401, "{header}");
    }
}

#[tokio::test]
async fn the_first_call_makes_the_persons_row() {
    let me = somebody();
    let token = me.token().claim("email", "walker@example.org").sign();
    let api = me.api.with_token(Some(token));
    let answer = api.post("/sync", &serde_json::json!({"device_id": "phone", "tables": ["users"]})).await.ok();
    let users = &answer["changes"]["users"];
    assert_eq!(users[0]["id"], me.user(), "{answer}");
    assert_eq!(users[0]["email"], "walker@example.org");
    assert_eq!(users[0]["is_onboarded"], false);
    assert_eq!(users.as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_first_call_that_only_reads_makes_the_row_as_well() {
    for path in ["/changes?tables=users", "/digest?tables=users", "/devices", "/tables", "/export"] {
        let me = somebody();
        let api = me.api.with_token(Some(me.token().claim("email", "reader@example.org").sign()));
        api.get(path).await.done();
        let users = api.get("/changes?tables=users").await.ok()["changes"]["users"].clone();
        assert_eq!((&users[0]["id"], &users[0]["email"]), (&me.user(), &Value::from("reader@example.org")), "{path}");
        assert_eq!(users.as_array().map(Vec::len), Some(1), "{path}");
    }
}

#[tokio::test]
async fn a_role_of_somebody_else_is_an_ordinary_persons() {
    for role in ["coach".into(), "ADMIN".into(), "".into(), 7.into(), serde_json::json!(["admin"])] {
        let token = Token::of(&Person::admin()).claim("role", Value::clone(&role)).sign();
        assert_eq!(status_with(&token).await, 200, "{role}");
        let api = Api::new(&shared().address(), Some(token));
        api.get("/active-users").await.problem(&[403]);
    }
}

#[tokio::test]
async fn an_email_that_is_none_is_left_out() {
    for email in ["a\0b@example.org", "\n", "", &"x".repeat(400)] {
        let me = somebody();
        let api = me.api.with_token(Some(me.token().claim("email", email).sign()));
        let answer = api.post("/sync", &serde_json::json!({"device_id": "phone", "tables": ["users"]})).await.ok();
        assert_eq!(answer["changes"]["users"][0]["email"], Value::Null, "{email:?}");
    }
}
