//! A writer with SQL while everything goes on: inserts, updates, deletes that cascade, sessions that change their
//! owner, catalogue rows that come and go, transactions that stay open and are rolled back.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::watch;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};
use uuid::Uuid;

use super::oracle::Oracle;
use super::plan::Dice;
use crate::Database;

/// The days by which old tombstones are aged: more than any daemon keeps them.
pub const AGE_DAYS: i64 = 100;
/// The time that the database may take to come back.
const BACK: Duration = Duration::from_millis(300);
/// The time that a statement may take. Locks of daemons that stand still are part of the plan.
const PATIENCE: Duration = Duration::from_secs(30);

/// A writer with SQL.
#[derive(Debug)]
pub struct Outside {
    name: String,
    url: String,
    people: Vec<Uuid>,
    oracle: Arc<Oracle>,
    dice: Dice,
}

/// The effects of a transaction that matter later.
#[derive(Debug, Default)]
struct Done {
    /// Rows that nobody touches again, with their owners.
    kept: Vec<(usize, Uuid)>,
    /// All rows that it made.
    made: Vec<Uuid>,
}

impl Outside {
    /// A writer of this name into this database.
    #[must_use]
    pub fn new(name: &str, url: &str, people: &[Uuid], oracle: &Arc<Oracle>, seed: u64) -> Self {
        let dice = Dice::of(seed, name);
        Self { name: name.to_owned(), url: url.to_owned(), people: people.to_vec(), oracle: Arc::clone(oracle), dice }
    }

