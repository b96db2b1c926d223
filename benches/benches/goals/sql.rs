//! An application that writes SQL of its own beside the daemon: its statements on a synced table, against the same on a
//! copy of the table that has keys, checks and indexes, and no trigger of the daemon's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use ryzed_benches::goals::{Goal, Row};
use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use crate::Plan;
use crate::subject::{Kind, Places};

const CLIENTS: usize = 8;
/// Rows of one statement, or of one transaction.
const MANY: u32 = 10_000;
const TABLES: [&str; 2] = ["food_entries", "bare"];

const COPY: &str = "CREATE TABLE bare (LIKE food_entries INCLUDING ALL); DO $$ BEGIN \
    EXECUTE (SELECT string_agg('ALTER TABLE bare ADD ' || pg_get_constraintdef(oid), ';') FROM pg_constraint \
    WHERE conrelid = 'food_entries'::regclass AND contype = 'f'); END $$";

/// The same table, keys, checks and indexes in SQLite.
const COPY_SQLITE: &str = "CREATE TABLE bare (id TEXT PRIMARY KEY NOT NULL, \
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE, food_id TEXT REFERENCES foods (id), \
    quantity REAL NOT NULL CHECK (quantity > 0), unit TEXT NOT NULL DEFAULT 'g', meal_type TEXT, \
    consumed_at TEXT NOT NULL, calories REAL CHECK (calories >= 0), proteins REAL, carbs REAL, fats REAL, \
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')), \
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now'))) STRICT; \
    CREATE INDEX bare_user_id ON bare (user_id); CREATE INDEX bare_food_id ON bare (food_id);";

/// The rows of a kind, without figures.
pub fn rows(kind: Kind) -> Vec<Row> {
    let row = |what: &str, unit, goal| Row::of(format!("{}: {what}", kind.name()), unit, goal);
    match kind {
        Kind::Sqlite => vec![row("one-row INSERTs of the sqlite3 shell", "/s", Goal::Share(0.6))],
        Kind::Postgres => vec![
            row("one-row INSERTs of an application, 8 clients", "/s", Goal::Share(0.5)),
            row("one-row UPDATEs of an application, 8 clients", "/s", Goal::Share(0.4)),
            row("10,000 rows in one INSERT", "ms", Goal::Times(3.0)),
        ],
        Kind::Pair => Vec::new(),
    }
}

/// One round on a new daemon.
pub fn round(places: &Places, kind: Kind, plan: &Plan, rows: &mut [Row]) {
    let mut subject = places.daemon(kind);
    match (kind, rows) {
        (Kind::Sqlite, [inserts]) => {
            let database = subject.first().database();
            database.run(COPY_SQLITE);
            let person = Uuid::new_v4();
            database.run(&format!("INSERT INTO users (id) VALUES ('{person}')"));
            let file = subject.first().folder().join("inserts.sql");
            let rate = |table: &str| {
                std::fs::write(&file, statements(table, person)).expect("a file of statements");
                let began = Instant::now();
                database.run(&format!(".read {}", file.display()));
                f64::from(MANY) / began.elapsed().as_secs_f64()
            };
            inserts.ours(rate(TABLES[0]));
            inserts.yardstick(rate(TABLES[1]));
        }
        (Kind::Postgres, [inserts, updates, large]) => {
            let url = subject.first().database_url().to_owned();
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
            let runtime = runtime.expect("a runtime");
            let length = Duration::from_secs(plan.seconds.div_ceil(2).into());
            let [ours, bare] = runtime.block_on(application(&url, length));
            for (row, (ours, bare)) in [inserts, updates, large].into_iter().zip(ours.into_iter().zip(bare)) {
                row.ours(ours);
                row.yardstick(bare);
            }
        }
        _ => {}
    }
}

/// One-row inserts, all in a transaction, as the shell reads them.
fn statements(table: &str, person: Uuid) -> String {
    let insert = |_| {
        let id = Uuid::new_v4();
        format!(
            "INSERT INTO {table} (id, user_id, quantity, meal_type, consumed_at, calories) \
             VALUES ('{id}', '{person}', 150, 'lunch', '2026-03-01T12:00:00.000000Z', 240.5);\n"
        )
    };
    let inserts: String = (0..MANY).map(insert).collect();
    format!("BEGIN;\n{inserts}COMMIT;")
}

/// For each table: inserts and updates a second, and the milliseconds of a large insert.
async fn application(url: &str, length: Duration) -> [[f64; 3]; 2] {
    let admin = client(url).await;
    admin.batch_execute(COPY).await.expect("a copy of the table");
    let people: Vec<Uuid> = (0..CLIENTS).map(|_| Uuid::new_v4()).collect();
    for person in &people {
        admin
            .execute("INSERT INTO users (id) VALUES ($1::text::uuid)", &[&person.to_string()])
            .await
            .expect("a person");
    }
    let mut all = [[0.0; 3]; 2];
    for (table, figures) in TABLES.into_iter().zip(&mut all) {
        let insert = format!(
            "INSERT INTO {table} (id, user_id, quantity, meal_type, consumed_at, calories) \
             VALUES (gen_random_uuid(), $1::text::uuid, 150, 'lunch', now(), 240.5)"
        );
        let row = format!(
            "INSERT INTO {table} (id, user_id, quantity, consumed_at) VALUES ($1::text::uuid, $1::text::uuid, 1, now())"
        );
        for person in &people {
            admin.execute(&row, &[&person.to_string()]).await.expect("a row");
        }
        // Each client edits a row of its own, whose id is its person's.
        let update = format!("UPDATE {table} SET quantity = quantity + 1 WHERE id = $1::text::uuid");
        figures[0] = rate(url, &insert, &people, length).await;
        figures[1] = rate(url, &update, &people, length).await;
        let large = format!(
            "INSERT INTO {table} (id, user_id, quantity, meal_type, consumed_at, calories) \
             SELECT gen_random_uuid(), $1::text::uuid, 150, 'lunch', now(), 240.5 FROM generate_series(1, {MANY})"
        );
        let began = Instant::now();
        admin.execute(&large, &[&people[0].to_string()]).await.expect("many rows");
        figures[2] = began.elapsed().as_secs_f64() * 1000.0;
    }
    all
}

/// The statements a second of all clients, each for its person and one after the other.
async fn rate(url: &str, sql: &str, people: &[Uuid], length: Duration) -> f64 {
    let mut clients = Vec::with_capacity(people.len());
    for person in people {
        let client = client(url).await;
        let statement = client.prepare(sql).await.expect("a statement");
        clients.push((client, statement, person.to_string()));
    }
    let is_over = Arc::new(AtomicBool::new(false));
    let began = Instant::now();
    let mut working = JoinSet::new();
    for (client, statement, person) in clients {
        let is_over = Arc::clone(&is_over);
        working.spawn(async move {
            let mut count = 0_u32;
            while !is_over.load(Relaxed) {
                count += client.execute(&statement, &[&person]).await.expect("one row") as u32;
            }
            count
        });
    }
    tokio::time::sleep(length).await;
    is_over.store(true, Relaxed);
    let counts = working.join_all().await;
    f64::from(counts.into_iter().sum::<u32>()) / began.elapsed().as_secs_f64()
}

async fn client(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("the server answers");
    tokio::spawn(connection);
    client
}
