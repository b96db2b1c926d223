//! A PostgreSQL database, out and in as a whole. One connection as the owner of the tables, one transaction.

mod parts;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use diesel::sql_types::{BigInt, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use ryzed_adapters::{Registry, Table};
use uuid::Uuid;

use super::adopt::Naming;
use super::epoch;
use super::fault::judge;
use super::kept;
use super::layout::Layout;
use super::reads::list;
use super::renew::{self, Ground};
use super::sql_text::{execute, texts};
use super::triggers::{Placed, ROW, TRUNCATE};
use super::turn;
use crate::store::archive::verify::{Names, questions};
use crate::store::archive::{Dump, Part, RECORDS_AT_ONCE, Restore, canonical_json};
use crate::store::statement::statement;
use crate::store::{Stay, StoreError};

const NAMES: Names = Names { rows: "public.", changes: "ryzed.changes", scopes: "ryzed.scopes" };

/// The time that connections of a daemon that has just ended may take to close.
const GOING: Duration = Duration::from_secs(5);
/// The time between two checks that they are closed.
const LOOK: Duration = Duration::from_millis(100);

/// The settings for moving a whole database: it takes longer than a statement of the daemon may, and the reader at the
/// other end of the pipe may be slow. Rows that policies would hide are an error, and never missing in silence. A
/// statement that waits for another's lock gives up.
const PATIENT: &str = "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET row_security = off; \
    SET lock_timeout = '10s'; SET search_path = pg_catalog, pg_temp";

/// A database in a transaction that nobody else ends.
struct Whole {
    connection: AsyncPgConnection,
    registry: Arc<Registry>,
    layout: Layout,
}

/// Opens a database to be read whole; with `seal`, nobody else of ours may be working on it, what others write waits, and it
/// is sealed once it was read.
///
/// # Errors
/// When it can't be opened, or is in use.
pub async fn dump(url: &str, registry: Arc<Registry>, seal: bool) -> Result<Box<dyn Dump>, StoreError> {
    let mut whole = Whole::open(url, registry).await?;
    if seal {
        whole.be_alone().await?;
    }
    let epoch = epoch::epoch(&mut whole.connection).await?;
    // A write takes its version under a lock of a scope, which waits for this one.
    let hold = if seal { "LOCK TABLE ryzed.scopes IN EXCLUSIVE MODE" } else { "SET TRANSACTION READ ONLY" };
    execute(&mut whole.connection, &format!("BEGIN ISOLATION LEVEL REPEATABLE READ; {hold}")).await?;
    Ok(Box::new(PostgresDump { whole, epoch, seal, opened: 0, is_index: false }))
}

/// Opens a database to be filled, alone.
///
/// # Errors
/// When it can't be opened, or is in use.
pub async fn restore(url: &str, registry: Arc<Registry>) -> Result<Box<dyn Restore>, StoreError> {
    let mut whole = Whole::open(url, registry).await?;
    whole.be_alone().await?;
    // What is brought in is of the tables as they are: none of them has come back.
    let placed = Placed { registry: &whole.registry, layout: &whole.layout };
    kept::note(&mut whole.connection, placed, true).await?;
    execute(&mut whole.connection, "BEGIN").await?;
    whole.triggers_off().await?;
    Ok(Box::new(PostgresRestore { whole }))
}

/// Takes a seal off. The database begins a new epoch: where it was taken to, it may have gone on in the old one. Says
/// whether there was a seal.
///
/// # Errors
/// When it can't be opened, or is in use.
pub async fn unseal(url: &str, registry: Arc<Registry>) -> Result<bool, StoreError> {
    let mut whole = Whole::open(url, registry).await?;
    whole.be_alone().await?;
    let was_sealed = epoch::is_sealed(&mut whole.connection).await?;
    if was_sealed {
        epoch::unseal(&mut whole.connection).await?;
    }
    Ok(was_sealed)
}

impl Whole {
    async fn open(url: &str, registry: Arc<Registry>) -> Result<Self, StoreError> {
        let layout = Layout::own(&registry);
        let placed = Placed { registry: &registry, layout: &layout };
        let ground = Ground { adapters: &registry, placed, naming: &Naming::new(), is_adopted: false };
        let mut connection = renew::up_to_date(url, ground, Stay::Keeper).await?;
        execute(&mut connection, PATIENT).await?;
        let mut whole = Self { connection, registry, layout };
        whole.is_our_own().await?;
        Ok(whole)
    }

