//! Holds every adapter to the migrated schema, column by column, and the database's life to its rules.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use diesel::connection::SimpleConnection;
use diesel::sql_types::{Integer, Nullable, Text};
use diesel::{RunQueryDsl, SqliteConnection};
use ryzed_adapters::{Column, Kind, Registry, Table};

use super::*;
use crate::store::statement::statement;

fn settings(folder: &Path) -> SqliteSettings {
    SqliteSettings { path: folder.join("ryzed.db"), durable: false, readers: 1, stay: Stay::Resident }
}

fn open(folder: &Path) -> SqliteStore {
    SqliteStore::open(&settings(folder), Arc::new(Registry::standard()), Arc::new(|| {})).expect("a database")
}

fn migrated() -> (tempfile::TempDir, SqliteConnection) {
    let folder = tempfile::tempdir().expect("a folder");
    // One that is no daemon: its writer does not put up again what a test takes down.
    let keeper = SqliteSettings { stay: Stay::Keeper, ..settings(folder.path()) };
    drop(SqliteStore::open(&keeper, Arc::new(Registry::standard()), Arc::new(|| {})).expect("a database"));
    let connection = connect(&folder.path().join("ryzed.db"), false).expect("a connection");
    (folder, connection)
}

/// Type, whether NULL is refused, default.
type Found = (String, bool, Option<String>);

fn columns(connection: &mut SqliteConnection, table: &str) -> BTreeMap<String, Found> {
    let sql = "SELECT name, type, \"notnull\", dflt_value FROM pragma_table_info(?1)";
    let rows: Vec<(String, String, i32, Option<String>)> =
        statement::<(Text, Text, Integer, Nullable<Text>)>(sql).text(table).load(connection).expect("columns");
    rows.into_iter().map(|(name, kind, refuses, default)| (name, (kind, refuses == 1, default))).collect()
}

fn references(connection: &mut SqliteConnection, table: &str) -> BTreeSet<(String, String, String)> {
    let sql = "SELECT \"from\", \"table\", on_delete FROM pragma_foreign_key_list(?1)";
    let rows: Vec<(String, String, String)> =
        statement::<(Text, Text, Text)>(sql).text(table).load(connection).expect("references");
    rows.into_iter().collect()
}

fn sql_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Number => "REAL",
        Kind::Integer | Kind::Bool => "INTEGER",
        Kind::Uuid | Kind::Time | Kind::Text | Kind::TextList | Kind::Json => "TEXT",
    }
}

/// The default as SQLite writes it.
fn sql_default(column: &Column) -> Option<String> {
    let default = column.default.as_ref()?;
    Some(match (column.kind, default) {
        (Kind::Bool, value) => if value == &serde_json::json!(true) { "TRUE" } else { "FALSE" }.into(),
        (Kind::Integer, value) => value.to_string(),
        (Kind::Number, value) => value.as_f64().map(|number| number.to_string()).unwrap_or_default(),
        (Kind::Text, value) => format!("'{}'", value.as_str().unwrap_or_default()),
        (_, value) => format!("'{value}'"),
    })
}

fn check(table: &Table, connection: &mut SqliteConnection) {
    let found = columns(connection, table.name);
    let known: BTreeSet<_> = table.columns.iter().map(|column| column.name.clone()).collect();
    assert_eq!(found.keys().cloned().collect::<BTreeSet<_>>(), known, "the columns of {}", table.name);
    for column in &table.columns {
        let place = format!("{}.{}", table.name, column.name);
        let (kind, refuses_null, default) = &found[&column.name];
        assert_eq!(kind, sql_type(column.kind), "the type of {place}");
        assert_eq!(*refuses_null, !column.nullable, "whether {place} may be null");
        if let Some(wanted) = sql_default(column) {
            assert_eq!(default.as_ref(), Some(&wanted), "the default of {place}");
        }
    }
    let wanted: BTreeSet<_> = table
        .references()
        .map(|(column, parent)| {
            let on_delete = if table.is_part_by(column) { "CASCADE" } else { "SET NULL" };
            (column.to_owned(), parent.to_owned(), on_delete.to_owned())
        })
        .collect();
    assert_eq!(references(connection, table.name), wanted, "the references of {}", table.name);
    for (column, _) in table.references() {
        let sql = "SELECT i.name FROM pragma_index_list(?1) i JOIN pragma_index_info(i.name) c WHERE c.seqno = 0 AND c.name = ?2";
        let indexes: Vec<String> =
            statement::<Text>(sql).text(table.name).text(column).load(connection).expect("indexes");
        assert!(!indexes.is_empty(), "{}.{column} is followed when its parent goes and has no index", table.name);
    }
}

