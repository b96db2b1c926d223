//! Abusers whose requests cost much inside.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hyper::Method;
use ryzed_tests::rows::{food_entry, row};
use ryzed_tests::{Account, Change, Database, delete, insert, update};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::{Abuser, On, Strike, Target, again};

/// The time that an answer over a socket may take.
const PATIENCE: Duration = Duration::from_secs(5);
const MEGABYTE: usize = 1_000_000;
const TABLE: &str = "recipes";
/// Tags in a long list.
const TAGS: usize = 30_000;
/// Points of a long run.
const POINTS: usize = 5000;

/// All of them.
pub const COSTS: [Abuser; 14] = [
    both("100 edits of a row of 1 MB", 4, |target| edits(target, MEGABYTE, 100, "server_wins").boxed()),
    both("1,000 edits of a row of 4 MB", 4, |target| edits(target, 4 * MEGABYTE, 1000, "client_wins").boxed()),
    both("manual edits of a row of 1 MB", 4, |target| edits(target, MEGABYTE, 100, "manual").boxed()),
    both("open conflicts of a row of 1 MB", 8, |target| open_conflicts(target).boxed()),
    both("merges of two lists of 30,000", 4, |target| merges(target).boxed()),
    both("1,000 new rows a request", 8, |target| uploads(target).boxed()),
    both("uploads over 20 sockets", 20, |target| sockets(target).boxed()),
    both("deletes of a run with 5,000 points", 2, |target| cascades(target).boxed()),
    both("1,000 rows of the catalogue", 4, |target| catalogue(target).boxed()),
    both("new device ids", 8, |target| devices(target).boxed()),
    both("digests of 20,000 rows", 50, |target| reads(target, "/digest").boxed()),
    both("pulls since an old time", 50, |target| {
        reads(target, "/changes?last_sync_timestamp=2001-01-01T00:00:00Z").boxed()
    }),
    postgres("15 pushes into a locked scope", 15, |target| locked_scope(target).boxed()),
    postgres("pushes of 20 people into a locked table", 20, |target| locked_table(target).boxed()),
];

const fn both(name: &'static str, parallel: usize, prepare: super::Prepare) -> Abuser {
    Abuser { name, parallel, on: On::Both, prepare }
}

const fn postgres(name: &'static str, parallel: usize, prepare: super::Prepare) -> Abuser {
    Abuser { name, parallel, on: On::Postgres, prepare }
}

/// A request with these changes, which downloads next to nothing.
fn body(changes: &[Change]) -> String {
    let changes: Vec<Value> = changes.iter().map(Change::json).collect();
    json!({"device_id": "phone", "tables": ["users"], "changes": changes}).to_string()
}

/// A strike with other mutations each time.
fn fresh(me: Account, make: impl Fn(usize) -> String + Send + Sync + 'static) -> Strike {
    let turn = AtomicUsize::new(0);
    Arc::new(move || {
        let body = make(turn.fetch_add(1, Ordering::Relaxed));
        let api = me.api.clone();
        async move {
            let _ = api.raw(Method::POST, "/sync", &[("content-type", "application/json")], body).await;
        }
        .boxed()
    })
}

/// A long row that somebody else has changed.
async fn contested(me: &Account, bytes: usize) -> (Value, Value) {
    let recipe = row(TABLE, json!({"steps_en": ["x".repeat(bytes)]}));
    let base = me.store(TABLE, &recipe).await;
    me.push_from("tablet", [update(TABLE, &recipe["id"], json!({"steps_en": ["y".repeat(bytes)]})).base(&base)]).await;
    (recipe["id"].clone(), base)
}

async fn edits(target: Target, bytes: usize, count: usize, strategy: &'static str) -> Strike {
    let (id, base) = contested(&target.me, bytes).await;
    fresh(target.me, move |turn| {
        let edit =
            |n: usize| update(TABLE, &id, json!({"steps_en": [format!("{turn} {n}")]})).base(&base).strategy(strategy);
        body(&(0..count).map(edit).collect::<Vec<_>>())
    })
}

async fn open_conflicts(target: Target) -> Strike {
    let (id, base) = contested(&target.me, MEGABYTE).await;
    for n in 0..100 {
        let edit = update(TABLE, &id, json!({"steps_en": [format!("{n}")]})).base(&base).strategy("manual");
        target.me.push_from(&format!("device-{}", n % 10), [edit]).await;
    }
    again(&target.me, Method::GET, "/conflicts", String::new())
}

async fn merges(target: Target) -> Strike {
    let tags = |side: &str| (0..TAGS).map(|n| format!("{side}{n}")).collect::<Vec<_>>();
    let recipe = row(TABLE, json!({"tags": []}));
    let base = target.me.store(TABLE, &recipe).await;
    target.me.push_from("tablet", [update(TABLE, &recipe["id"], json!({"tags": tags("a")})).base(&base)]).await;
    let (id, theirs) = (recipe["id"].clone(), tags("b"));
    fresh(target.me, move |_| body(&[update(TABLE, &id, json!({"tags": theirs})).base(&base).strategy("merge")]))
}

