//! From a write on one device to its arrival on the person's other device: 50 people with two sockets each, 200 writes a
//! second in all, at times that do not depend on how fast the daemon is.
//!
//! On one daemon, and from one instance to another: over Redis, and after Redis has died.
//!
//! A time runs from just before the message is written to the socket until the other device has read and parsed it. The
//! daemon commits each write to disk (`synchronous=FULL`, its default) before anybody hears of it.

use std::cell::RefCell;
use std::time::Duration;

use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use ryzed_benches::{Figures, load, release, requested};
use ryzed_tests::instances::Instances;
use ryzed_tests::rows::food_entry;
use ryzed_tests::{Daemon, Socket, insert};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};

const PEOPLE: usize = 50;
const WRITES_PER_SECOND: f64 = 200.0;
/// The length of a round. A round's 99th percentile is then the fourth slowest of about 400.
const ROUND: Duration = Duration::from_secs(2);
/// Fills caches and prepared statements before anything counts.
const WARM_UP: Duration = Duration::from_secs(2);
/// The least number of samples that criterion takes. In [`MEASURED`] each sample has two rounds.
const SAMPLES: usize = 10;
const MEASURED: Duration = Duration::from_secs(35);
/// Targets of the 99th percentile: on one daemon, and across instances with Redis.
const TARGET: Duration = Duration::from_millis(10);
const TARGET_ACROSS: Duration = Duration::from_millis(15);
/// Target of the very worst across instances without Redis.
const TARGET_WORST: Duration = Duration::from_secs(31);
/// The time for which a dead Redis may go unnoticed.
const NOTICED: Duration = Duration::from_secs(30);
/// Between the plan and its first write.
const LEAD: Duration = Duration::from_millis(50);

/// A person with two devices.
struct Pair {
    writer: Socket,
    reader: Socket,
}

/// The measurements of one round.
#[derive(Default)]
struct Round {
    /// Until the other device had it.
    delivered: Vec<Duration>,
    /// Until the writing device had its `change_result`.
    acknowledged: Vec<Duration>,
    /// The delays of the bench itself.
    late: Vec<Duration>,
}

fn delivery(criterion: &mut Criterion) {
    if !requested() {
        return;
    }
    let runtime = Runtime::new().expect("a runtime");
    let daemon = release().start();
    measure(criterion, &runtime, "on_one_daemon", &daemon, &daemon);
    println!("target: p99 under {TARGET:?}\n");
    drop(daemon);
    let mut both = Instances::with_redis(|builder| builder.env("RYZED_SYNC__SWEEP_SECONDS", 30));
    runtime.block_on(until(&both, "redis"));
    measure(criterion, &runtime, "across_with_redis", &both.a, &both.b);
    println!("target: p99 under {TARGET_ACROSS:?}\n");
    both.redis().kill9();
    runtime.block_on(until(&both, "degraded"));
    measure(criterion, &runtime, "across_with_redis_gone", &both.a, &both.b);
    println!("target: the worst under {TARGET_WORST:?}\n");
}

/// Waits until both instances say that of their bridge.
async fn until(both: &Instances, word: &str) {
    let begun = Instant::now();
    for daemon in [&both.a, &both.b] {
        let account = daemon.account();
        while account.api.get("/health").await.ok()["bridge"] != word {
            assert!(begun.elapsed() < NOTICED, "the bridge is not {word}");
            sleep_until(Instant::now() + Duration::from_millis(50)).await;
        }
    }
}

/// Writes at one daemon and reads at the other.
fn measure(criterion: &mut Criterion, runtime: &Runtime, name: &str, here: &Daemon, there: &Daemon) {
    println!("delivery {name}: {} connections, {WRITES_PER_SECOND} writes/s, {}", 2 * PEOPLE, load());
    let mut chance = StdRng::seed_from_u64(1);
    let mut pairs = runtime.block_on(connected(here, there));
    (pairs, _) = runtime.block_on(round(pairs, &mut chance, WARM_UP));
    let kept = RefCell::new(Some(pairs));
    let rounds = RefCell::new(Vec::new());

    let mut group = criterion.benchmark_group("delivery");
    // An iteration is a round, and its "time" the round's 99th percentile.
    group.sampling_mode(SamplingMode::Flat).sample_size(SAMPLES);
    group.warm_up_time(Duration::from_millis(1)).measurement_time(MEASURED);
    group.bench_function(format!("p99_of_a_round_{name}"), |bencher| {
        bencher.iter_custom(|iterations| {
            let mut sum = Duration::ZERO;
            for _ in 0..iterations {
                let pairs = kept.take().unwrap_or_default();
                let (pairs, done) = runtime.block_on(round(pairs, &mut chance, ROUND));
                kept.replace(Some(pairs));
                sum += Figures::default().round(done.delivered.clone());
                rounds.borrow_mut().push(done);
            }
            sum
        });
    });
    group.finish();
    report(rounds.take());
}