#[test]
fn every_adapter_is_the_migrated_table_column_by_column() {
    let (_folder, mut connection) = migrated();
    for table in Registry::standard().iter() {
        check(table, &mut connection);
    }
}

#[test]
fn what_is_generated_for_a_table_is_what_the_migrations_make() {
    let (_folder, mut migrated) = migrated();
    let mut generated = SqliteConnection::establish(":memory:").expect("a connection");
    for table in Registry::standard().iter() {
        for statement in ddl::create(table) {
            generated.batch_execute(&statement).expect("the table");
        }
        check(table, &mut generated);
        for connection in [&mut migrated, &mut generated] {
            assert_eq!(generated::lacking(connection, table).expect("a look"), Ok(Vec::new()), "{}", table.name);
        }
    }
}

#[test]
fn every_migrated_table_has_its_adapter() {
    let (_folder, mut connection) = migrated();
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sync\\_%' ESCAPE '\\' \
               AND name NOT LIKE '\\_\\_%' ESCAPE '\\' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'";
    let tables: Vec<String> = statement::<Text>(sql).load(&mut connection).expect("tables");
    let registry = Registry::standard();
    for table in tables {
        assert!(registry.get(&table).is_some(), "{table} has no adapter");
    }
}

#[tokio::test]
async fn a_database_goes_on_with_its_life_over_restarts_and_crashes() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = open(folder.path());
    let epoch = first.epoch().to_owned();
    first.close().await;
    let second = open(folder.path());
    assert_eq!(second.epoch(), epoch);
    // Dropped without being closed, as when the process is killed.
    drop(second);
    assert_eq!(open(folder.path()).epoch(), epoch);
}

#[tokio::test]
async fn a_restored_backup_begins_a_new_life() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = open(folder.path());
    let epoch = first.epoch().to_owned();
    first.close().await;
    let database = folder.path().join("ryzed.db");
    let backup = folder.path().join("backup.db");
    std::fs::copy(&database, &backup).expect("a backup");
    let second = open(folder.path());
    assert_eq!(second.epoch(), epoch);
    second.close().await;
    std::fs::copy(&backup, &database).expect("a restored backup");
    assert_ne!(open(folder.path()).epoch(), epoch);
}

#[tokio::test]
async fn a_database_without_its_note_begins_a_new_life() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = open(folder.path());
    let epoch = first.epoch().to_owned();
    first.close().await;
    let elsewhere = tempfile::tempdir().expect("a folder");
    std::fs::copy(folder.path().join("ryzed.db"), elsewhere.path().join("ryzed.db")).expect("a copy");
    assert_ne!(open(elsewhere.path()).epoch(), epoch);
}

#[test]
fn rows_that_were_written_without_triggers_are_entered_when_they_are_put_up() {
    let (folder, mut connection) = migrated();
    connection
        .batch_execute(
            "DROP TRIGGER sync_users_insert; INSERT INTO users (id) VALUES ('11111111-1111-4111-8111-111111111111')",
        )
        .expect("a row without its trigger");
    drop(open(folder.path()));
    let entered: Vec<String> = statement::<Text>("SELECT scope FROM sync_changes WHERE table_name = 'users'")
        .load(&mut connection)
        .expect("entries");
    assert_eq!(entered, ["user:11111111-1111-4111-8111-111111111111"]);
}
