//! Revoking a device: what it came with opens nothing any more, wherever it is brought, and stays closed.

use hyper::Method;
use ryzed_tests::rows::food_entry;
use ryzed_tests::{Account, Answer, Daemon, Socket, insert};
use serde_json::{Value, json};

use crate::{shared, somebody};

/// Everything that a person can ask over HTTP, with what each call needs to be answered.
const CALLS: [(Method, &str, &str); 18] = [
    (Method::GET, "/changes", ""),
    (Method::GET, "/digest", ""),
    (Method::GET, "/export", ""),
    (Method::GET, "/devices", ""),
    (Method::GET, "/sync-status?device_id=other", ""),
    (Method::GET, "/topics", ""),
    (Method::GET, "/tables", ""),
    (Method::GET, "/tables/foods/schema", ""),
    (Method::GET, "/conflicts", ""),
    (Method::GET, "/active-users", ""),
    (Method::POST, "/conflicts/5f0e7d2c-4f5c-4d5f-8f1c-2b1f8a117b0e/resolve", r#"{"resolution":"server"}"#),
    (Method::POST, "/sync", r#"{"device_id":"other"}"#),
    (Method::POST, "/sync", r#"{"device_id":"never-seen"}"#),
    (Method::POST, "/trigger-sync", "{}"),
    (Method::POST, "/trigger-sync", r#"{"device_id":"other"}"#),
    (Method::PATCH, "/devices/lost", r#"{"is_active":true}"#),
    (Method::PATCH, "/devices/other", r#"{"name":"mine"}"#),
    (Method::DELETE, "/devices/other", ""),
];

/// A token of the same person, made after whatever is revoked in a story: issuers' clocks may be ahead so far.
pub(crate) fn newer(me: &Account) -> Account {
    me.with_token(me.token().issued_in(20))
}

/// The same person as seen from a device with a token of its own.
pub(crate) fn from(me: &Account) -> Account {
    me.with_token(me.token())
}

pub(crate) fn is_revoked(answer: &Answer) {
    let problem = answer.problem(&[401]);
    assert_eq!(problem["type"], "/problems/token-revoked", "{problem}");
}

/// Nothing answers to this token, over HTTP or over a socket, whichever device it speaks for.
pub(crate) async fn opens_nothing(thief: &Account) {
    for (method, path, body) in CALLS {
        let headers = [("content-type", "application/json")];
        let answer = thief.api.raw(method.clone(), path, &headers, body).await;
        let answer = answer.unwrap_or_else(|error| panic!("{method} {path}: {error:#}"));
        assert_eq!(answer.status, 401, "{method} {path}: {}", answer.text());
        is_revoked(&answer);
    }
    assert_eq!(thief.connect("other").refused().await, 4403);
    assert_eq!(thief.connect("never-seen").refused().await, 4403);
}

/// Everything that others are concerned with goes on.
pub(crate) async fn goes_on(me: &Account) {
    me.api.get("/changes").await.done();
    me.push([insert("food_entries", &food_entry(json!({})))]).await;
    me.socket("laptop").await.fence().await;
}

#[tokio::test]
async fn what_a_revoked_device_synced_with_opens_nothing_any_more() {
    let me = somebody();
    let lost = from(&me);
    me.sync(json!({"device_id": "other"})).await;
    lost.sync(json!({"device_id": "lost"})).await;
    me.api.delete("/devices/lost").await.done();
    opens_nothing(&lost).await;
    let problem = lost.api.post("/sync", &json!({"device_id": "lost"})).await.problem(&[403]);
    assert_eq!(problem["type"], "/problems/device-revoked");
    assert_eq!(lost.connect("lost").refused().await, 4403);
    goes_on(&me).await;
}

#[tokio::test]
async fn what_a_revoked_device_connected_with_opens_nothing_any_more() {
    let me = somebody();
    let lost = from(&me);
    let mut own = lost.socket("lost").await;
    let mut disguised = lost.socket("other").await;
    let mut kept = me.socket("kept").await;
    me.api.delete("/devices/lost").await.done();
    assert_eq!(own.expect_close().await.0, 4403);
    assert_eq!(disguised.expect_close().await.0, 4403);
    opens_nothing(&lost).await;
    kept.fence().await;
    goes_on(&me).await;
}

#[tokio::test]
async fn what_a_revoked_devices_socket_was_renewed_with_opens_nothing_any_more() {
    let me = somebody();
    let (first, second) = (from(&me), me.token());
    let mut socket = first.socket("lost").await;
    socket.send(json!({"type": "auth", "token": second.sign()})).await;
    socket.fence().await;
    me.sync(json!({"device_id": "other"})).await;
    me.api.delete("/devices/lost").await.done();
    assert_eq!(socket.expect_close().await.0, 4403);
    opens_nothing(&me.with_token(second)).await;
    opens_nothing(&first).await;
}

#[tokio::test]
async fn a_socket_is_not_renewed_with_a_revoked_token() {
    let me = somebody();
    let lost = me.token();
    me.with_token(lost.clone()).sync(json!({"device_id": "lost"})).await;
    let mut socket = me.socket("tablet").await;
    me.api.delete("/devices/lost").await.done();
    socket.send(json!({"type": "auth", "token": lost.sign()})).await;
    assert_eq!(socket.expect_close().await.0, 4403);
}

#[tokio::test]
async fn a_token_that_names_a_revoked_device_opens_nothing_any_more() {
    for claim in ["device_id", "device"] {
        let me = somebody();
        let named = me.with_token(me.token().claim(claim, "lost"));
        let other = me.with_token(me.token().claim(claim, "else"));
        let mut live = named.socket("other").await;
        me.sync(json!({"device_id": "lost"})).await;
        newer(&me).api.delete("/devices/lost").await.done();
        assert_eq!(live.expect_close().await.0, 4403, "{claim}");
        opens_nothing(&named).await;
        other.api.get("/changes").await.done();
        // Named by one that was issued later: whoever issues it knows what became of the device.
        me.with_token(me.token().claim(claim, "lost").issued_in(1)).api.get("/changes").await.done();
    }
}

#[tokio::test]
async fn a_session_of_a_revoked_device_opens_nothing_any_more() {
    for claim in ["session_id", "sid"] {
        let me = somebody();
        let of = |session: &str| me.token().claim(claim, session);
        let unused = me.with_token(of("a"));
        me.with_token(of("a")).sync(json!({"device_id": "lost"})).await;
        me.with_token(of("b")).sync(json!({"device_id": "other"})).await;
        me.api.delete("/devices/lost").await.done();
        // Never seen before, but refreshed from the same sign-in.
        opens_nothing(&unused).await;
        // The device refreshes its token behind our back.
        opens_nothing(&me.with_token(of("a").issued_in(1))).await;
        me.with_token(of("b")).api.get("/changes").await.done();
        me.with_token(of("c")).api.get("/changes").await.done();

        me.with_token(of("b").issued_in(1)).api.patch("/devices/lost", &json!({"is_active": true})).await.done();
        opens_nothing(&unused).await;
        me.with_token(of("a").issued_in(1)).sync(json!({"device_id": "lost"})).await;
    }
}

#[tokio::test]
async fn allowing_again_needs_a_token_that_was_issued_after_the_revocation() {
    let me = somebody();
    let (lost, unused) = (from(&me), from(&me));
    me.sync(json!({"device_id": "other"})).await;
    lost.sync(json!({"device_id": "lost"})).await;
    me.api.delete("/devices/lost").await.done();

    let allow = json!({"is_active": true});
    is_revoked(&lost.api.patch("/devices/lost", &allow).await);
    let problem = me.api.patch("/devices/lost", &allow).await.problem(&[401]);
    assert_eq!(problem["type"], "/problems/token-too-old", "{problem}");
    let timeless = me.with_token(me.token().claim("iat", Value::Null));
    timeless.api.patch("/devices/lost", &allow).await.problem(&[401]);
    me.api.get("/changes").await.done();
    // A new name needs no more than ever.
    me.api.patch("/devices/lost", &json!({"name": "Lost phone"})).await.done();
    me.api.post("/sync", &json!({"device_id": "lost"})).await.problem(&[403]);

    let device = newer(&me).api.patch("/devices/lost", &allow).await.ok();
    assert_eq!(device["is_revoked"], false, "{device}");
    opens_nothing(&lost).await;
    // Neither one that it had brought before, nor one that it could have.
    is_revoked(&lost.api.post("/sync", &json!({"device_id": "lost"})).await);
    let problem = me.api.post("/sync", &json!({"device_id": "lost"})).await.problem(&[401]);
    assert_eq!(problem["type"], "/problems/token-too-old", "{problem}");
    assert_eq!(unused.connect("lost").refused().await, 4401);
    assert_eq!(timeless.connect("lost").refused().await, 4401);
    newer(&me).sync(json!({"device_id": "lost"})).await;
    newer(&me).socket("lost").await.fence().await;
}

#[tokio::test]
async fn each_revocation_takes_what_was_issued_until_then() {
    let me = somebody();
    let (keeper, second) = (newer(&me), me.with_token(me.token().issued_in(10)));
    from(&me).sync(json!({"device_id": "lost"})).await;
    me.sync(json!({"device_id": "other"})).await;
    me.api.delete("/devices/lost").await.done();
    keeper.api.patch("/devices/lost", &json!({"is_active": true})).await.done();
    second.sync(json!({"device_id": "lost"})).await;
    me.api.delete("/devices/lost").await.done();
    opens_nothing(&second).await;
    keeper.api.get("/changes").await.done();
}

#[tokio::test]
async fn a_token_that_does_not_say_when_it_was_issued_counts_as_old() {
    for iat in [Value::Null, "soon".into(), json!([1]), (-5).into(), json!(1e300), json!(4_000_000_000_u32)] {
        let me = somebody();
        let named = me.with_token(me.token().claim("device_id", "lost").claim("iat", iat));
        from(&me).sync(json!({"device_id": "lost"})).await;
        me.sync(json!({"device_id": "other"})).await;
        newer(&me).api.delete("/devices/lost").await.done();
        opens_nothing(&named).await;
        goes_on(&me).await;
    }
}

#[tokio::test]
async fn a_namesake_of_somebody_else_is_not_concerned() {
    let (me, other) = (somebody(), somebody());
    let theirs = from(&other);
    theirs.sync(json!({"device_id": "phone-1"})).await;
    let mut socket = theirs.socket("phone-1").await;
    from(&me).sync(json!({"device_id": "phone-1"})).await;
    me.api.delete("/devices/phone-1").await.done();
    socket.fence().await;
    theirs.sync(json!({"device_id": "phone-1"})).await;
}

#[tokio::test]
async fn a_device_that_revokes_itself_is_out() {
    let me = somebody();
    let own = from(&me);
    own.sync(json!({"device_id": "other"})).await;
    let mut socket = own.socket("lost").await;
    own.api.delete("/devices/lost").await.done();
    assert_eq!(socket.expect_close().await.0, 4403);
    opens_nothing(&own).await;
    newer(&me).api.patch("/devices/lost", &json!({"is_active": true})).await.done();
    newer(&me).socket("lost").await.fence().await;
}

#[tokio::test]
async fn revoking_what_never_was_closes_nothing() {
    let me = somebody();
    me.push([]).await;
    me.api.delete("/devices/never").await.problem(&[404]);
    me.api.get("/changes").await.done();
    me.socket("never").await.fence().await;
}

#[tokio::test]
async fn an_administrator_has_no_say_in_somebody_elses_devices() {
    let me = somebody();
    from(&me).sync(json!({"device_id": "lost"})).await;
    me.api.delete("/devices/lost").await.done();
    for person in [ryzed_tests::Person::admin(), ryzed_tests::Person::service()] {
        let admin = newer(&shared().account_of(person));
        admin.api.patch("/devices/lost", &json!({"is_active": true})).await.problem(&[404]);
        admin.api.delete("/devices/lost").await.problem(&[404]);
    }
    me.api.post("/sync", &json!({"device_id": "lost"})).await.problem(&[403]);
}

/// A person whose device was revoked by somebody who tells nobody: its socket has heard of nothing.
async fn unheard(daemon: &Daemon) -> (Account, Account, Socket) {
    let me = daemon.account();
    let lost = from(&me);
    let socket = lost.socket("lost").await;
    me.push([]).await;
    daemon.database().revoke(me.person.id, "lost");
    (me, lost, socket)
}

fn unswept() -> Daemon {
    Daemon::builder().env("RYZED_SYNC__SWEEP_SECONDS", 3600).start()
}

#[tokio::test]
async fn a_socket_that_heard_nothing_of_its_revocation_uploads_nothing() {
    let daemon = unswept();
    let entry = food_entry(json!({}));
    let change = insert("food_entries", &entry);
    let sync = json!({"type": "sync", "request_id": 1, "changes": [change.json()]});
    for message in [change.message(), sync, json!({"type": "sync", "request_id": 2})] {
        let (me, _, mut socket) = unheard(&daemon).await;
        socket.send(message.clone()).await;
        assert_eq!(socket.expect_close().await.0, 4403, "{message}");
        assert_eq!(me.row("food_entries", &entry["id"]).await, None, "{message}");
    }
}

#[tokio::test]
async fn a_socket_that_heard_nothing_of_its_revocation_speaks_to_nobody() {
    for message in [json!({"type": "broadcast", "event": "e", "payload": 1}), json!({"type": "trigger_sync"})] {
        let daemon = unswept();
        let (me, _, mut socket) = unheard(&daemon).await;
        let mut peer = me.socket("peer").await;
        socket.send(message.clone()).await;
        assert_eq!(socket.expect_close().await.0, 4403, "{message}");
        peer.fence().await;
        for kind in ["broadcast", "sync_triggered"] {
            assert!(peer.received(kind).is_empty(), "{message}");
        }
    }
}

#[tokio::test]
async fn what_was_revoked_behind_the_daemons_back_opens_nothing_either() {
    let daemon = unswept();
    let (me, lost, _socket) = unheard(&daemon).await;
    me.sync(json!({"device_id": "other"})).await;
    opens_nothing(&lost).await;
    goes_on(&me).await;
}

#[tokio::test]
async fn a_socket_that_heard_nothing_of_its_revocation_is_closed_by_the_sweep() {
    let daemon = Daemon::builder().env("RYZED_SYNC__SWEEP_SECONDS", 1).start();
    let (me, lost, mut socket) = unheard(&daemon).await;
    assert_eq!(socket.expect_close().await.0, 4403);
    // So is one of another name that came with the same token.
    let other = me.token();
    let mut disguised = me.with_token(other.clone()).socket("disguised").await;
    me.with_token(other).sync(json!({"device_id": "second"})).await;
    daemon.database().revoke(me.person.id, "second");
    assert_eq!(disguised.expect_close().await.0, 4403);
    is_revoked(&lost.api.get("/changes").await);
}