async fn uploads(target: Target) -> Strike {
    fresh(target.me, |_| {
        let row = || food_entry(json!({"calories": 240.5, "proteins": 12.5}));
        body(&(0..1000).map(|_| insert("food_entries", &row())).collect::<Vec<_>>())
    })
}

async fn sockets(target: Target) -> Strike {
    let (me, turn) = (target.me, AtomicUsize::new(0));
    Arc::new(move || {
        let (me, turn) = (me.clone(), turn.fetch_add(1, Ordering::Relaxed) % 20);
        async move {
            // Whoever was sent away comes back.
            let Ok(mut socket) = me.connect(&format!("socket-{turn}")).try_established().await else { return };
            let changes: Vec<Value> = (0..500).map(|_| insert("food_entries", &food_entry(json!({}))).json()).collect();
            for n in 0..10 {
                let sync = json!({"type": "sync", "request_id": n, "tables": ["users"], "changes": changes});
                if socket.try_send(Message::text(sync.to_string())).await.is_err() {
                    return;
                }
                while let Ok(Some(message)) = socket.event(PATIENCE).await {
                    if message["request_id"] == n {
                        break;
                    }
                }
            }
        }
        .boxed()
    })
}

async fn cascades(target: Target) -> Strike {
    let me = target.me;
    Arc::new(move || {
        let me = me.clone();
        async move {
            let run = row("cardio_sessions", json!({}));
            let point = || row("location_points", json!({"cardio_session_id": run["id"]}));
            let send = |changes: Vec<Change>| {
                let (api, body) = (me.api.clone(), body(&changes));
                async move { api.raw(Method::POST, "/sync", &[("content-type", "application/json")], body).await }
            };
            let _ = send(vec![insert("cardio_sessions", &run)]).await;
            for _ in 0..POINTS / 1000 {
                let _ = send((0..1000).map(|_| insert("location_points", &point())).collect()).await;
            }
            let _ = send(vec![delete("cardio_sessions", &run["id"])]).await;
        }
        .boxed()
    })
}

async fn catalogue(target: Target) -> Strike {
    // The same rows again and again, so that others' copies of the catalogue stay small.
    let foods: Vec<Value> = (0..1000).map(|_| row("foods", json!({"user_id": null}))).collect();
    fresh(target.keeper, move |turn| {
        let change = |food: &Value| {
            let mut food = food.clone();
            food["calories"] = json!(turn % 900);
            Change::new("UPSERT", "foods", food).strategy("client_wins")
        };
        body(&foods.iter().map(change).collect::<Vec<_>>())
    })
}

async fn devices(target: Target) -> Strike {
    let (me, turn) = (target.me, AtomicUsize::new(0));
    Arc::new(move || {
        let (api, turn) = (me.api.clone(), turn.fetch_add(1, Ordering::Relaxed));
        async move {
            let body = json!({"device_id": format!("device-{turn}"), "tables": ["users"]}).to_string();
            let _ = api.raw(Method::POST, "/sync", &[("content-type", "application/json")], body).await;
            let _ = api.raw(Method::DELETE, &format!("/devices/device-{turn}"), &[], "").await;
        }
        .boxed()
    })
}

async fn reads(target: Target, path: &'static str) -> Strike {
    for _ in 0..20 {
        let rows = (0..1000).map(|_| insert("food_entries", &food_entry(json!({}))));
        target.me.push(rows).await;
    }
    again(&target.me, Method::GET, path, String::new())
}

/// Runs SQL that holds something in the database for as long as the strike lives.
fn holding(database: &Database, sql: &str) -> Arc<tokio::task::JoinHandle<()>> {
    let Database::Postgres(url) = database else { unreachable!("only for PostgreSQL") };
    let (url, sql) = (url.clone(), sql.to_owned());
    Arc::new(tokio::spawn(async move {
        let _session = ryzed_tests::Session::that(&url, &sql).await;
        std::future::pending::<()>().await;
    }))
}

/// Ends with the value.
struct Held(Arc<tokio::task::JoinHandle<()>>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn locked_scope(target: Target) -> Strike {
    target.me.push([]).await;
    let lock = format!("BEGIN; SELECT 1 FROM ryzed.scopes WHERE scope = 'user:{}' FOR UPDATE", target.me.person.id);
    let held = Held(holding(&target.database, &lock));
    let strike = fresh(target.me, |_| body(&[insert("food_entries", &food_entry(json!({})))]));
    Arc::new(move || {
        let _held = &held;
        strike()
    })
}

async fn locked_table(target: Target) -> Strike {
    let held = Held(holding(&target.database, "BEGIN; LOCK TABLE public.hiit_sessions"));
    let (people, turn) = (target.people, AtomicUsize::new(0));
    Arc::new(move || {
        let _held = &held;
        let me = people[turn.fetch_add(1, Ordering::Relaxed) % people.len()].clone();
        let push: BoxFuture<'static, ()> = async move {
            let body = body(&[insert("hiit_sessions", &row("hiit_sessions", json!({})))]);
            let _ = me.api.raw(Method::POST, "/sync", &[("content-type", "application/json")], body).await;
        }
        .boxed();
        push
    })
}
