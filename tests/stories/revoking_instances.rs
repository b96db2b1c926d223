//! Revoking a device where several daemons work on one database, and one that hears of nothing.

use ryzed_tests::instances::Instances;
use ryzed_tests::rows::food_entry;
use ryzed_tests::{Account, Proxy, Redis, insert};
use serde_json::json;

/// The same person as seen from a device with a token of its own.
fn from(me: &Account, token: &ryzed_tests::Token) -> Account {
    me.with_token(token.clone())
}

/// Two instances; what one tells the other goes over a Redis that can fall silent.
async fn far_apart() -> (Instances, Redis, Proxy) {
    let redis = Redis::start();
    let place = redis.url().trim_start_matches("redis://").trim_end_matches('/').to_owned();
    let proxy = Proxy::in_front_of(place).await;
    let url = format!("redis://{}", proxy.address());
    let both =
        tokio::task::spawn_blocking(move || Instances::over(&url, |builder| builder)).await.expect("two daemons");
    (both, redis, proxy)
}

#[tokio::test]
async fn what_was_revoked_here_is_refused_there() {
    let both = Instances::without_redis(|builder| builder);
    let (here, there) = both.account();
    let token = here.token();
    let mut lost = from(&there, &token).socket("lost").await;
    let mut disguised = from(&there, &token).socket("disguised").await;
    let mut kept = there.socket("kept").await;
    here.api.delete("/devices/lost").await.done();
    assert_eq!(lost.expect_close().await.0, 4403);
    assert_eq!(disguised.expect_close().await.0, 4403);
    kept.fence().await;
    for account in [&here, &there] {
        let problem = from(account, &token).api.get("/changes").await.problem(&[401]);
        assert_eq!(problem["type"], "/problems/token-revoked");
        assert_eq!(from(account, &token).connect("other").refused().await, 4403);
    }
}

/// An instance that has just come is not known to those before it for a moment: what they say meanwhile reaches nobody.
#[tokio::test]
async fn what_is_said_while_an_instance_comes_is_found_by_it() {
    let both = Instances::without_redis(|builder| builder);
    let (here, there) = both.account();
    let mut replaced = there.socket("replaced").await;
    let _newer = here.socket("replaced").await;
    assert_eq!(replaced.expect_close().await.0, 4409);
}

#[tokio::test]
async fn a_token_that_was_used_here_is_refused_when_its_device_is_revoked_there() {
    let both = Instances::without_redis(|builder| builder);
    let (here, there) = both.account();
    let token = here.token();
    from(&here, &token).sync(json!({"device_id": "lost"})).await;
    there.api.delete("/devices/lost").await.done();
    from(&here, &token).api.get("/export").await.problem(&[401]);
    let again = from(&here, &here.token().issued_in(20));
    again.api.patch("/devices/lost", &json!({"is_active": true})).await.done();
    from(&there, &token).api.post("/sync", &json!({"device_id": "lost"})).await.problem(&[401]);
    from(&there, &here.token().issued_in(20)).sync(json!({"device_id": "lost"})).await;
}

#[tokio::test]
async fn a_socket_whose_close_was_lost_on_the_way_uploads_nothing() {
    let (both, _redis, proxy) = far_apart().await;
    let (here, there) = both.account();
    let mut lost = there.socket("lost").await;
    let mut peer = there.socket("peer").await;
    proxy.pause();
    here.api.delete("/devices/lost").await.done();
    let entry = food_entry(json!({}));
    lost.send(insert("food_entries", &entry).message()).await;
    assert_eq!(lost.expect_close().await.0, 4403);
    assert_eq!(here.row("food_entries", &entry["id"]).await, None);
    peer.fence().await;
    assert!(peer.received("data_updated").is_empty());
}

/// An upload and the revocation of its device, at the same moment and at two instances: what is done is done before.
#[tokio::test]
async fn nothing_is_stored_after_the_revocation_that_was_answered() {
    let both = Instances::without_redis(|builder| builder);
    for _ in 0..10 {
        let (here, there) = both.account();
        let mut lost = there.socket("lost").await;
        let writing = async {
            let mut written = 0;
            loop {
                let message = insert("food_entries", &food_entry(json!({}))).message().to_string();
                if lost.try_send(tokio_tungstenite::tungstenite::Message::text(message)).await.is_err() {
                    return written;
                }
                match lost.event(std::time::Duration::from_secs(5)).await {
                    Ok(Some(message)) if message["type"] == "change_result" => written += 1,
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("silence"),
                    Err(code) => {
                        assert_eq!(code, Some(4403));
                        return written;
                    }
                }
            }
        };
        let revoking = async {
            here.api.delete("/devices/lost").await.done();
            here.rows("food_entries").await.len()
        };
        let (written, stored) = tokio::join!(writing, revoking);
        let after = here.rows("food_entries").await.len();
        assert_eq!(stored, after, "stored after the answer");
        assert!(written <= stored, "{written} were answered, {stored} are stored");
    }
}
