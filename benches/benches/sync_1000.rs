//! A thousand rows up in one `POST /sync`, and a thousand rows down to a device that has none.
//!
//! A time runs from before the request is sent until the whole answer is there; making the request and reading the
//! answer are the client's own affair. Every upload is by another person, who has called before.

use std::cell::Cell;
use std::time::{Duration, Instant};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, SamplingMode, criterion_group, criterion_main};
use hyper::Method;
use ryzed_benches::{Figures, load, release, requested};
use ryzed_tests::account::PHONE;
use ryzed_tests::rows::food_entry;
use ryzed_tests::{Account, Daemon, insert};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

const ROWS: usize = 1000;
/// The table of the rows; the catalogue has none of it.
const TABLE: &str = "food_entries";
const SAMPLES: usize = 10;
/// Targets.
const UP: Duration = Duration::from_millis(150);
const DOWN: Duration = Duration::from_millis(50);
const WARM_UP: Duration = Duration::from_secs(1);
const MEASURED: Duration = Duration::from_secs(4);

type Group<'a> = BenchmarkGroup<'a, WallTime>;
type Headers = &'static [(&'static str, &'static str)];

fn sync_1000(criterion: &mut Criterion) {
    if !requested() {
        return;
    }
    let daemon = release().start();
    let runtime = Runtime::new().expect("a runtime");
    println!("sync_1000: {}", load());
    let mut group = criterion.benchmark_group("sync_1000");
    group.sampling_mode(SamplingMode::Flat).sample_size(SAMPLES).warm_up_time(WARM_UP).measurement_time(MEASURED);
    let mut lines = Vec::new();
    for (name, tables) in [("up", json!(["users"])), ("up_and_back", json!([TABLE]))] {
        lines.push(measured(&mut group, name, || runtime.block_on(up(&daemon, &tables))));
    }
    let owner = daemon.account();
    runtime.block_on(owner.sync(upload()));
    for (name, headers) in [("down", &[] as Headers), ("down_gzip", &[("accept-encoding", "gzip")])] {
        let bytes = Cell::new(0);
        let line = measured(&mut group, name, || {
            let (size, time) = runtime.block_on(down(&owner, headers));
            bytes.set(size);
            time
        });
        lines.push(format!("{line}; {} KiB", bytes.get() >> 10));
    }
    group.finish();
    println!("{}\ntargets: up under {UP:?}, down under {DOWN:?}; {}\n", lines.join("\n"), load());
}

/// Lets criterion decide how often, and keeps every time.
fn measured(group: &mut Group<'_>, name: &str, once: impl Fn() -> Duration) -> String {
    let mut figures = Figures::default();
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|iterations| {
            let times: Vec<Duration> = (0..iterations).map(|_| once()).collect();
            let sum = times.iter().sum();
            figures.round(times);
            sum
        });
    });
    figures.line(&format!("{ROWS} rows, {name}"))
}

/// A request with new rows.
fn upload() -> Value {
    let row = || food_entry(json!({"calories": 240.5, "proteins": 12.5, "carbs": 30, "fats": 8.25}));
    let changes: Vec<Value> = (0..ROWS).map(|_| insert(TABLE, &row()).json()).collect();
    json!({"device_id": PHONE, "changes": changes})
}

async fn up(daemon: &Daemon, tables: &Value) -> Duration {
    let account = daemon.account();
    let mut body = upload();
    body["cursor"] = account.cursor().await;
    body["tables"] = tables.clone();
    let body = body.to_string();
    let began = Instant::now();
    let answer = account.api.raw(Method::POST, "/sync", &[("content-type", "application/json")], body).await;
    let time = began.elapsed();
    let answer = answer.expect("an answer").ok();
    let applied = answer["results"].as_array().into_iter().flatten().filter(|result| result["status"] == "applied");
    assert_eq!(applied.count(), ROWS);
    time
}

/// The size of the answer comes along.
async fn down(owner: &Account, headers: Headers) -> (usize, Duration) {
    let path = format!("/changes?tables={TABLE}&limit={ROWS}");
    let began = Instant::now();
    let answer = owner.api.raw(Method::GET, &path, headers, "").await;
    let time = began.elapsed();
    let answer = answer.expect("an answer");
    assert_eq!(answer.header("content-encoding").is_empty(), headers.is_empty());
    if headers.is_empty() {
        assert_eq!(answer.json()["total_changes"], ROWS);
    }
    (answer.body.len(), time)
}

criterion_group!(benches, sync_1000);
criterion_main!(benches);