fn report(rounds: Vec<Round>) {
    let [mut delivered, mut acknowledged, mut late] = [Figures::default(), Figures::default(), Figures::default()];
    for round in rounds {
        delivered.round(round.delivered);
        acknowledged.round(round.acknowledged);
        late.round(round.late);
    }
    println!("{}", delivered.line("write to other device"));
    println!("{}", acknowledged.line("write to own change_result"));
    println!("{}", late.line("(the bench itself was late)"));
    println!("{}", load());
}

async fn connected(here: &Daemon, there: &Daemon) -> Vec<Pair> {
    let mut pairs = Vec::with_capacity(PEOPLE);
    for _ in 0..PEOPLE {
        let account = here.account();
        let other = there.account_of(account.person.clone());
        pairs.push(Pair { writer: account.socket("phone").await, reader: other.socket("tablet").await });
    }
    pairs
}

/// One round: everybody's writes at their times.
async fn round(pairs: Vec<Pair>, chance: &mut StdRng, length: Duration) -> (Vec<Pair>, Round) {
    let plans = plans(chance, length);
    let start = Instant::now() + LEAD;
    let playing: Vec<_> =
        pairs.into_iter().zip(plans).map(|(pair, plan)| tokio::spawn(play(pair, start, plan))).collect();
    let (mut pairs, mut all) = (Vec::with_capacity(PEOPLE), Round::default());
    for playing in playing {
        let (pair, mine) = playing.await.expect("nobody fails");
        pairs.push(pair);
        all.delivered.extend(mine.delivered);
        all.acknowledged.extend(mine.acknowledged);
        all.late.extend(mine.late);
    }
    (pairs, all)
}

/// The times of each person's writes: at random, as people do who know nothing of each other.
fn plans(chance: &mut StdRng, length: Duration) -> Vec<Vec<Duration>> {
    let mut plans = vec![Vec::new(); PEOPLE];
    let mut at = 0.0;
    loop {
        at -= (1.0 - chance.random::<f64>()).ln() / WRITES_PER_SECOND;
        if at >= length.as_secs_f64() {
            return plans;
        }
        plans[chance.random_range(0..PEOPLE)].push(Duration::from_secs_f64(at));
    }
}

async fn play(mut pair: Pair, start: Instant, plan: Vec<Duration>) -> (Pair, Round) {
    let (tell, told) = mpsc::unbounded_channel();
    let count = plan.len();
    let ((acknowledged, late), delivered) =
        tokio::join!(write(&mut pair.writer, start, plan, tell), read(&mut pair.reader, count, told));
    (pair, Round { delivered, acknowledged, late })
}

type Sent = (Value, Instant);

/// Writes at the given times, whatever has come back by then.
async fn write(
    socket: &mut Socket,
    start: Instant,
    plan: Vec<Duration>,
    tell: mpsc::UnboundedSender<Sent>,
) -> (Vec<Duration>, Vec<Duration>) {
    let (mut sent, mut acknowledged, mut late) = (Vec::with_capacity(plan.len()), Vec::new(), Vec::new());
    for at in plan {
        let due = start + at;
        while acknowledged.len() < sent.len() {
            let Ok(result) = timeout_at(due, socket.next("change_result")).await else { break };
            acknowledged.push(applied(&result, sent[acknowledged.len()]));
        }
        sleep_until(due).await;
        let entry = food_entry(json!({"calories": 240.5, "proteins": 12.5}));
        let now = Instant::now();
        let _ = tell.send((entry["id"].clone(), now));
        socket.send(insert("food_entries", &entry).message()).await;
        sent.push(now);
        late.push(now - due);
    }
    while acknowledged.len() < sent.len() {
        let result = socket.next("change_result").await;
        acknowledged.push(applied(&result, sent[acknowledged.len()]));
    }
    (acknowledged, late)
}

fn applied(result: &Value, sent: Instant) -> Duration {
    assert_eq!(result["status"], "applied", "{result}");
    sent.elapsed()
}

/// One scope's changes arrive in order, so the next to arrive is the next that was written.
async fn read(socket: &mut Socket, count: usize, mut told: mpsc::UnboundedReceiver<Sent>) -> Vec<Duration> {
    let mut delivered = Vec::with_capacity(count);
    while let Some((id, sent)) = told.recv().await {
        let message = socket.next("data_updated").await;
        delivered.push(sent.elapsed());
        assert_eq!(message["data"]["id"], id, "{message}");
    }
    delivered
}

criterion_group!(benches, delivery);
criterion_main!(benches);
