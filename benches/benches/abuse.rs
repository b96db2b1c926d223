//! Cost that somebody who abuses the daemon is to everybody else: one-row uploads of ten people, in turns quiet and beside one
//! abuser of each sort, on SQLite and on PostgreSQL. An abuser has one token and as many connections as it likes; the last two
//! on PostgreSQL are an application that locks what the daemon needs.
//!
//! A time runs from before the request is sent until the whole answer is there. Abusers run on threads of the lowest priority, so
//! that what they cost the machine by themselves counts as little as it can. `ABUSERS=merge,digest` runs those whose names
//! hold one of these words, `DATABASES=sqlite` one database.

use std::time::{Duration, Instant};

use hyper::Method;
use ryzed_benches::abusers::{Abuser, AtWork, COSTS, DOORS, On, Target};
use ryzed_benches::{Figures, Spread, load, release, requested};
use ryzed_tests::postgres::Cluster;
use ryzed_tests::rows::food_entry;
use ryzed_tests::{Account, Builder, Daemon, insert};
use serde_json::json;
use tokio::runtime::Runtime;

/// The people who only want to store a row now and then, and how often each does.
const PEOPLE: usize = 10;
const EVERY: Duration = Duration::from_millis(100);
/// Pairs of a quiet and an abused phase, and how long each is.
const ROUNDS: usize = 3;
const PHASE: Duration = Duration::from_secs(3);
/// Time that the abuser is at it before it counts.
const LEAD: Duration = Duration::from_millis(500);
/// The targets: others' median and 99th percentile over the quiet ones.
const TARGETS: (f64, f64) = (3.0, 10.0);

fn main() {
    if !requested() {
        return;
    }
    println!("abuse: {PEOPLE} people with a row each {EVERY:?}, {ROUNDS} rounds, {}", load());
    let databases = std::env::var("DATABASES").unwrap_or_else(|_| "sqlite,postgres".into());
    if databases.contains("sqlite") {
        all("sqlite", On::Both, release);
    }
    if databases.contains("postgres") {
        let cluster = Cluster::durable();
        all("postgres", On::Postgres, || release().env("RYZED_DATABASE__URL", cluster.new_database()));
    }
    println!("{}", load());
}

/// Each with a daemon and a database of its own.
fn all(database: &str, on: On, build: impl Fn() -> Builder) {
    let wanted = std::env::var("ABUSERS").unwrap_or_default();
    let is_wanted = |abuser: &&Abuser| wanted.split(',').any(|word| abuser.name.contains(word));
    let (mut within, mut count) = (0, 0);
    for abuser in
        COSTS.iter().chain(&DOORS).filter(|abuser| abuser.on == On::Both || on == On::Postgres).filter(is_wanted)
    {
        let daemon = build().start();
        let (line, is_within) = beside(&daemon, abuser);
        println!("{database}: {line}");
        count += 1;
        within += usize::from(is_within);
    }
    println!("{database}: {within} of {count} within median {} × and p99 {} ×\n", TARGETS.0, TARGETS.1);
}

/// Measures beside one abuser; in a line, and whether that is within what is asked for.
fn beside(daemon: &Daemon, abuser: &Abuser) -> (String, bool) {
    let runtime = Runtime::new().expect("a runtime");
    let theirs = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .on_thread_start(|| {
            let _ = rustix::process::nice(19);
        })
        .build()
        .expect("a runtime");
    let strike = theirs.block_on((abuser.prepare)(Target::of(daemon)));
    let line = runtime.block_on(async {
        let people: Vec<Account> = (0..PEOPLE).map(|_| daemon.account()).collect();
        phase(&people, PHASE).await;
        let (mut quiet, mut abused) = (Figures::default(), Figures::default());
        let (mut medians, mut slowest, mut peak, mut put_off) = (Vec::new(), Vec::new(), 0, 0);
        for _ in 0..ROUNDS {
            let (times, _) = phase(&people, PHASE).await;
            let before = (median(&times), quiet.round(times));
            daemon.forget_peak();
            let at_work = AtWork::start(theirs.handle(), &strike, abuser.parallel);
            tokio::time::sleep(LEAD).await;
            let (times, failed) = phase(&people, PHASE).await;
            let beside = (median(&times), abused.round(times));
            at_work.stop().await;
            peak = peak.max(daemon.peak_kib() >> 10);
            put_off += failed;
            medians.push(ratio(beside.0, before.0));
            slowest.push(ratio(beside.1, before.1));
            // What it has begun is still being worked on.
            phase(&people, PHASE / 3).await;
        }
        let (medians, slowest) = (Spread::of(medians), Spread::of(slowest));
        let is_within = medians.middle() < TARGETS.0 && slowest.middle() < TARGETS.1 && put_off == 0;
        let verdict = if is_within { "" } else { "  <-- over" };
        let line = format!(
            "{}\n  median {medians} ×, p99 {slowest} × by round; {put_off} put off; the daemon's peak {peak} MiB{verdict}\n  {}\n  {}",
            abuser.name,
            quiet.line("quiet"),
            abused.line("beside it")
        );
        (line, is_within)
    });
    theirs.shutdown_background();
    line
}

/// Everybody stores a row now and then; how long each took, and how many got no good answer.
async fn phase(people: &[Account], length: Duration) -> (Vec<Duration>, usize) {
    let end = Instant::now() + length;
    let storing = people.iter().enumerate().map(|(place, me)| {
        let me = me.clone();
        tokio::spawn(async move {
            tokio::time::sleep(EVERY * place as u32 / PEOPLE as u32).await;
            let (mut times, mut failed) = (Vec::new(), 0);
            while Instant::now() < end {
                let body = json!({"device_id": "phone", "tables": ["users"],
                    "changes": [insert("food_entries", &food_entry(json!({}))).json()]});
                let began = Instant::now();
                let sent = me.api.raw(Method::POST, "/sync", &[("content-type", "application/json")], body.to_string());
                let is_done = sent.await.is_ok_and(|answer| answer.status == 200);
                let took = began.elapsed();
                times.push(took);
                failed += usize::from(!is_done);
                tokio::time::sleep(EVERY.saturating_sub(took)).await;
            }
            (times, failed)
        })
    });
    let (mut times, mut failed) = (Vec::new(), 0);
    for one in storing.collect::<Vec<_>>() {
        let (mine, put_off) = one.await.expect("nobody fails");
        times.extend(mine);
        failed += put_off;
    }
    (times, failed)
}

fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn ratio(time: Duration, quiet: Duration) -> f64 {
    time.as_secs_f64() / quiet.as_secs_f64().max(f64::EPSILON)
}
