//! Checks that the generated triggers stand as they were installed. Somebody with SQL may drop one, or rebuild a table,
//! which drops them all; the file's schema number shows that something has changed. The writer installs missing
//! triggers again, and notes the tables whose rows may have changed unseen.

use std::collections::BTreeSet;

use diesel::connection::SimpleConnection;
use diesel::sql_types::{Integer, Text};
use diesel::{RunQueryDsl, SqliteConnection};
use ryzed_adapters::Registry;

use super::{Schema, epoch, sums, triggers};
use crate::store::StoreError;
use crate::store::compare::BlindNote;
use crate::store::statement::statement;

/// Before the table's name, the key of a note that its rows may have changed unseen.
const BLIND: &str = "blind:";
/// The reason in such a note.
const REASON: &str = "triggers of ryzed were missing or others than were put up";

/// Stands guard over the triggers for the one that writes.
pub(super) struct Guard {
    /// True in the daemon, which alone guards: a command may have another configuration of columns.
    is_on_duty: bool,
    /// The number that the schema had when the triggers were last seen to stand.
    number: Option<i32>,
    /// True once the log has it that some are missing and can't be installed.
    is_said: bool,
}

impl Guard {
    pub(super) fn new(is_on_duty: bool) -> Self {
        Self { is_on_duty, number: None, is_said: false }
    }

    /// Makes sure, in a transaction that writes, that the triggers stand: what is written without them reaches nobody. Until
    /// that ends nobody else changes the schema.
    pub(super) fn stand(&mut self, connection: &mut SqliteConnection, schema: &Schema) -> Result<(), StoreError> {
        if !self.is_on_duty || self.number == Some(schema_number(connection)?) {
            return Ok(());
        }
        for table in put_back(connection, schema)? {
            tracing::warn!(
                table,
                "triggers of ryzed were missing and are installed again; its rows are compared with the index"
            );
        }
        if sums::stand(connection)? {
            tracing::warn!(
                "triggers of ryzed on its index were missing and are installed again; digests are counted anew"
            );
        }
        self.number = Some(schema_number(connection)?);
        self.is_said = false;
        Ok(())
    }

    /// Checks the triggers between such transactions, so that what others write is noticed as well.
    pub(super) fn look(&mut self, connection: &mut SqliteConnection, schema: &Schema) {
        let is_same = !self.is_on_duty || schema_number(connection).is_ok_and(|number| self.number == Some(number));
        if is_same || connection.batch_execute("BEGIN IMMEDIATE").is_err() {
            return;
        }
        let done = self.stand(connection, schema).and_then(|()| Ok(connection.batch_execute("COMMIT")?));
        if let Err(error) = done {
            let _ = connection.batch_execute("ROLLBACK");
            self.forget();
            if !std::mem::replace(&mut self.is_said, true) {
                tracing::error!(%error, "nothing can be uploaded");
            }
        }
    }

    /// Makes the guard look again, since its work was not committed.
    pub(super) fn forget(&mut self) {
        self.number = None;
    }
}

/// The number that is another after each change of the schema, by whomever.
fn schema_number(connection: &mut SqliteConnection) -> Result<i32, StoreError> {
    let found: Vec<i32> = statement::<Integer>("PRAGMA schema_version").load(connection)?;
    found.first().copied().ok_or_else(|| StoreError::Failed("the schema has no number".into()))
}

/// Puts up the triggers that do not stand as they should. Says of which tables; to be called in a transaction.
fn put_back(connection: &mut SqliteConnection, schema: &Schema) -> Result<BTreeSet<String>, StoreError> {
    let standing: BTreeSet<String> = generated_triggers(connection)?.into_iter().collect();
    let mut tables = BTreeSet::new();
    for table in schema.registry.iter() {
        let wanted = triggers::of_table(table, &schema.registry);
        if wanted.iter().all(|trigger| standing.contains(trigger)) {
            continue;
        }
        for trigger in wanted.iter().filter(|trigger| !standing.contains(*trigger)) {
            let name = trigger.split_whitespace().nth(2).unwrap_or_default();
            let installed = connection.batch_execute(&format!("DROP TRIGGER IF EXISTS {name}; {trigger}"));
            installed.map_err(|error| missing(table.name, &error))?;
        }
        note_blind(connection, table.name)?;
        tables.insert(table.name.to_owned());
    }
    Ok(tables)
}

