//! Tables that no migration makes: they are made at a start, and what is missing of them is added.

use std::collections::{BTreeMap, BTreeSet};

use diesel::connection::SimpleConnection;
use diesel::sql_types::{Integer, Nullable, Text};
use diesel::{RunQueryDsl, SqliteConnection};
use ryzed_adapters::{Registry, Table};

use super::{ddl, epoch, guard};
use crate::store::StoreError;
use crate::store::generated::{FoundColumn, Step, missing, refused, unmade};
use crate::store::statement::statement;

/// The key of the note about the columns that travel of each of these tables.
const NOTED: &str = "generated";

/// Makes what is missing. To be called in a transaction.
///
/// # Errors
/// When a table is another one in the database, and what to do.
pub(super) fn make(connection: &mut SqliteConnection, registry: &Registry) -> Result<(), StoreError> {
    let (mut statements, mut faults) = (Vec::new(), Vec::new());
    for table in registry.iter().filter(|table| table.is_generated) {
        match lacking(connection, table)? {
            Ok(lacking) => statements.extend(lacking),
            Err(found) => faults.extend(found),
        }
    }
    if !faults.is_empty() {
        return Err(refused(&faults));
    }
    for statement in statements {
        tracing::info!(sql = statement.split(" (").next().unwrap_or_default(), "a declared table is made or added to");
        connection.batch_execute(&statement)?;
    }
    Ok(())
}

/// Refuses a database in which something is missing.
pub(super) fn must_be_made(connection: &mut SqliteConnection, registry: &Registry) -> Result<(), StoreError> {
    let mut lacks = Vec::new();
    for table in registry.iter().filter(|table| table.is_generated) {
        if !lacking(connection, table)?.map_err(|faults| refused(&faults))?.is_empty() {
            lacks.push(table.name);
        }
    }
    if lacks.is_empty() { Ok(()) } else { Err(unmade(&lacks)) }
}

/// Notes which columns travel of these tables. Rows of a table that has come back may have changed unseen, so it is compared with
/// the index; rows that have got a column are told again.
pub(super) fn note(connection: &mut SqliteConnection, registry: &Registry) -> Result<(), StoreError> {
    let travelling = |table: &Table| table.columns.iter().map(|column| column.name.clone()).collect::<BTreeSet<_>>();
    let generated = registry.iter().filter(|table| table.is_generated);
    let now: BTreeMap<&str, BTreeSet<String>> = generated.map(|table| (table.name, travelling(table))).collect();
    let noted = epoch::get(connection, NOTED)?.unwrap_or_default();
    let before: BTreeMap<String, BTreeSet<String>> = serde_json::from_str(&noted).unwrap_or_default();
    for (table, columns) in &now {
        match before.get(*table) {
            None if is_in_index(connection, table)? => guard::note_blind(connection, table)?,
            Some(had) if columns.difference(had).next().is_some() => tell_again(connection, table)?,
            _ => {}
        }
    }
    for table in before.keys().filter(|table| !now.contains_key(table.as_str())) {
        tracing::warn!(table, "the configuration declares the table no more: it does not travel, and its rows stay");
    }
    let text = serde_json::to_string(&now).map_err(|error| StoreError::Failed(error.to_string()))?;
    if text == noted || (now.is_empty() && noted.is_empty()) {
        return Ok(());
    }
    epoch::set(connection, NOTED, &text)
}

fn is_in_index(connection: &mut SqliteConnection, table: &str) -> Result<bool, StoreError> {
    let found: Vec<String> = statement::<Text>("SELECT scope FROM sync_changes WHERE table_name = ?1 LIMIT 1")
        .text(table)
        .load(connection)?;
    Ok(!found.is_empty())
}

/// Gives every row of a table a new version; its fields keep theirs.
fn tell_again(connection: &mut SqliteConnection, table: &str) -> Result<(), StoreError> {
    statement::<()>(
        "INSERT INTO sync_record (scope, table_name, row_id, operation, former) \
         SELECT scope, table_name, row_id, 'UPDATE', '{}' FROM sync_changes WHERE table_name = ?1 AND operation <> 'DELETE'",
    )
    .text(table)
    .execute(connection)?;
    Ok(())
}

/// The statements that a table lacks, or what can't be added.
pub(super) fn lacking(
    connection: &mut SqliteConnection,
    table: &Table,
) -> Result<Result<Vec<String>, Vec<String>>, StoreError> {
    let kind: Vec<String> =
        statement::<Text>("SELECT type FROM sqlite_schema WHERE name = ?1").text(table.name).load(connection)?;
    match kind.first().map(String::as_str) {
        None => return Ok(Ok(ddl::create(table))),
        Some("table") => {}
        Some(kind) => {
            let fault =
                format!("tables.{}: the database has {kind} of that name; give the table another one", table.name);
            return Ok(Err(vec![fault]));
        }
    }
    let found = columns(connection, table.name)?;
    let statement = |step: Step<'_>| match step {
        Step::Column(column) => ddl::add(table, column),
        Step::Index(column) => ddl::index(table, column),
    };
    Ok(missing(table, &found, ddl::type_of).map(|steps| steps.into_iter().map(statement).collect()))
}

/// Name, type, whether NULL is refused, default, place in the primary key.
type Info = (String, String, i32, Option<String>, i32);

fn columns(connection: &mut SqliteConnection, table: &str) -> Result<Vec<FoundColumn>, StoreError> {
    let infos: Vec<Info> = statement::<(Text, Text, Integer, Nullable<Text>, Integer)>(
        "SELECT name, type, \"notnull\", dflt_value, pk FROM pragma_table_info(?1)",
    )
    .text(table)
    .load(connection)?;
    let keys: Vec<(String, String, String)> =
        statement::<(Text, Text, Text)>("SELECT \"from\", \"table\", on_delete FROM pragma_foreign_key_list(?1)")
            .text(table)
            .load(connection)?;
    let indexed: Vec<String> = statement::<Text>(
        "SELECT c.name FROM pragma_index_list(?1) i JOIN pragma_index_info(i.name) c WHERE c.seqno = 0 AND c.name IS NOT NULL \
         AND NOT i.partial",
    )
    .text(table)
    .load(connection)?;
    let has_one_key = infos.iter().filter(|info| info.4 > 0).count() == 1;
    let column = |(name, sql_type, refuses, default, key): Info| {
        let refers = keys.iter().find(|(from, ..)| *from == name);
        FoundColumn {
            sql_type,
            nullable: refuses == 0,
            fills_itself: default.is_some(),
            is_key: key > 0 && has_one_key,
            references: refers.map(|(_, parent, rule)| (parent.clone(), rule.clone())),
            is_indexed: indexed.contains(&name),
            name,
        }
    };
    Ok(infos.into_iter().map(column).collect())
}
