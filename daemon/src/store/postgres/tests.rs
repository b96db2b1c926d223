//! Holds every adapter to the migrated schema, column by column.

use std::collections::BTreeSet;
use std::sync::Arc;

use ryzed_adapters::{Column, Kind, Registry};

use super::adopt::{Naming, Verdict, examine, facts};
use super::*;

fn settings(url: String) -> PostgresSettings {
    PostgresSettings { url, connections: 1, stay: Stay::Keeper }
}

/// The default as PostgreSQL writes it.
fn sql_default(column: &Column) -> Option<String> {
    let default = column.default.as_ref()?;
    Some(match (column.kind, default) {
        (Kind::Text, value) => format!("'{}'::text", value.as_str().unwrap_or_default()),
        (Kind::TextList, _) => "'{}'::text[]".into(),
        (_, value) => value.as_f64().map_or_else(|| value.to_string(), |number| number.to_string()),
    })
}

#[tokio::test]
async fn every_adapter_is_the_migrated_table_column_by_column() {
    let url = ryzed_tests::postgres::new_database();
    let adapters = Arc::new(Registry::standard());
    let store =
        PostgresStore::open(&settings(url.clone()), &adapters, None, Arc::new(|| {})).await.expect("a database");
    store.close().await;
    let mut connection = migrate::open(&url).await.expect("a connection");
    let names = adapters.iter().map(|table| table.name);
    let facts = facts(&mut connection, names, &Naming::new()).await.expect("facts");
    let examined = examine(&adapters, &facts, &Naming::new());
    for (table, report) in adapters.iter().zip(&examined.tables) {
        let place = report.relation.clone();
        let known: Vec<String> = table.columns.iter().map(|column| column.name.clone()).collect();
        assert_eq!((report.verdict, &report.fits), (Verdict::Fits, &known), "{place}");
        assert!(report.mapped.is_empty() && report.extra.is_empty() && report.missing.is_empty(), "{report:?}");
        assert_eq!(report.notes, Vec::<String>::new(), "{place}");
        let found = facts.relations.iter().find(|relation| relation.name == table.name).expect("a table");
        for column in &table.columns {
            let place = format!("{place}.{}", column.name);
            let there = found.columns.iter().find(|there| there.name == column.name).expect("a column");
            assert_eq!(there.base, layout::type_of(column.kind).1, "the type of {place}");
            assert_eq!(there.nullable, column.nullable, "whether {place} may be null");
            if let Some(wanted) = sql_default(column) {
                assert_eq!(there.default.as_ref(), Some(&wanted), "the default of {place}");
            }
        }
        let wanted: BTreeSet<_> = table.references().map(|(column, parent)| (column.into(), parent.into())).collect();
        let there: BTreeSet<(String, String)> =
            found.keys.iter().map(|key| (key.column.clone(), key.name.clone())).collect();
        assert_eq!(there, wanted, "the references of {place}");
    }
    let followed = "SELECT format('%s.%s %s', c.relname, a.attname, f.confdeltype) FROM pg_constraint f \
        JOIN pg_class c ON c.oid = f.conrelid JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = f.conkey[1] \
        WHERE f.contype = 'f' AND f.connamespace = 'public'::regnamespace AND EXISTS (SELECT FROM pg_index x \
        WHERE x.indrelid = f.conrelid AND x.indkey[0] = f.conkey[1])";
    let followed: BTreeSet<String> = texts(&mut connection, followed).await.expect("an answer").into_iter().collect();
    let on_delete = |table: &Table, column: &str| if table.is_part_by(column) { 'c' } else { 'n' };
    let wanted = adapters.iter().flat_map(|table| {
        table.references().map(move |(column, _)| format!("{}.{column} {}", table.name, on_delete(table, column)))
    });
    assert_eq!(followed, wanted.collect(), "what happens to a row when its parent goes; each has an index");
    let strange = "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace";
    for table in texts(&mut connection, strange).await.expect("an answer") {
        assert!(adapters.get(&table).is_some(), "{table} has no adapter");
    }
}

#[tokio::test]
async fn what_is_generated_for_a_table_is_what_the_migrations_make() {
    let (migrated, made) = (ryzed_tests::postgres::new_database(), ryzed_tests::postgres::new_database());
    let adapters = Arc::new(Registry::standard());
    let store =
        PostgresStore::open(&settings(migrated.clone()), &adapters, None, Arc::new(|| {})).await.expect("a database");
    store.close().await;
    let mut migrated = migrate::open(&migrated).await.expect("a connection");
    let mut made = migrate::open(&made).await.expect("a connection");
    for table in adapters.iter() {
        for statement in ddl::create(table) {
            sql_text::execute(&mut made, &statement).await.expect("the table");
        }
        for connection in [&mut migrated, &mut made] {
            let lacking = generated::lacking(connection, table).await.expect("a look");
            assert_eq!(lacking, Ok(Vec::new()), "{}", table.name);
        }
    }
    let defaults = "SELECT string_agg(format('%s.%s %s', d.adrelid::regclass, a.attname, pg_get_expr(d.adbin, d.adrelid)), ', ' \
        ORDER BY d.adrelid::regclass::text, a.attname) FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid \
        AND a.attnum = d.adnum JOIN pg_class c ON c.oid = d.adrelid WHERE c.relnamespace = 'public'::regnamespace";
    let (wanted, found) = (texts(&mut migrated, defaults).await.expect("defaults"), texts(&mut made, defaults).await);
    assert_eq!(found.expect("defaults"), wanted);
}