    /// Writes until it is told to stop.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut client = None;
        loop {
            let pause = self.dice.pause(50, 1500);
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = tokio::time::sleep(pause) => {}
            }
            // The transaction's own dice, so that a database that is away does not change what comes later.
            let dice = Dice::of(self.dice.roll(), "transaction");
            let connected = match client.take() {
                Some(client) => Ok(client),
                None => connect(&self.url).await,
            };
            match connected {
                Ok(open) => client = self.transaction(open, dice).await,
                Err(_) => tokio::time::sleep(BACK).await,
            }
        }
    }

    /// Runs one transaction; returns the connection while it is still good.
    async fn transaction(&self, client: Client, mut dice: Dice) -> Option<Client> {
        let mut done = Done::default();
        let commits = dice.percent(75);
        let stays_open = if dice.percent(20) { dice.pause(200, 3000) } else { dice.pause(0, 40) };
        let work = async {
            client.batch_execute("BEGIN").await?;
            for _ in 0..dice.between(1, 3) {
                self.statement(&client, &mut dice, &mut done).await?;
            }
            tokio::time::sleep(stays_open).await;
            anyhow::Ok(())
        };
        let worked = tokio::time::timeout(PATIENCE, work).await.context("too long").flatten();
        if let Err(error) = worked {
            self.note(format!("fails, so nothing of it stays: {error:#}"));
            self.nothing_stays(&done);
            // Dropping the connection rolls back as well.
            return None;
        }
        let end = if commits { "COMMIT" } else { "ROLLBACK" };
        let ended = client.batch_execute(end).await;
        self.note(format!(
            "{end} after {stays_open:?}: {}",
            ended.as_ref().map_or_else(ToString::to_string, |()| "done".into())
        ));
        self.oracle.tally(if commits { "commits with SQL" } else { "rollbacks with SQL" });
        match (&ended, commits) {
            (Ok(()), true) => done.kept.iter().for_each(|(person, id)| self.oracle.committed(*person, *id)),
            // A commit without an answer may have happened or not.
            (Err(_), true) => {}
            (_, false) => self.nothing_stays(&done),
        }
        ended.ok().map(|()| client)
    }

    fn nothing_stays(&self, done: &Done) {
        done.made.iter().for_each(|id| self.oracle.rolled_back(*id));
    }

    fn note(&self, what: impl Into<String>) {
        self.oracle.timeline.note(&self.name, what);
    }

    async fn statement(&self, client: &Client, dice: &mut Dice, done: &mut Done) -> anyhow::Result<()> {
        let person = dice.below(self.people.len());
        let other = dice.below(self.people.len());
        let (user, other_user) = (self.people[person], self.people[other]);
        let any = |table: &str, dice: &mut Dice| {
            let roll = dice.roll();
            format!("(SELECT id FROM {table} WHERE user_id = '{user}' ORDER BY md5(id::text || '{roll}') LIMIT 1)")
        };
        let sql = match dice.below(16) {
            0..3 => self.ledger(person, dice, done),
            3 => self.session(person, dice, done),
            4 => format!(
                "UPDATE food_entries SET quantity = {}, updated_at = now() WHERE id = {}",
                1 + dice.below(500),
                any("food_entries", dice)
            ),
            5 => format!("UPDATE food_entries SET carbs = {} WHERE user_id = '{user}'", dice.below(90)),
            6 => format!("DELETE FROM food_entries WHERE id = {}", any("food_entries", dice)),
            7 => format!("DELETE FROM workout_sessions WHERE id = {}", any("workout_sessions", dice)),
            8 | 9 => {
                let sessions = any("workout_sessions", dice);
                let Some(session) = first(client, &sessions).await? else { return Ok(()) };
                self.oracle.may_see(other, session);
                format!("UPDATE workout_sessions SET user_id = '{other_user}' WHERE id = '{session}'")
            }
            10 => format!(
                "UPDATE workout_exercises SET order_index = {} WHERE session_id = {}",
                dice.below(50),
                any("workout_sessions", dice)
            ),
            11 => {
                let food = dice.id();
                self.oracle.everybody_may_see(food);
                done.made.push(food);
                format!(
                    "INSERT INTO foods (id, name_en, name_fr, calories, created_at, updated_at) \
                    VALUES ('{food}', 'Outside', 'Dehors', {}, now(), now())",
                    dice.below(900)
                )
            }
            12 => format!(
                "DELETE FROM foods WHERE id = (SELECT id FROM foods WHERE name_en = 'Outside' \
                AND user_id IS NULL ORDER BY md5(id::text || '{}') LIMIT 1)",
                dice.roll()
            ),
            13 => format!("UPDATE foods SET calories = {} WHERE name_en = 'Outside'", dice.below(900)),
            14 => {
                let entries = any("food_entries", dice);
                let Some(entry) = first(client, &entries).await? else { return Ok(()) };
                format!(
                    "DELETE FROM food_entries WHERE id = '{entry}'; INSERT INTO food_entries \
                    (id, user_id, quantity, unit, consumed_at, created_at, updated_at) \
                    VALUES ('{entry}', '{user}', {}, 'again', now(), now(), now())",
                    1 + dice.below(90)
                )
            }
            _ => format!(
                "UPDATE exercise_sets SET reps = reps + 1 WHERE workout_exercise_id IN (SELECT e.id FROM \
                workout_exercises e JOIN workout_sessions s ON s.id = e.session_id WHERE s.user_id = '{user}')"
            ),
        };
        self.note(sql.as_str());
        client.batch_execute(&sql).await.context("a statement")
    }

    /// A row that nobody touches again.
    fn ledger(&self, person: usize, dice: &mut Dice, done: &mut Done) -> String {
        let id = dice.id();
        self.oracle.may_see(person, id);
        done.made.push(id);
        done.kept.push((person, id));
        format!(
            "INSERT INTO cardio_sessions (id, user_id, activity_type, activity_title, format_title, start_time, \
             duration_seconds, distance_km, is_running, is_paused, notes, created_at, updated_at) VALUES ('{id}', '{}', \
             'running', 'Run', 'Free', now(), 0, 0, false, false, '{} {id}', now(), now())",
            self.people[person], self.name
        )
    }

    /// A session with exercises and sets, each table in one statement.
    fn session(&self, person: usize, dice: &mut Dice, done: &mut Done) -> String {
        let (session, exercises) = (dice.id(), [dice.id(), dice.id(), dice.id()]);
        self.oracle.may_see(person, session);
        done.made.push(session);
        let mut sql = format!(
            "INSERT INTO workout_sessions (id, user_id, name, start_time, is_completed, created_at, updated_at) \
             VALUES ('{session}', '{}', '{}', now(), false, now(), now());",
            self.people[person], self.name
        );
        for (place, exercise) in exercises.iter().enumerate() {
            let set = dice.id();
            self.oracle.hangs_on(*exercise, session);
            self.oracle.hangs_on(set, *exercise);
            done.made.extend([*exercise, set]);
            sql += &format!(
                "INSERT INTO workout_exercises (id, session_id, order_index, created_at, updated_at) \
                 VALUES ('{exercise}', '{session}', {place}, now(), now()); \
                 INSERT INTO exercise_sets (id, workout_exercise_id, reps, weight, is_completed, created_at, updated_at) \
                 VALUES ('{set}', '{exercise}', 8, 60, false, now(), now());"
            );
        }
        sql
    }
}

