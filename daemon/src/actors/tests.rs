//! The actors together, over a small backend in memory: order, holes, failures, ends.

pub(crate) mod fake;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::Value;

use super::close::CloseReason;
use super::fault::{Fault, Victim};
use super::outbox::Outgoing;
use super::session::mailbox::SessionMsg;
use super::{ClusterSettings, Connection, Hello, Input, Realtime, RealtimeSettings, cell};
use crate::service::{Committed, Hints};
use crate::sync::{Cursor, Scope, Version};
use fake::{Fake, Idle, Open, caller, user};

const WITHIN: Duration = Duration::from_secs(5);

async fn started(fake: &Arc<Fake>) -> Realtime {
    let settings = RealtimeSettings { sweep: Duration::from_secs(3600), ..RealtimeSettings::default() };
    let live =
        Realtime::start_with(Arc::clone(fake) as _, Arc::new(Idle), settings, ClusterSettings::none()).await.unwrap();
    fake.hint_to(live.clone());
    live
}

fn hello(who: u128, device: &str, cursor: Option<Cursor>) -> Hello {
    Hello {
        caller: caller(who),
        device: device.parse().unwrap(),
        device_type: Some("web".into()),
        app_version: None,
        cursor,
        tables: vec![],
        ignored: Default::default(),
    }
}

/// A device without a socket: what the socket would do, done by hand.
struct Dev {
    connection: Connection,
    got: Vec<Value>,
}

impl Dev {
    async fn connect(live: &Realtime, who: u128, device: &str, cursor: Option<Cursor>) -> Self {
        let mut connection = live.connect(hello(who, device, cursor), Arc::new(Open)).await.unwrap();
        let mut got = vec![serde_json::from_slice(&connection.take_welcome().unwrap()).unwrap()];
        let mut replay = connection.take_replay();
        while let Some(rest) = replay {
            let page = rest.next().await.unwrap();
            for record in &page.records {
                got.push(serde_json::from_slice(&connection.change(record)).unwrap());
                connection.link().reached(record.scope, record.version);
            }
            connection.link().reached(page.scope, page.reached);
            replay = page.rest;
        }
        connection.link().release();
        Self { connection, got }
    }

    fn read(&mut self) {
        while let Some(outgoing) = self.connection.link().take() {
            let bytes = self.connection.outgoing(outgoing);
            self.got.push(serde_json::from_slice(&bytes).unwrap());
        }
    }

    async fn until(&mut self, what: impl Fn(&[Value]) -> bool) {
        let arrived = async {
            while !what(&self.got) {
                tokio::time::sleep(Duration::from_millis(2)).await;
                self.read();
            }
        };
        if tokio::time::timeout(WITHIN, arrived).await.is_err() {
            panic!("did not arrive: {:#?}", self.got);
        }
    }

