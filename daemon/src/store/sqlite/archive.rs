//! A SQLite database, out and in as a whole. One connection, one transaction; nothing in here waits for anything but the disk.

mod parts;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use diesel::connection::SimpleConnection;
use diesel::sql_types::{BigInt, Text};
use diesel::{RunQueryDsl, SqliteConnection};
use ryzed_adapters::{Registry, UNSAID};
use serde_json::Value;
use uuid::Uuid;

use super::epoch::{self, Life};
use super::json::Exact;
use super::lock::Lock;
use super::{Schema, SqliteSettings, connect, migrate, triggers};
use crate::store::StoreError;
use crate::store::archive::verify::{Names, questions};
use crate::store::archive::{Dump, Part, RECORDS_AT_ONCE, Restore, canonical_json};
use crate::store::statement::statement;
use crate::sync::said;

const NAMES: Names = Names { rows: "", changes: "sync_changes", scopes: "sync_scopes" };

/// A database in a transaction that nobody else ends.
struct Whole {
    connection: SqliteConnection,
    schema: Arc<Schema>,
    path: PathBuf,
    _lock: Lock,
}

/// Opens a database to be read whole; with `seal`, nobody else may be working on it, and it is sealed once it was read.
///
/// # Errors
/// When there is no database, or it is in use.
pub fn dump(settings: &SqliteSettings, registry: Arc<Registry>, seal: bool) -> Result<Box<dyn Dump>, StoreError> {
    if !settings.path.exists() {
        return Err(StoreError::Failed(format!("there is no database {}", settings.path.display())));
    }
    let lock = if seal { Lock::alone(&settings.path)? } else { Lock::visiting(&settings.path)? };
    let mut whole = Whole::open(settings, registry, lock)?;
    // Whether a backup was restored here is what decides how much the epoch that goes along is worth.
    let life =
        if seal { Life::resume(&mut whole.connection, &whole.path)? } else { Life::visit(&mut whole.connection)? };
    whole.connection.batch_execute(if seal { "BEGIN IMMEDIATE" } else { "BEGIN" })?;
    Ok(Box::new(SqliteDump { whole, life, seal, page: None }))
}

/// Opens a database to be filled, alone. Makes it when it is missing.
///
/// # Errors
/// When it can't be opened, or is in use.
pub fn restore(settings: &SqliteSettings, registry: Arc<Registry>) -> Result<Box<dyn Restore>, StoreError> {
    let lock = Lock::alone(&settings.path)?;
    let mut whole = Whole::open(settings, registry, lock)?;
    // References are looked at once, when all is there.
    whole.connection.batch_execute("PRAGMA foreign_keys = OFF; BEGIN IMMEDIATE")?;
    migrate::take_triggers_down(&mut whole.connection)?;
    Ok(Box::new(SqliteRestore { whole }))
}

/// Takes a seal off. The database begins a new epoch: where it was taken to, it may have gone on in the old one. Says
/// whether there was a seal.
///
/// # Errors
/// When there is no database, or it is in use.
pub fn unseal(settings: &SqliteSettings, registry: Arc<Registry>) -> Result<bool, StoreError> {
    if !settings.path.exists() {
        return Err(StoreError::Failed(format!("there is no database {}", settings.path.display())));
    }
    let lock = Lock::alone(&settings.path)?;
    let mut whole = Whole::open(settings, registry, lock)?;
    whole.connection.immediate_transaction(|connection| {
        let was_sealed = epoch::is_sealed(connection)?;
        if was_sealed {
            epoch::unseal(connection)?;
        }
        Ok(was_sealed)
    })
}

impl Whole {
    fn open(settings: &SqliteSettings, registry: Arc<Registry>, lock: Lock) -> Result<Self, StoreError> {
        let schema = Schema::new(registry);
        let mut connection = connect(&settings.path, settings.durable)?;
        migrate::up_to_date(&mut connection, &schema)?;
        Ok(Self { connection, schema, path: settings.path.clone(), _lock: lock })
    }

    fn number(&mut self, sql: &str) -> Result<i64, StoreError> {
        let numbers: Vec<i64> = statement::<BigInt>(sql).load(&mut self.connection)?;
        Ok(numbers.first().copied().unwrap_or(0))
    }

    fn count(&mut self, part: Part<'_>) -> Result<u64, StoreError> {
        let count = self.number(&format!("SELECT count(*) FROM {}", parts::table(part)))?;
        Ok(u64::try_from(count).unwrap_or_default())
    }

    fn contradictions(&mut self) -> Result<Vec<String>, StoreError> {
        let mut found = Vec::new();
        for question in questions(&self.schema.registry.clone(), &NAMES) {
            let count = self.number(&question.sql)?;
            if count > 0 {
                found.push(format!("{count} {}", question.complaint));
            }
        }
        let dangling: Vec<(String, i64)> = statement::<(Text, BigInt)>(
            "SELECT \"table\", count(*) FROM pragma_foreign_key_check GROUP BY \"table\" ORDER BY \"table\"",
        )
        .load(&mut self.connection)?;
        found.extend(dangling.into_iter().map(|(table, count)| format!("{count} rows of {table} that refer to none")));
        Ok(found)
    }
}

struct SqliteDump {
    whole: Whole,
    life: Life,
    seal: bool,
    page: Option<Page>,
}

