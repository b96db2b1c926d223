//! What is put up round an application's tables: grants and policies for the daemon's role, table by table, then all
//! triggers at one moment. Were they put up one after the other, a row could be deleted or given away unseen in between.

use std::collections::BTreeSet;

use diesel_async::AsyncPgConnection;

use super::super::layout::{Layout, Place, literal, quoted};
use super::super::migrate::texts;
use super::super::triggers::Placed;
use super::standing::to_json;
use super::{AdoptError, Worker};
use crate::store::StoreError;

/// Tables that lack one of our triggers, or where one is switched off.
pub(super) async fn missing_triggers(
    connection: &mut AsyncPgConnection,
    placed: Placed<'_>,
) -> Result<Vec<String>, StoreError> {
    let wanted: Vec<String> = placed
        .iter()
        .flat_map(|(table, place)| placed.names(table).map(|name| (literal(&place.relation()), literal(name))))
        .map(|(relation, name)| format!("({relation}, {name})"))
        .collect();
    let sql = format!(
        "SELECT DISTINCT w.relation FROM (VALUES {}) w (relation, trigger) WHERE NOT EXISTS (SELECT FROM pg_trigger g \
         WHERE g.tgrelid = to_regclass(w.relation) AND g.tgname = w.trigger AND g.tgenabled IN ('O', 'A'))",
        wanted.join(", ")
    );
    texts(connection, &sql).await
}

/// Whether what was put up is what this release puts up.
pub(super) async fn stands(connection: &mut AsyncPgConnection, placed: Placed<'_>) -> Result<bool, StoreError> {
    let standing = texts(connection, "SELECT value FROM ryzed.meta WHERE key = 'put_up'").await?;
    Ok(standing == texts(connection, &digest(placed)).await?)
}

fn digest(placed: Placed<'_>) -> String {
    let mut everything = placed.known();
    for (table, place) in placed.iter() {
        everything.extend(placed.policies(table, place));
        everything.extend(placed.triggers(table, place));
    }
    format!("SELECT md5({})", literal(&everything.join(";\n")))
}