/// Connects, and keeps the connection going in a task of its own.
async fn connect(url: &str) -> anyhow::Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn first(client: &Client, sql: &str) -> anyhow::Result<Option<Uuid>> {
    let rows = client.simple_query(sql.trim_start_matches('(').trim_end_matches(')')).await?;
    Ok(rows.iter().find_map(|row| match row {
        SimpleQueryMessage::Row(row) => row.get(0)?.parse().ok(),
        _ => None,
    }))
}

/// Makes everything that a person's scope remembers so far [`AGE_DAYS`] older: the next daemon that starts forgets the
/// tombstones. Clients that know only times have theirs moved along.
///
/// # Errors
/// When the database is away; nothing was done then.
pub async fn age(database: &Database, user: Uuid, oracle: &Oracle, person: usize) -> anyhow::Result<()> {
    let mut age = oracle.ages[person].write().await;
    oracle.forgets();
    match database {
        // Under the scope's lock, or what commits meanwhile would have an earlier time than what is before it.
        Database::Postgres(url) => {
            let sql = format!(
                "BEGIN; SELECT FROM ryzed.scopes WHERE scope = 'user:{user}' FOR UPDATE; UPDATE ryzed.changes \
                 SET changed_at = changed_at - interval '{AGE_DAYS} days' WHERE scope = 'user:{user}'; COMMIT"
            );
            connect(url).await?.batch_execute(&sql).await?;
        }
        Database::Sqlite(_) => {
            let sql = format!(
                "UPDATE sync_changes SET changed_at = strftime('%Y-%m-%dT%H:%M:%S', substr(changed_at, 1, 19), \
                 '-{AGE_DAYS} days') || substr(changed_at, 20) WHERE scope = 'user:{user}'"
            );
            tokio::task::block_in_place(|| database.run(&sql));
        }
    }
    *age += 1;
    oracle.timeline.note("nemesis", format!("all that person {person} has deleted was deleted long ago"));
    Ok(())
}

/// Moves all that the database knows of the time so many days ahead, as if the machine's clock had moved back. Nobody serves it.
pub async fn ahead(database: &Database, days: u64) -> anyhow::Result<()> {
    match database {
        Database::Postgres(url) => {
            let by = format!("+ interval '{days} days'");
            let sql = format!(
                "BEGIN; UPDATE ryzed.scopes SET changed_at = changed_at {by}; UPDATE ryzed.changes SET changed_at = changed_at {by}; \
                 UPDATE ryzed.clock SET believed = believed {by}; COMMIT"
            );
            connect(url).await?.batch_execute(&sql).await?;
        }
        Database::Sqlite(_) => {
            let by = |column: &str| {
                format!(
                    "{column} = strftime('%Y-%m-%dT%H:%M:%S', substr({column}, 1, 19), '+{days} days') || substr({column}, 20)"
                )
            };
            let sql = format!(
                "UPDATE sync_scopes SET {0}; UPDATE sync_changes SET {0}; UPDATE sync_clock SET {1}",
                by("changed_at"),
                by("believed")
            );
            tokio::task::block_in_place(|| database.run(&sql));
        }
    }
    Ok(())
}