/// The position within a part that is being read.
struct Page {
    sql: String,
    /// The table that it is of.
    table: String,
    /// True if the records are entries of the index.
    is_index: bool,
    after: (String, String),
}

/// The error for a record that can't be in an archive, and what to do; nothing of its values.
fn broken(table: &str, key: &str, said: &str) -> StoreError {
    let marked = said::object(said).remove(UNSAID);
    let fields: Vec<&str> = marked.iter().flat_map(Value::as_array).flatten().filter_map(Value::as_str).collect();
    StoreError::Unsuitable(format!(
        "the row {} of {table} holds what is no text in UTF-8, in {}: an archive can't hold it. Give it another value with SQL, \
         then export again",
        key.trim(),
        fields.join(", ")
    ))
}

#[async_trait]
impl Dump for SqliteDump {
    fn epoch(&self) -> &str {
        self.life.epoch()
    }

    async fn count(&mut self, part: Part<'_>) -> Result<u64, StoreError> {
        self.whole.count(part)
    }

    async fn open(&mut self, part: Part<'_>) -> Result<(), StoreError> {
        let is_index = matches!(part, Part::Changes);
        let table = parts::table(part).to_owned();
        self.page = Some(Page { sql: parts::read(part), table, is_index, after: Default::default() });
        Ok(())
    }

    async fn next(&mut self) -> Result<Vec<String>, StoreError> {
        let Some(page) = &mut self.page else { return Ok(Vec::new()) };
        let rows: Vec<(String, String, Exact)> = statement::<(Text, Text, Text)>(&page.sql)
            .text(&page.after.0)
            .text(&page.after.1)
            .int(RECORDS_AT_ONCE)
            .load(&mut self.whole.connection)?;
        if let Some((first, second, _)) = rows.last() {
            page.after = (first.clone(), second.clone());
        }
        let registry = &self.whole.schema.registry;
        let records = rows.iter().map(|(first, second, json)| match json {
            Exact::Whole(json) if page.is_index => canonical_json::entry(registry, json),
            Exact::Whole(json) => canonical_json::ordered(json),
            Exact::Broken(json) => Err(broken(&page.table, &format!("{first} {second}"), json)),
        });
        records.collect()
    }

    async fn contradictions(&mut self) -> Result<Vec<String>, StoreError> {
        self.whole.contradictions()
    }

    async fn finish(&mut self) -> Result<(), StoreError> {
        let connection = &mut self.whole.connection;
        if self.seal {
            epoch::seal(connection)?;
        }
        connection.batch_execute("COMMIT")?;
        self.life.end(connection);
        Ok(())
    }
}

struct SqliteRestore {
    whole: Whole,
}

#[async_trait]
impl Restore for SqliteRestore {
    async fn is_occupied(&mut self, starter: &[Uuid]) -> Result<bool, StoreError> {
        let ids: Vec<String> = starter.iter().map(Uuid::to_string).collect();
        let ids = serde_json::to_string(&ids).map_err(|error| StoreError::Failed(error.to_string()))?;
        let held: Vec<i64> = statement::<BigInt>(
            "SELECT (SELECT count(*) FROM users) + (SELECT count(*) FROM sync_devices) + (SELECT count(*) FROM sync_receipts) \
             + (SELECT count(*) FROM sync_conflicts) + (SELECT count(*) FROM sync_changes WHERE scope <> 'global' \
             OR operation <> 'INSERT' OR row_id NOT IN (SELECT value FROM json_each(?1)))",
        )
        .text(ids)
        .load(&mut self.whole.connection)?;
        Ok(held.first().is_none_or(|held| *held > 0))
    }

    async fn empty(&mut self) -> Result<(), StoreError> {
        for part in Part::all(&self.whole.schema.registry) {
            self.whole.connection.batch_execute(&format!("DELETE FROM {}", parts::table(part)))?;
        }
        Ok(())
    }

    async fn put(&mut self, part: Part<'_>, records: &str) -> Result<(), StoreError> {
        let connection = &mut self.whole.connection;
        connection.batch_execute("SAVEPOINT batch")?;
        let put = statement::<()>(&parts::write(part)).text(records).execute(connection);
        let end = if put.is_ok() { "RELEASE batch" } else { "ROLLBACK TO batch; RELEASE batch" };
        connection.batch_execute(end)?;
        put?;
        Ok(())
    }

    async fn count(&mut self, part: Part<'_>) -> Result<u64, StoreError> {
        self.whole.count(part)
    }

    async fn contradictions(&mut self) -> Result<Vec<String>, StoreError> {
        self.whole.contradictions()
    }

    async fn finish(&mut self, epoch: Option<&str>) -> Result<(), StoreError> {
        let Whole { connection, schema, path, .. } = &mut self.whole;
        for trigger in triggers::all(&schema.registry) {
            connection.batch_execute(&trigger)?;
        }
        connection.batch_execute(
            "DELETE FROM sync_counts WHERE kind = 'receipts'; \
             INSERT INTO sync_counts SELECT 'receipts', user_id, count(*) FROM sync_receipts GROUP BY user_id",
        )?;
        epoch::begin(connection, path, epoch)?;
        connection.batch_execute("COMMIT; PRAGMA optimize")?;
        Ok(())
    }
}
