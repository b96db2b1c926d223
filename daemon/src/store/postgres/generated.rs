//! Tables that no migration makes: they are made at a start, and what is missing of them is added.

use std::collections::BTreeSet;

use diesel_async::AsyncPgConnection;
use ryzed_adapters::{Kind, Registry, Table};
use serde::Deserialize;

use super::ddl;
use super::layout::{literal, type_of};
use super::sql_text::{execute, texts};
use crate::store::StoreError;
use crate::store::generated::{FoundColumn, Step, missing, refused, unmade};

/// Makes what is missing. The caller has the lock under which the schema changes.
///
/// # Errors
/// When a table is another one in the database, and what to do.
pub(super) async fn make(connection: &mut AsyncPgConnection, registry: &Registry) -> Result<(), StoreError> {
    let (mut statements, mut faults) = (Vec::new(), Vec::new());
    for table in registry.iter().filter(|table| table.is_generated) {
        match lacking(connection, table).await? {
            Ok(lacking) => statements.extend(lacking),
            Err(found) => faults.extend(found),
        }
    }
    if !faults.is_empty() {
        return Err(refused(&faults));
    }
    if statements.is_empty() {
        return Ok(());
    }
    for statement in &statements {
        tracing::info!(sql = statement.split(" (").next().unwrap_or_default(), "a declared table is made or added to");
    }
    execute(connection, &format!("BEGIN; {}; COMMIT", statements.join("; "))).await
}

/// Refuses a database in which something is missing.
pub(super) async fn must_be_made(connection: &mut AsyncPgConnection, registry: &Registry) -> Result<(), StoreError> {
    let mut lacks = Vec::new();
    for table in registry.iter().filter(|table| table.is_generated) {
        if !lacking(connection, table).await?.map_err(|faults| refused(&faults))?.is_empty() {
            lacks.push(table.name);
        }
    }
    if lacks.is_empty() { Ok(()) } else { Err(unmade(&lacks)) }
}

/// The tables that have got a column which does not travel yet: their rows are told again.
pub(super) async fn widened(
    connection: &mut AsyncPgConnection,
    registry: &Registry,
) -> Result<BTreeSet<&'static str>, StoreError> {
    let mut widened = BTreeSet::new();
    for table in registry.iter().filter(|table| table.is_generated) {
        let columns: Vec<String> = table.columns.iter().map(|column| literal(&column.name)).collect();
        let more = format!(
            "SELECT 'yes' FROM ryzed.kept k WHERE k.table_name = {} AND NOT k.columns || k.home @> ARRAY[{}]::text[]",
            literal(table.name),
            columns.join(", ")
        );
        if !texts(connection, &more).await?.is_empty() {
            widened.insert(table.name);
        }
    }
    Ok(widened)
}

/// A relation as the catalogue has it.
#[derive(Debug, Deserialize)]
struct Found {
    is_table: bool,
    columns: Vec<Field>,
}

#[derive(Debug, Deserialize)]
struct Field {
    name: String,
    sql_type: String,
    nullable: bool,
    fills_itself: bool,
    is_key: bool,
    references: Option<(String, String)>,
    is_indexed: bool,
}

impl From<Field> for FoundColumn {
    fn from(field: Field) -> Self {
        let Field { name, sql_type, nullable, fills_itself, is_key, references, is_indexed } = field;
        Self { name, sql_type, nullable, fills_itself, is_key, references, is_indexed }
    }
}

/// The query for a relation of the schema `public`.
fn catalogue(table: &str) -> String {
    format!(
        "SELECT json_build_object('is_table', c.relkind = 'r', 'columns', (SELECT coalesce(json_agg(json_build_object( \
         'name', a.attname, 'sql_type', y.typname, 'nullable', NOT a.attnotnull, \
         'fills_itself', a.atthasdef OR a.attidentity <> '', \
         'is_key', EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary AND i.indkey::text = a.attnum::text), \
         'references', (SELECT json_build_array(CASE n.nspname WHEN 'public' THEN p.relname ELSE n.nspname || '.' || p.relname END, \
             CASE f.confdeltype WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL' WHEN 'd' THEN 'SET DEFAULT' WHEN 'r' THEN 'RESTRICT' \
             ELSE 'NO ACTION' END) FROM pg_constraint f JOIN pg_class p ON p.oid = f.confrelid JOIN pg_namespace n ON n.oid = p.relnamespace \
             WHERE f.conrelid = c.oid AND f.contype = 'f' AND f.conkey = ARRAY[a.attnum] LIMIT 1), \
         'is_indexed', EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisvalid AND i.indpred IS NULL \
             AND i.indkey[0] = a.attnum)) ORDER BY a.attnum), '[]') \
         FROM pg_attribute a JOIN pg_type y ON y.oid = a.atttypid WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped))::text \
         FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relname = {}",
        literal(table)
    )
}

/// The statements that a table lacks, or what can't be added.
pub(super) async fn lacking(
    connection: &mut AsyncPgConnection,
    table: &Table,
) -> Result<Result<Vec<String>, Vec<String>>, StoreError> {
    let found = texts(connection, &catalogue(table.name)).await?;
    let Some(found) = found.first() else { return Ok(Ok(ddl::create(table))) };
    let found: Found = serde_json::from_str(found)
        .map_err(|error| StoreError::Failed(format!("the catalogue is not understood: {error}")))?;
    if !found.is_table {
        let fault =
            format!("tables.{}: what has that name in the database is no table; give it another name", table.name);
        return Ok(Err(vec![fault]));
    }
    let columns: Vec<FoundColumn> = found.columns.into_iter().map(FoundColumn::from).collect();
    let statement = |step: Step<'_>| match step {
        Step::Column(column) => ddl::add(table, column),
        Step::Index(column) => ddl::index(table, column),
    };
    let base = |kind: Kind| type_of(kind).1;
    Ok(missing(table, &columns, base).map(|steps| steps.into_iter().map(statement).collect()))
}