    async fn until_closed(&self, code: u16) {
        let closed = async {
            while self.connection.link().closing().map(|reason| reason.code()) != Some(code) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        assert!(tokio::time::timeout(WITHIN, closed).await.is_ok(), "not closed with {code}");
    }

    async fn until_version(&mut self, version: Version) {
        self.until(|got| versions(got).last() == Some(&version)).await;
    }

    async fn say(&mut self, text: &str) -> Vec<Value> {
        let answer = self.connection.input(Input::Text(text.to_owned().into())).await.unwrap();
        self.read();
        answer.messages.iter().map(|bytes| serde_json::from_slice(bytes).unwrap()).collect()
    }
}

fn versions(got: &[Value]) -> Vec<Version> {
    got.iter().filter_map(|message| message["version"].as_i64()).collect()
}

fn kinds(got: &[Value]) -> Vec<&str> {
    got.iter().filter_map(|message| message["type"].as_str()).collect()
}

const PUSH: &str = r#"{"type":"data_updated","table":"foods","operation":"UPSERT","data":{"id":"a"}}"#;

#[tokio::test]
async fn a_change_reaches_the_users_other_devices_and_nobody_else() {
    let fake = Fake::new();
    let live = started(&fake).await;
    let mut phone = Dev::connect(&live, 1, "phone", None).await;
    let mut web = Dev::connect(&live, 1, "web", None).await;
    let mut stranger = Dev::connect(&live, 2, "web", None).await;
    let answer = phone.say(PUSH).await;
    assert_eq!(kinds(&answer), ["change_result"]);
    web.until_version(1).await;
    assert_eq!(web.got[1]["source_device"], "phone");
    phone.read();
    stranger.read();
    assert_eq!(kinds(&phone.got), ["connection_established", "presence"]);
    assert_eq!(kinds(&stranger.got), ["connection_established"]);
    assert_eq!(live.counts(), super::Counts { connections: 3, users: 2 });
    drop(web);
    phone.until(|got| got.iter().any(|message| message["is_online"] == false)).await;
}

#[tokio::test]
async fn lost_late_and_doubled_hints_cost_nothing() {
    let fake = Fake::new();
    let live = started(&fake).await;
    let mut web = Dev::connect(&live, 1, "web", None).await;
    let commits: Vec<Committed> = (0..6).map(|_| fake.commit(Scope::User(user(1)), "phone")).collect();
    for at in [2, 0, 0, 5, 1, 4] {
        live.committed(commits[at].clone());
    }
    web.until_version(6).await;
    assert_eq!(versions(&web.got), [1, 2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn a_writer_and_a_device_that_comes_with_a_cursor_leave_no_hole() {
    let fake = Fake::new();
    let live = started(&fake).await;
    let scope = Scope::User(user(1));
    for _ in 0..20 {
        fake.commit(scope, "phone");
    }
    let writer = tokio::spawn({
        let (fake, live) = (Arc::clone(&fake), live.clone());
        async move {
            for n in 0..400 {
                live.committed(fake.commit(scope, "phone"));
                if n % 7 == 0 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        }
    });
    let mut devices = Vec::new();
    for n in 0..8 {
        let cursor = Cursor { user: 5, ..Cursor::zero("e") };
        devices.push(Dev::connect(&live, 1, &format!("d{n}"), Some(cursor)).await);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    writer.await.unwrap();
    for device in &mut devices {
        device.until_version(420).await;
        assert_eq!(versions(&device.got), (6..=420).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_session_that_fails_is_started_again_with_its_devices() {
    let fake = Fake::new();
    let live = started(&fake).await;
    let mut web = Dev::connect(&live, 1, "web", None).await;
    for scope in [Scope::User(user(1)), Scope::Global] {
        live.committed(fake.commit(scope, "phone"));
        web.until(|got| got.iter().any(|message| message["scope"] == scope.to_string())).await;
        let session = match scope {
            Scope::Global => cell::get(&live.shared.catalogue),
            Scope::User(user) => live.shared.connections.session(user),
        };
        session.unwrap().actor.cast(SessionMsg::Fault(Fault::Panic)).unwrap();
        // Written while it is down: nobody hears of it until the session runs again.
        live.committed(fake.commit(scope, "phone"));
        web.until(|got| got.iter().filter(|message| message["scope"] == scope.to_string()).count() == 2).await;
    }
    assert_eq!(web.connection.link().closing(), None);
    assert_eq!(versions(&web.got), [1, 2, 1, 2]);
}

#[tokio::test]
async fn a_device_that_fails_takes_nobody_along() {
    let fake = Fake::new();
    let live = started(&fake).await;
    let web = Dev::connect(&live, 1, "web", None).await;
    let mut phone = Dev::connect(&live, 1, "phone", None).await;
    assert!(live.fault(Victim::Device(user(1), "web".parse().unwrap()), Fault::Panic));
    web.until_closed(1011).await;
    assert_eq!(kinds(&phone.say(r#"{"type":"ping"}"#).await), ["pong"]);
    assert_eq!(phone.connection.link().closing(), None);
}

#[tokio::test]
async fn an_old_or_distant_cursor_is_told_to_pull() {
    let fake = Fake::new();
    let live = started(&fake).await;
    let scope = Scope::User(user(1));
    for _ in 0..5002 {
        fake.commit(scope, "phone");
    }
    let mut old = Dev::connect(&live, 1, "old", Some(Cursor { user: 3, ..Cursor::zero("gone") })).await;
    old.read();
    assert_eq!((&old.got[1]["reason"], &old.got[1]["cursor"]["user"]), (&"cursor_too_old".into(), &0.into()));
    let mut far = Dev::connect(&live, 1, "far", Some(Cursor { user: 1, ..Cursor::zero("e") })).await;
    far.read();
    assert_eq!((&far.got[1]["reason"], &far.got[1]["cursor"]["user"]), (&"too_far_behind".into(), &1.into()));
    live.committed(fake.commit(scope, "phone"));
    far.until_version(5003).await;
    assert_eq!(versions(&far.got), [5003]);
}

#[tokio::test]
async fn the_same_device_again_replaces_its_older_socket() {
    let fake = Fake::new();
    let live = started(&fake).await;
    let first = Dev::connect(&live, 1, "web", None).await;
    let mut second = Dev::connect(&live, 1, "web", None).await;
    assert_eq!(first.connection.link().closing(), Some(CloseReason::Replaced));
    drop(first);
    assert!(live.is_online(user(1), &"web".parse().unwrap()));
    live.committed(fake.commit(Scope::User(user(1)), "phone"));
    second.until_version(1).await;
}

#[tokio::test]
async fn a_users_session_ends_with_the_last_device_and_begins_with_the_next() {
    let fake = Fake::new();
    let live = started(&fake).await;
    for n in 1..=3 {
        let mut web = Dev::connect(&live, 1, "web", None).await;
        live.committed(fake.commit(Scope::User(user(1)), "phone"));
        web.until_version(n).await;
        drop(web);
        let gone = async {
            while live.shared.connections.session(user(1)).is_some() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(WITHIN, gone).await.unwrap();
    }
}

#[tokio::test]
async fn what_another_instance_says_only_makes_a_session_look() {
    let fake = Fake::new();
    let live = started(&fake).await;
    let mut web = Dev::connect(&live, 1, "web", None).await;
    let session = live.shared.session_of(Scope::User(user(1))).unwrap();
    // However far it is said to be, and however often, it is neither frozen nor kept busy.
    for _ in 0..1000 {
        session.told(1_000_000_000_000_000, None);
    }
    live.shared.settled(Scope::User(user(1)), 0).await;
    let reads = fake.reads.load(Ordering::Relaxed);
    assert!((1..=2).contains(&reads), "{reads} reads");
    fake.commit(Scope::User(user(1)), "phone");
    session.told(1, Some("exercises"));
    web.until_version(1).await;
    // What is known by the database's own word is not asked for again.
    let reads = fake.reads.load(Ordering::Relaxed);
    session.told(1, None);
    live.shared.settled(Scope::User(user(1)), 0).await;
    assert_eq!(fake.reads.load(Ordering::Relaxed), reads);
}

#[tokio::test]
async fn an_outside_write_is_looked_for_at_once() {
    let fake = Fake::new();
    let live = started(&fake).await;
    let mut web = Dev::connect(&live, 1, "web", None).await;
    for n in 1..=3 {
        fake.commit(Scope::User(user(1)), "");
        live.outside_write();
        web.until_version(n).await;
    }
    assert_eq!(web.got[1]["type"], "database_change");
}

#[tokio::test]
async fn devices_talk_to_each_other() {
    let fake = Fake::new();
    let live = started(&fake).await;
    let mut phone = Dev::connect(&live, 1, "phone", None).await;
    let mut web = Dev::connect(&live, 1, "web", None).await;
    phone.say(r#"{"type":"broadcast","event":"timer","payload":{"left": 1.50}}"#).await;
    phone.say(r#"{"type":"trigger_sync"}"#).await;
    let answers = phone.say(r#"{"type":"sync","request_id":"r1","force_full_sync":true}"#).await;
    assert_eq!(kinds(&answers), ["sync_response", "sync_completed"]);
    assert_eq!(answers[0]["request_id"], "r1");
    web.read();
    assert_eq!(kinds(&web.got[1..]), ["broadcast", "sync_triggered", "other_device_synced"]);
    assert_eq!(web.got[1]["source_device"], "phone");
    for (message, code) in [
        (r#"{"type":"subscribe","tables":["nope"]}"#, "unknown_table"),
        (r#"{"type":"sync","request_id":7,"device_id":"web"}"#, "wrong_device"),
        ("{", "malformed"),
    ] {
        assert_eq!(phone.say(message).await[0]["code"], code);
    }
}

#[tokio::test]
async fn a_slow_device_is_bounded_and_told_once() {
    let fake = Fake::new();
    let live = started(&fake).await;
    let web = Dev::connect(&live, 1, "web", None).await;
    let mut other = Dev::connect(&live, 1, "other", None).await;
    let scope = Scope::User(user(1));
    for _ in 0..3000 {
        live.committed(fake.commit(scope, "phone"));
        other.read();
    }
    other.until_version(3000).await;
    let told = std::iter::from_fn(|| web.connection.link().take())
        .filter(|outgoing| matches!(outgoing, Outgoing::SyncRequired { .. }))
        .count();
    assert_eq!(told, 1);
}

#[tokio::test]
async fn a_revoked_device_does_not_come_in_and_a_draining_daemon_sends_away() {
    let fake = Fake::new();
    let live = started(&fake).await;
    let refused = live.connect(hello(1, "revoked", None), Arc::new(Open)).await.err();
    assert_eq!(refused, Some(CloseReason::Revoked));
    let web = Dev::connect(&live, 1, "web", None).await;
    live.drain(Duration::from_millis(200)).await;
    assert_eq!(web.connection.link().closing().map(|reason| reason.code()), Some(1012));
    assert_eq!(
        live.connect(hello(1, "late", None), Arc::new(Open)).await.err().map(|reason| reason.code()),
        Some(1012)
    );
}