fn missing(table: &str, error: &diesel::result::Error) -> StoreError {
    StoreError::Unavailable(format!(
        "triggers of ryzed on the table {table} are missing and can't be put up ({error}); put the table back as it was"
    ))
}

/// The tables that have lost some of their triggers, or have others under their names than were installed.
pub(super) fn tampered(
    connection: &mut SqliteConnection,
    registry: &Registry,
    standing: &[String],
) -> Result<BTreeSet<String>, StoreError> {
    let noted = epoch::get(connection, PUT_UP)?;
    let Some(noted) = noted.and_then(|noted| serde_json::from_str::<Vec<String>>(&noted).ok()) else {
        return Ok(BTreeSet::new());
    };
    let lost: Vec<&String> = noted.iter().filter(|trigger| !standing.contains(trigger)).collect();
    // Behind the table's name stands what the trigger is for, in one word: another table's name may begin with this one's.
    let is_of = |table: &str, trigger: &str| {
        let rest =
            trigger.strip_prefix(&format!("CREATE TRIGGER sync_{table}_")).and_then(|rest| rest.split(' ').next());
        rest.is_some_and(|word| !word.contains('_'))
    };
    let of_table = |table: &str| lost.iter().any(|trigger| is_of(table, trigger));
    Ok(registry.iter().filter(|table| of_table(table.name)).map(|table| table.name.to_owned()).collect())
}

/// The key of the note about the installed triggers.
const PUT_UP: &str = "triggers";

/// Notes the installed triggers, so that a later release tells its own changes from somebody else's.
pub(super) fn note_installed(connection: &mut SqliteConnection, triggers: &[String]) -> Result<(), StoreError> {
    let text = serde_json::to_string(triggers).map_err(|error| StoreError::Failed(error.to_string()))?;
    if epoch::get(connection, PUT_UP)?.as_deref() == Some(&text) {
        return Ok(());
    }
    epoch::set(connection, PUT_UP, &text)
}

/// Notes that rows of a table may have changed unseen until now.
pub(super) fn note_blind(connection: &mut SqliteConnection, table: &str) -> Result<(), StoreError> {
    // Behind every entry that there is, whatever the clock says.
    let now = "SELECT max(strftime('%Y-%m-%dT%H:%M:%f999Z', 'now'), coalesce((SELECT max(changed_at) || '~' FROM sync_scopes), ''))";
    let now: Vec<String> = statement::<Text>(now).load(connection)?;
    epoch::set(connection, &format!("{BLIND}{table}"), now.first().map_or("", String::as_str))
}

/// The note that a table's rows may have changed unseen.
pub(super) fn blind_note(connection: &mut SqliteConnection, table: &str) -> Result<Option<BlindNote>, StoreError> {
    let at = epoch::get(connection, &format!("{BLIND}{table}"))?;
    Ok(at.map(|at| BlindNote { at, reason: REASON.into() }))
}

/// Takes the note back, unless there is a newer one or triggers are missing again.
pub(super) fn settle(
    connection: &mut SqliteConnection,
    schema: &Schema,
    table: &str,
    note: &BlindNote,
) -> Result<bool, StoreError> {
    let standing = generated_triggers(connection)?;
    let Some(known) = schema.registry.get(table) else { return Ok(false) };
    let stands = triggers::of_table(known, &schema.registry).iter().all(|trigger| standing.contains(trigger));
    if stands && blind_note(connection, table)?.is_some_and(|now| now.at == note.at) {
        epoch::forget(connection, &format!("{BLIND}{table}"))?;
    }
    Ok(stands)
}

/// The generated triggers that stand, as SQL text; SQLite keeps it as it was written.
pub(super) fn generated_triggers(connection: &mut SqliteConnection) -> Result<Vec<String>, StoreError> {
    Ok(statement::<Text>("SELECT sql FROM sqlite_schema WHERE type = 'trigger' AND tbl_name <> 'sync_record' AND name LIKE 'sync\\_%' ESCAPE '\\' ORDER BY sql").load(connection)?)
}