impl Worker<'_> {
    /// Puts up what is missing. Whether rows may have come and gone unseen since the database was adopted.
    pub(super) async fn put_up(
        &mut self,
        placed: Placed<'_>,
        before: Option<&(Layout, bool)>,
    ) -> Result<bool, AdoptError> {
        let missing = missing_triggers(&mut self.connection, placed).await?;
        let was_complete = before.is_some_and(|(_, is_complete)| *is_complete);
        let is_same = before.is_some_and(|(layout, _)| placed.layout.changes_since(layout).is_empty());
        if is_same && missing.is_empty() && stands(&mut self.connection, placed).await? {
            return Ok(false);
        }
        if let Some((layout, _)) = before {
            self.take_down_gone(layout, placed.layout).await?;
        }
        self.grant(placed).await?;
        for (table, place) in placed.iter() {
            self.watch.step(&format!("policies of {}", place.shown()));
            let statements = placed.policies(table, place).join("; ");
            self.patiently(&format!("policies of {}", place.shown()), &statements).await?;
        }
        self.watch.step("triggers of all tables");
        let sql = self.trigger_statements(placed, &missing, before.is_some()).await?;
        self.patiently("triggers", &sql).await?;
        Ok(was_complete && !missing.is_empty())
    }

    /// What the daemon's role needs beside the tables: their schemas, and the counters behind their defaults.
    async fn grant(&mut self, placed: Placed<'_>) -> Result<(), AdoptError> {
        let mut schemas: Vec<String> = placed.iter().map(|(_, place)| quoted(&place.schema)).collect();
        schemas.sort();
        schemas.dedup();
        let mut sql = vec![format!("GRANT USAGE ON SCHEMA {} TO ryzed_daemon", schemas.join(", "))];
        let counters = texts(&mut self.connection, &counters(placed)).await?;
        sql.extend(counters.iter().map(|counter| format!("GRANT USAGE ON SEQUENCE {counter} TO ryzed_daemon")));
        self.patiently("grants", &sql.join("; ")).await?;
        let names: BTreeSet<&str> =
            placed.iter().map(|(_, place)| place.schema.as_str()).chain(["auth", "ryzed"]).collect();
        let names: Vec<String> = names.into_iter().map(literal).collect();
        let closed = format!(
            "SELECT s FROM unnest(ARRAY[{}]) s WHERE NOT has_schema_privilege('ryzed_daemon', s, 'USAGE')",
            names.join(", ")
        );
        match texts(&mut self.connection, &closed).await?.first() {
            Some(schema) => Err(AdoptError::Refused(format!(
                "the schema {schema} is closed to the daemon's role; its owner runs: GRANT USAGE ON SCHEMA {schema} TO ryzed_daemon. \
                 Then run `ryzed adopt` again"
            ))),
            None => Ok(()),
        }
    }

    /// All triggers, and what goes with them, for one transaction.
    async fn trigger_statements(
        &mut self,
        placed: Placed<'_>,
        missing: &[String],
        is_again: bool,
    ) -> Result<String, StoreError> {
        let relations: Vec<String> = placed.iter().map(|(_, place)| place.relation()).collect();
        let standing = texts(
            &mut self.connection,
            "SELECT g.tgrelid::regclass || ' ' || g.tgname FROM pg_trigger g JOIN pg_proc p ON p.oid = g.tgfoid \
             WHERE p.pronamespace = 'ryzed'::regnamespace",
        )
        .await?;
        let mut sql = vec![format!("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE", relations.join(", "))];
        sql.extend(
            standing
                .iter()
                .filter_map(|trigger| trigger.rsplit_once(' '))
                .map(|(relation, name)| format!("DROP TRIGGER {name} ON {relation}")),
        );
        sql.extend(placed.known());
        for (table, place) in placed.iter() {
            // What stands is dropped above: asking for what may not stand locks out the application's readers.
            let made = placed.triggers(table, place);
            sql.extend(made.into_iter().filter(|statement| statement.starts_with("CREATE")));
        }
        let names: Vec<String> = placed.iter().map(|(table, _)| literal(table.name)).collect();
        let names = names.join(", ");
        sql.push(format!("DELETE FROM ryzed.entering WHERE table_name NOT IN ({names})"));
        // Rows that came while a trigger was missing are not known either.
        let anew = if missing.is_empty() { "NOTHING" } else { "UPDATE SET upto = NULL, rows = 0, done = FALSE" };
        sql.push(format!(
            "INSERT INTO ryzed.entering (table_name) SELECT unnest(ARRAY[{names}]) ON CONFLICT (table_name) DO {anew}"
        ));
        sql.push(format!(
            "INSERT INTO ryzed.meta VALUES ('put_up', ({})) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            digest(placed)
        ));
        sql.push(format!("UPDATE ryzed.adopted SET state = 'begun', layout = {}", literal(&to_json(placed.layout)?)));
        if is_again {
            // Rows have other columns than devices know, or changed unseen: their copies start over.
            sql.push("DELETE FROM ryzed.meta WHERE key = 'life'".into());
        }
        Ok(sql.join("; "))
    }

    /// Tables that are no longer synced lose what is ours.
    async fn take_down_gone(&mut self, before: &Layout, now: &Layout) -> Result<(), StoreError> {
        let is_kept = |place: &&Place| now.tables.iter().any(|other| other.shown() == place.shown());
        for place in before.tables.iter().filter(|place| !is_kept(place)) {
            self.take_down(place).await?;
            let forget = format!("DELETE FROM ryzed.changes WHERE table_name = {}", literal(&place.table));
            self.patiently("forgetting a table", &forget).await?;
        }
        Ok(())
    }
}

/// The sequences that belong to columns of the tables.
pub(super) fn counters(placed: Placed<'_>) -> String {
    let relations: Vec<String> = placed.iter().map(|(_, place)| literal(&place.relation())).collect();
    counters_of(&relations)
}

/// The same for relations that are written as SQL texts.
pub(super) fn counters_of(relations: &[String]) -> String {
    format!(
        "SELECT d.objid::regclass::text FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S' \
         WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype = 'a' \
         AND d.refobjid IN (SELECT to_regclass(r) FROM unnest(ARRAY[{}]::text[]) r)",
        relations.join(", ")
    )
}
