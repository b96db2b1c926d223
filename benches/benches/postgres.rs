//! The cost of the daemon on PostgreSQL, as ratios: the same rows by the daemon and by a bare statement, in turns, in
//! one run on one server.
//!
//! - **push of 1,000 rows**: a `POST /sync` with inserts, against one `INSERT … SELECT` of the same rows, sent as JSON, into a
//!   copy of the table that has its keys, foreign keys, checks and indexes, and no trigger;
//! - **pull of 1,000 rows**: `GET /changes` from zero, against the `SELECT` that builds the same JSON, numbers and times in
//!   the same form;
//! - **push of one row**: the same as the first with one row, against a transaction of `BEGIN`, `INSERT`, `COMMIT`.
//!
//! Times of the daemon hold everything: HTTP, token, checks, receipts, the change index. The server writes to the disk as in
//! production.

use std::time::{Duration, Instant};

use hyper::Method;
use ryzed_benches::{Figures, Spread, load, release, requested};
use ryzed_tests::account::PHONE;
use ryzed_tests::postgres::Cluster;
use ryzed_tests::rows::food_entry;
use ryzed_tests::{Account, Daemon, insert};
use serde_json::{Value, json};
use tokio_postgres::{Client, NoTls, Statement};

const MANY: usize = 1000;
/// The table of the rows; the catalogue has none of it.
const TABLE: &str = "food_entries";
/// Pairs of measurements before any counts, and those that count, in rounds.
const WARM_UP: usize = 5;
const ROUNDS: usize = 5;
const PAIRS: usize = 12;
/// A single row is quick, so there are more of them.
const PAIRS_OF_ONE: usize = 150;

/// The targets: the daemon's median over the bare one's.
const TARGETS: [(&str, f64); 3] = [("push of 1000 rows", 3.0), ("pull of 1000 rows", 1.5), ("push of one row", 2.5)];

/// A copy of the table without triggers.
const COPY: &str = "CREATE TABLE bare (LIKE food_entries INCLUDING ALL); DO $$ BEGIN \
    EXECUTE (SELECT string_agg('ALTER TABLE bare ADD ' || pg_get_constraintdef(oid), ';') FROM pg_constraint \
    WHERE conrelid = 'food_entries'::regclass AND contype = 'f'); END $$";