    /// Only what the adapters know is moved, so there must not be more. A table that the configuration declares may have columns
    /// that were declared once.
    async fn is_our_own(&mut self) -> Result<(), StoreError> {
        for table in self.registry.iter() {
            let known: Vec<&str> = table.every_column().map(|column| column.name.as_str()).collect();
            let strange = texts(
                &mut self.connection,
                &format!(
                    "SELECT coalesce(a.attname, k) FROM unnest('{}'::text[]) k FULL JOIN (SELECT attname::text FROM pg_attribute \
                     WHERE attrelid = to_regclass('public.{}') AND attnum > 0 AND NOT attisdropped) a ON a.attname = k \
                     WHERE a.attname IS NULL OR (k IS NULL AND NOT {})",
                    list(known),
                    table.name,
                    table.is_generated
                ),
            )
            .await?;
            if !strange.is_empty() {
                return Err(StoreError::Failed(format!(
                    "the table public.{} is not as ryzed makes it (columns {}): a database with other columns can't be moved \
                     as a whole",
                    table.name,
                    strange.join(", ")
                )));
            }
        }
        Ok(())
    }

    /// Daemons that start wait from here on. One that runs is an error, so is another command.
    async fn be_alone(&mut self) -> Result<(), StoreError> {
        turn::take(&mut self.connection).await?;
        let began = Instant::now();
        loop {
            let Some(another) = turn::another(&mut self.connection).await? else { return Ok(()) };
            if began.elapsed() > GOING {
                return Err(StoreError::InUse(format!(
                    "the database is in use: stop the daemon, and any other ryzed command on it, first ({another})"
                )));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn triggers_off(&mut self) -> Result<(), StoreError> {
        let off = |table: &Table| format!("ALTER TABLE public.{} DISABLE TRIGGER USER", table.name);
        let all: Vec<String> = self.registry.iter().map(off).collect();
        execute(&mut self.connection, &all.join(";")).await
    }

    /// Switches the triggers on as they were installed, each where it fires.
    async fn triggers_on(&mut self) -> Result<(), StoreError> {
        let on = |table: &Table| {
            format!(
                "ALTER TABLE public.{0} ENABLE TRIGGER USER, ENABLE REPLICA TRIGGER {ROW}, ENABLE ALWAYS TRIGGER {TRUNCATE}",
                table.name
            )
        };
        let all: Vec<String> = self.registry.iter().map(on).collect();
        execute(&mut self.connection, &all.join(";")).await
    }

    async fn number(&mut self, sql: &str) -> Result<i64, StoreError> {
        let numbers: Vec<i64> =
            statement::<BigInt>(sql).load(&mut self.connection).await.map_err(|error| judge(&error).0)?;
        Ok(numbers.into_iter().next().unwrap_or(0))
    }

    async fn count(&mut self, part: Part<'_>) -> Result<u64, StoreError> {
        let count = self.number(&format!("SELECT count(*) FROM {}", parts::table(part))).await?;
        Ok(u64::try_from(count).unwrap_or_default())
    }

    async fn contradictions(&mut self) -> Result<Vec<String>, StoreError> {
        let mut found = Vec::new();
        for question in questions(&Arc::clone(&self.registry), &NAMES) {
            let count = self.number(&question.sql).await?;
            if count > 0 {
                found.push(format!("{count} {}", question.complaint));
            }
        }
        Ok(found)
    }
}

struct PostgresDump {
    whole: Whole,
    epoch: String,
    seal: bool,
    /// The number of parts opened so far; each has a cursor of its own.
    opened: u32,
    /// True if the records are entries of the index.
    is_index: bool,
}

#[async_trait]
impl Dump for PostgresDump {
    fn epoch(&self) -> &str {
        &self.epoch
    }

    async fn count(&mut self, part: Part<'_>) -> Result<u64, StoreError> {
        self.whole.count(part).await
    }

    async fn open(&mut self, part: Part<'_>) -> Result<(), StoreError> {
        self.is_index = matches!(part, Part::Changes);
        self.opened += 1;
        let declare =
            format!("DECLARE part_{} NO SCROLL CURSOR FOR {}", self.opened, parts::read(part, &self.whole.layout));
        execute(&mut self.whole.connection, &declare).await
    }

    async fn next(&mut self) -> Result<Vec<String>, StoreError> {
        let fetch = format!("FETCH {RECORDS_AT_ONCE} FROM part_{}", self.opened);
        let records = texts(&mut self.whole.connection, &fetch).await?;
        let registry = &self.whole.registry;
        let records = records.iter().map(|json| {
            if self.is_index { canonical_json::entry(registry, json) } else { canonical_json::ordered(json) }
        });
        records.collect()
    }

    async fn contradictions(&mut self) -> Result<Vec<String>, StoreError> {
        self.whole.contradictions().await
    }

    async fn finish(&mut self) -> Result<(), StoreError> {
        if self.seal {
            epoch::seal(&mut self.whole.connection).await?;
        }
        execute(&mut self.whole.connection, "COMMIT").await
    }
}

struct PostgresRestore {
    whole: Whole,
}

#[async_trait]
impl Restore for PostgresRestore {
    async fn is_occupied(&mut self, starter: &[Uuid]) -> Result<bool, StoreError> {
        let held = format!(
            "SELECT (SELECT count(*) FROM public.users) + (SELECT count(*) FROM ryzed.devices) \
             + (SELECT count(*) FROM ryzed.receipts) + (SELECT count(*) FROM ryzed.conflicts) \
             + (SELECT count(*) FROM ryzed.changes WHERE scope <> 'global' OR operation <> 'INSERT' \
             OR row_id <> ALL ('{}'::uuid[]))",
            list(starter)
        );
        Ok(self.whole.number(&held).await? > 0)
    }

    async fn empty(&mut self) -> Result<(), StoreError> {
        let all: Vec<String> =
            Part::all(&self.whole.registry).map(|part| format!("DELETE FROM {}", parts::table(part))).collect();
        execute(&mut self.whole.connection, &all.join(";")).await
    }

    async fn put(&mut self, part: Part<'_>, records: &str) -> Result<(), StoreError> {
        let connection = &mut self.whole.connection;
        execute(connection, "SAVEPOINT batch").await?;
        let put = statement::<Text>(&parts::write(part)).text(records).execute(connection).await;
        let end = if put.is_ok() { "RELEASE batch" } else { "ROLLBACK TO batch; RELEASE batch" };
        execute(connection, end).await?;
        put.map(|_| ()).map_err(|error| judge(&error).0)
    }

    async fn count(&mut self, part: Part<'_>) -> Result<u64, StoreError> {
        self.whole.count(part).await
    }

    async fn contradictions(&mut self) -> Result<Vec<String>, StoreError> {
        // Without statistics the questions would be planned for empty tables.
        let all: Vec<String> = Part::all(&self.whole.registry).map(parts::table).collect();
        execute(&mut self.whole.connection, &format!("ANALYZE {}", all.join(", "))).await?;
        self.whole.contradictions().await
    }

    async fn finish(&mut self, epoch: Option<&str>) -> Result<(), StoreError> {
        self.whole.triggers_on().await?;
        execute(
            &mut self.whole.connection,
            "DELETE FROM ryzed.counts WHERE kind = 'receipts'; \
             INSERT INTO ryzed.counts SELECT 'receipts', user_id::text, count(*) FROM ryzed.receipts GROUP BY user_id",
        )
        .await?;
        epoch::begin(&mut self.whole.connection, epoch).await?;
        execute(&mut self.whole.connection, "COMMIT").await
    }
}
