//! The memory of the tokens that devices used: over restarts, bounds, housekeeping and releases.

use std::time::{Duration, Instant};

use ryzed_tests::{Account, Daemon, Database};
use serde_json::json;

use crate::revoking::{from, goes_on, is_revoked, newer, opens_nothing};

/// By when the housekeeping has forgotten what was old at a start.
const FORGOTTEN: Duration = Duration::from_secs(30);

#[tokio::test]
async fn more_tokens_than_are_remembered_are_refused_and_not_forgotten() {
    let daemon = Daemon::builder().env("RYZED_LIMITS__TOKENS_PER_USER", 4).start();
    let me = daemon.account();
    let of: Vec<Account> = (0..9).map(|_| from(&me)).collect();
    for used in &of[..6] {
        used.sync(json!({"device_id": "lost"})).await;
    }
    for used in &of[6..8] {
        used.sync(json!({"device_id": "other"})).await;
    }
    let keeper = newer(&me);
    keeper.api.delete("/devices/lost").await.done();
    for used in &of[..6] {
        opens_nothing(used).await;
    }
    // Nobody can tell any more that these have not been used by it: so they count by when they were issued.
    is_revoked(&of[6].api.get("/changes").await);
    is_revoked(&of[8].api.get("/changes").await);
    keeper.api.get("/changes").await.done();
    newer(&me).sync(json!({"device_id": "other"})).await;
}

#[tokio::test]
async fn a_restart_forgets_no_token() {
    let mut daemon = Daemon::start();
    let me = daemon.account();
    let (lost, late) = (me.token(), me.token());
    me.sync(json!({"device_id": "other"})).await;
    me.with_token(lost.clone()).sync(json!({"device_id": "lost"})).await;
    me.with_token(late.clone()).sync(json!({"device_id": "late"})).await;
    me.api.delete("/devices/lost").await.done();
    daemon.kill9();
    daemon.restart();
    let me = daemon.account_of(me.person);
    me.api.delete("/devices/late").await.done();
    opens_nothing(&me.with_token(lost)).await;
    opens_nothing(&me.with_token(late)).await;
    goes_on(&me).await;
}

async fn restarted(daemon: &mut Daemon, meanwhile: impl FnOnce(&Daemon)) {
    daemon.terminate();
    assert_eq!(daemon.exit_code().await, 0);
    meanwhile(daemon);
    daemon.restart();
}

#[tokio::test]
async fn forgetting_a_device_forgets_no_revocation() {
    let mut daemon = Daemon::start();
    let me = daemon.account();
    let (lost, ended) = (me.token(), me.token());
    me.with_token(lost.clone()).sync(json!({"device_id": "lost"})).await;
    me.with_token(ended).sync(json!({"device_id": "gone"})).await;
    me.sync(json!({"device_id": "other"})).await;
    me.api.delete("/devices/lost").await.done();
    newer(&me).api.patch("/devices/lost", &json!({"is_active": true})).await.done();
    let (devices, tokens) = match daemon.database() {
        Database::Sqlite(_) => ("sync_devices", "sync_tokens"),
        Database::Postgres(_) => ("ryzed.devices", "ryzed.tokens"),
    };
    let count = format!("SELECT count(*) FROM {tokens} WHERE user_id = '{}'", me.person.id);
    assert_eq!(daemon.database().run(&count), "3");
    restarted(&mut daemon, |daemon| {
        let whose = format!("WHERE user_id = '{}'", me.person.id);
        daemon.database().run(&format!(
            "UPDATE {devices} SET last_seen = '2001-01-01T00:00:00.000000Z' {whose} AND device_id <> 'other'; \
             UPDATE {tokens} SET expires_at = '2001-01-01T00:00:00.000000Z' {whose} AND device_id = 'gone'"
        ));
    })
    .await;
    let me = daemon.account_of(me.person);
    let begun = Instant::now();
    while me.api.get("/devices").await.ok().to_string().contains("gone") || daemon.database().run(&count) != "2" {
        assert!(begun.elapsed() < FORGOTTEN, "nothing is forgotten");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    opens_nothing(&me.with_token(lost)).await;
    goes_on(&me).await;
}

/// Until then nobody has noted what a device came with: so whatever is older than a revocation may have been it.
#[tokio::test]
async fn of_devices_of_an_earlier_release_every_older_token_is_refused() {
    let mut daemon = Daemon::start();
    let (me, other) = (daemon.account(), daemon.account());
    let (used, unused, theirs) = (me.token(), me.token(), other.token());
    me.with_token(used.clone()).sync(json!({"device_id": "lost"})).await;
    me.sync(json!({"device_id": "other"})).await;
    other.with_token(theirs.clone()).sync(json!({"device_id": "lost"})).await;
    restarted(&mut daemon, |daemon| {
        let (down, applied) = match daemon.database() {
            Database::Sqlite(_) => {
                (include_str!("../../migrations/sqlite/0008_revoked_sync/down.sql"), "__diesel_schema_migrations")
            }
            Database::Postgres(_) => (
                include_str!("../../migrations/postgres/0008_revoked_sync/down.sql"),
                "ryzed.__diesel_schema_migrations",
            ),
        };
        daemon.database().run(&format!("{down}; DELETE FROM {applied} WHERE version = '0008'"));
    })
    .await;
    let me = newer(&daemon.account_of(me.person));
    me.api.delete("/devices/lost").await.done();
    opens_nothing(&me.with_token(used)).await;
    opens_nothing(&me.with_token(unused)).await;
    me.sync(json!({"device_id": "other"})).await;
    // Of one that came since, it is known.
    let (new, kept) = (me.token().issued_in(10), me.token().issued_in(10));
    me.with_token(new.clone()).sync(json!({"device_id": "new"})).await;
    me.api.delete("/devices/new").await.done();
    opens_nothing(&me.with_token(new)).await;
    me.with_token(kept).api.get("/changes").await.done();
    daemon.account_of(other.person).with_token(theirs).api.get("/changes").await.done();
}