/// The rows as JSON, each value in the form in which it travels.
const PULL: &str = r#"SELECT row_to_json(r)::text FROM (SELECT id, user_id, trim_scale(calories) AS calories,
    trim_scale(carbs) AS carbs, to_char(consumed_at AT TIME ZONE 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS consumed_at,
    trim_scale(fats) AS fats, food_id, meal_type, trim_scale(proteins) AS proteins, trim_scale(quantity) AS quantity, unit,
    to_char(created_at AT TIME ZONE 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS created_at,
    to_char(updated_at AT TIME ZONE 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS updated_at FROM bare ORDER BY id) r"#;

fn main() {
    if !requested() {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let cluster = Cluster::durable();
    let url = cluster.new_database();
    let daemon = release().env("RYZED_DATABASE__URL", &url).start();
    println!("postgres: {}", load());
    for (line, (name, target)) in runtime.block_on(all(&daemon, &url)).into_iter().zip(TARGETS) {
        println!("{name}: {line} (asked: {target}×)");
    }
    println!("{}", load());
}

async fn all(daemon: &Daemon, url: &str) -> [String; 3] {
    let bare = Bare::open(url).await;
    let many = push(daemon, &bare, MANY, PAIRS).await;
    let pull = pull(daemon, &bare).await;
    let one = push(daemon, &bare, 1, PAIRS_OF_ONE).await;
    [many, pull, one]
}

/// The database without the daemon.
struct Bare {
    client: Client,
    insert: Statement,
    pull: Statement,
}

impl Bare {
    async fn open(url: &str) -> Self {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("the server answers");
        tokio::spawn(connection);
        client.batch_execute(COPY).await.expect("a table");
        let insert = "INSERT INTO bare SELECT * FROM json_populate_recordset(NULL::bare, $1::text::json)";
        let insert = client.prepare(insert).await.expect("a statement");
        let pull = client.prepare(PULL).await.expect("a statement");
        Self { client, insert, pull }
    }

    /// The rows go in with one statement in a transaction of its own.
    async fn push(&self, rows: &[Value]) -> Duration {
        let rows = Value::from(rows.to_vec()).to_string();
        let began = Instant::now();
        self.client.batch_execute("BEGIN").await.expect("a transaction");
        let count = self.client.execute(&self.insert, &[&rows]).await.expect("the rows go in");
        self.client.batch_execute("COMMIT").await.expect("the transaction ends");
        let time = began.elapsed();
        assert!(count > 0);
        time
    }

    async fn pull(&self) -> Duration {
        let began = Instant::now();
        let rows = self.client.query(&self.pull, &[]).await.expect("the rows come out");
        let time = began.elapsed();
        assert_eq!(rows.len(), MANY);
        time
    }
}

async fn push(daemon: &Daemon, bare: &Bare, count: usize, pairs: usize) -> String {
    let account = daemon.account();
    let mut turns = Turns::default();
    for round in 0..=ROUNDS {
        let pairs = if round == 0 { WARM_UP } else { pairs };
        for _ in 0..pairs {
            // Fresh rows of one person; their copy of the server's rows stays where it is.
            let rows: Vec<Value> = (0..count).map(|_| row(&account)).collect();
            let ours = push_rows(&account, &rows).await;
            turns.pair(ours, bare.push(&rows).await);
        }
        turns.end_round(round > 0);
    }
    turns.line()
}

async fn pull(daemon: &Daemon, bare: &Bare) -> String {
    let account = daemon.account();
    let rows: Vec<Value> = (0..MANY).map(|_| row(&account)).collect();
    push_rows(&account, &rows).await;
    bare.client.batch_execute("TRUNCATE bare").await.expect("an empty table");
    bare.push(&rows).await;
    bare.client.batch_execute("ANALYZE").await.expect("statistics");
    let mut turns = Turns::default();
    for round in 0..=ROUNDS {
        let pairs = if round == 0 { WARM_UP } else { PAIRS };
        for _ in 0..pairs {
            let ours = pull_rows(&account).await;
            turns.pair(ours, bare.pull().await);
        }
        turns.end_round(round > 0);
    }
    turns.line()
}

/// A row with every column, as either side stores it.
fn row(account: &Account) -> Value {
    let values = json!({"calories": 240.5, "proteins": 12.5, "carbs": 30, "fats": 8.25, "unit": "g",
        "created_at": "2026-03-01T08:00:00.000000Z", "updated_at": "2026-03-01T08:00:00.000000Z", "user_id": account.user()});
    food_entry(values)
}

async fn push_rows(account: &Account, rows: &[Value]) -> Duration {
    let changes: Vec<Value> = rows.iter().map(|row| insert(TABLE, &sent(row)).json()).collect();
    let cursor = account.cursor().await;
    let body = json!({"device_id": PHONE, "cursor": cursor, "tables": ["users"], "changes": changes}).to_string();
    let began = Instant::now();
    let answer = account.api.raw(Method::POST, "/sync", &[("content-type", "application/json")], body).await;
    let time = began.elapsed();
    let answer = answer.expect("an answer").ok();
    let applied = answer["results"].as_array().into_iter().flatten().filter(|result| result["status"] == "applied");
    assert_eq!(applied.count(), rows.len(), "{answer}");
    time
}

/// `updated_at` is the server's.
fn sent(row: &Value) -> Value {
    let mut row = row.clone();
    row.as_object_mut().expect("a row").remove("updated_at");
    row
}

async fn pull_rows(account: &Account) -> Duration {
    let path = format!("/changes?tables={TABLE}&limit={MANY}");
    let began = Instant::now();
    let answer = account.api.raw(Method::GET, &path, &[], "").await;
    let time = began.elapsed();
    assert_eq!(answer.expect("an answer").json()["total_changes"], MANY);
    time
}

/// Times of both sides, taken in turns.
#[derive(Default)]
struct Turns {
    round: (Vec<Duration>, Vec<Duration>),
    ours: Figures,
    bare: Figures,
    ratios: Vec<f64>,
}

impl Turns {
    fn pair(&mut self, ours: Duration, bare: Duration) {
        self.round.0.push(ours);
        self.round.1.push(bare);
    }

    fn end_round(&mut self, counts: bool) {
        let (ours, bare) = std::mem::take(&mut self.round);
        if counts {
            self.ratios.push(median(&ours) / median(&bare));
            self.ours.round(ours);
            self.bare.round(bare);
        }
    }

    /// The ratio of the medians.
    fn line(self) -> String {
        format!(
            "{}× by round\n  {}\n  {}",
            Spread::of(self.ratios),
            self.ours.line("the daemon"),
            self.bare.line("bare")
        )
    }
}

fn median(times: &[Duration]) -> f64 {
    let mut times = times.to_vec();
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64()
}
