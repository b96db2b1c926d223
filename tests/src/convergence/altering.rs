//! A person who alters tables by DDL while devices use them, writes into them all the same, and puts them back. What
//! the daemons can't know by themselves afterwards, a start finds out.

use std::time::Duration;

use anyhow::Context as _;
use tokio::time::sleep;
use tokio_postgres::NoTls;
use uuid::Uuid;

use super::oracle::Oracle;
use super::plan::{Alteration, Altered};
use super::world::Processes;

/// The tables that are altered. Counters that add up are exact only where nobody writes them unseen, so those are not written.
const TABLES: [&str; 4] = ["food_entries", "workout_sessions", "cardio_sessions", "workout_templates"];
/// The number of times that an alteration is tried while others hold the table.
const TRIES: usize = 40;
/// The time that each waits for them; those who come after it wait as well.
const LOCK: &str = "SET lock_timeout = '250ms'";

/// Alters a table and puts it back; whether a daemon has to be started again for it to be served.
pub async fn carry_out(processes: &Processes, how: &Alteration, oracle: &Oracle) -> bool {
    let Some(url) = processes.sql() else { return false };
    let table = TABLES[how.table % TABLES.len()];
    let (user, other) = (processes.people[how.people.0], processes.people[how.people.1]);
    if how.kind != Altered::Unguarded && how.kind != Altered::Moved && table == "workout_sessions" {
        give_away(&url, user, how.people.1, oracle).await;
    }
    let [away, writes, back] = statements(how.kind, table, user, other);
    if let Err(error) = patiently(&url, &format!("{away}; {writes}")).await {
        oracle.timeline.note("nemesis", format!("{table} is not altered: {error:#}"));
        return false;
    }
    oracle.tally("altered tables");
    oracle.timeline.note("nemesis", format!("{table}: {away}; {writes}"));
    sleep(how.lasts).await;
    if let Err(error) = patiently(&url, &back).await {
        oracle.violated("nemesis", format!("{table} can't be put back: {error:#}"));
    }
    oracle.timeline.note("nemesis", format!("{table}: {back}"));
    !matches!(how.kind, Altered::Unguarded | Altered::Moved)
}

/// The statements that alter the table, write meanwhile, and put it back.
fn statements(kind: Altered, table: &str, user: Uuid, other: Uuid) -> [String; 3] {
    let owner = if matches!(kind, Altered::OwnerRenamed | Altered::OwnerReplaced) { "owner_id" } else { "user_id" };
    let writes = match table {
        "food_entries" => format!(
            "UPDATE food_entries SET quantity = quantity + 1 WHERE {owner} = '{user}'; DELETE FROM food_entries WHERE id = \
             (SELECT id FROM food_entries WHERE {owner} = '{user}' ORDER BY id LIMIT 1)"
        ),
        "workout_sessions" => format!("UPDATE workout_sessions SET {owner} = '{other}' WHERE name = 'given away'"),
        "cardio_sessions" => format!("UPDATE cardio_sessions SET updated_at = now() WHERE {owner} = '{user}'"),
        _ => "SELECT 1".to_owned(),
    };
    let (away, back) = match kind {
        Altered::OwnerRenamed => (
            format!("ALTER TABLE {table} RENAME user_id TO owner_id"),
            format!("ALTER TABLE {table} RENAME owner_id TO user_id"),
        ),
        Altered::OwnerReplaced => (
            format!("ALTER TABLE {table} RENAME user_id TO owner_id; ALTER TABLE {table} ADD user_id uuid"),
            format!("ALTER TABLE {table} DROP user_id; ALTER TABLE {table} RENAME owner_id TO user_id"),
        ),
        Altered::Moved => {
            (format!("ALTER TABLE {table} RENAME TO elsewhere"), format!("ALTER TABLE elsewhere RENAME TO {table}"))
        }
        Altered::TriggersOff => {
            (format!("ALTER TABLE {table} DISABLE TRIGGER USER"), format!("ALTER TABLE {table} ENABLE TRIGGER USER"))
        }
        Altered::TriggerDropped => (format!("DROP TRIGGER ryzed_update ON {table}"), "SELECT 1".into()),
        Altered::PolicyDropped => (format!("DROP POLICY ryzed_select ON {table}"), "SELECT 1".into()),
        Altered::Unguarded => (
            format!("ALTER TABLE {table} DISABLE ROW LEVEL SECURITY"),
            format!("ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"),
        ),
    };
    let is_written = !matches!(kind, Altered::Unguarded | Altered::Moved);
    [away, if is_written { writes } else { "SELECT 1".into() }, back]
}

/// Marks a session of a person as one that another is going to have.
async fn give_away(url: &str, user: Uuid, to: usize, oracle: &Oracle) {
    let mark = format!(
        "UPDATE workout_sessions SET name = 'given away' WHERE id = (SELECT id FROM workout_sessions \
         WHERE user_id = '{user}' ORDER BY id LIMIT 1)"
    );
    if patiently(url, &mark).await.is_err() {
        return;
    }
    for id in ids(url, "SELECT id::text FROM workout_sessions WHERE name = 'given away'").await.unwrap_or_default() {
        oracle.may_see(to, id);
    }
}

async fn ids(url: &str, sql: &str) -> anyhow::Result<Vec<Uuid>> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    let rows = client.query(sql, &[]).await?;
    rows.iter().map(|row| row.get::<_, String>(0).parse().context("an id")).collect()
}

/// One transaction, tried again while others hold the table.
async fn patiently(url: &str, sql: &str) -> anyhow::Result<()> {
    let mut last = None;
    for _ in 0..TRIES {
        match once(url, sql).await {
            Ok(()) => return Ok(()),
            Err(error) => last = Some(error),
        }
        sleep(Duration::from_millis(200)).await;
    }
    last.map_or(Ok(()), Err)
}

async fn once(url: &str, sql: &str) -> anyhow::Result<()> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    client.batch_execute(&format!("{LOCK}; BEGIN; {sql}; COMMIT")).await.context("a statement")
}
