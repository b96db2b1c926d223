//! Installs sync on an application's tables: grants and policies for the daemon's role, table by table, then all
//! triggers at one moment. Installed one after the other, they would let a row be deleted or given away unseen in
//! between.

use std::collections::{BTreeMap, BTreeSet};

use ryzed_adapters::Table;

use super::super::layout::{Layout, Place, literal, quoted};
use super::super::sql_text::texts;
use super::super::triggers::{Placed, ROW};
use super::ident::ident;
use super::state::IS_AUTHENTICATED;
use super::{AdoptError, Worker};
use crate::store::StoreError;

/// The way in which a table's existing rows are entered into the index.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in super::super) struct Backfill {
    /// True if devices get all rows again, because they have other columns than before.
    pub anew: bool,
    /// The transaction since which they may be others than the index believes, where notes do not tell.
    pub since: Option<&'static str>,
}

/// The tables on which sync is installed in one go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Round<'a> {
    pub tables: &'a [(&'a Table, &'a Place)],
    /// The tables whose rows are entered, or compared with the index.
    pub enter: &'a BTreeMap<&'static str, Backfill>,
    /// True if these are all synced tables, so that entries of others are left from before.
    pub is_all: bool,
}

impl Worker<'_> {
    /// Puts up grants and policies.
    pub(super) async fn install_policies(&mut self, placed: Placed<'_>, round: Round<'_>) -> Result<(), AdoptError> {
        self.grant(placed).await?;
        for (table, place) in round.tables {
            self.watch.step(&format!("policies of {}", place.shown()));
            let statements = placed.policies(table, place).join("; ");
            self.patiently(&format!("policies of {}", place.shown()), &statements).await?;
        }
        Ok(())
    }

    /// Puts up triggers. Statements in `with` are run together with that.
    pub(super) async fn install_triggers(
        &mut self,
        placed: Placed<'_>,
        round: Round<'_>,
        with: &[String],
    ) -> Result<(), AdoptError> {
        self.watch.step(if round.is_all { "triggers of all tables" } else { "triggers" });
        let sql = self.trigger_statements(placed, round, with).await?;
        self.patiently("triggers", &sql).await?;
        Ok(())
    }

    /// Grants the daemon's role what it needs beside the tables: their schemas, and the sequences behind their
    /// defaults.
    async fn grant(&mut self, placed: Placed<'_>) -> Result<(), AdoptError> {
        let mut schemas: Vec<String> = placed.iter().map(|(_, place)| quoted(&place.schema)).collect();
        schemas.sort();
        schemas.dedup();
        let mut sql = vec![format!("GRANT USAGE ON SCHEMA {} TO ryzed_daemon", schemas.join(", "))];
        let counters = texts(&mut self.connection, &counters(placed)).await?;
        if placed.layout.is_for_authenticated() {
            sql.push(authenticated_joins());
        }
        sql.push(joins_where_closed(placed));
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
                "the schema {schema} is closed to the daemon's role; its owner runs: GRANT USAGE ON SCHEMA {} TO ryzed_daemon; \
                 then run `ryzed adopt` again",
                ident(schema)
            ))),
            None => Ok(()),
        }
    }

    /// All triggers, and what goes with them, for one transaction.
    async fn trigger_statements(
        &mut self,
        placed: Placed<'_>,
        round: Round<'_>,
        with: &[String],
    ) -> Result<String, StoreError> {
        let relations: Vec<String> = round.tables.iter().map(|(_, place)| place.relation()).collect();
        let named: Vec<String> = relations.iter().map(|relation| literal(relation)).collect();
        let standing = format!(
            "SELECT g.tgrelid::regclass || ' ' || g.tgname FROM pg_trigger g JOIN pg_proc p ON p.oid = g.tgfoid \
             JOIN pg_class r ON r.oid = g.tgrelid \
             WHERE (p.pronamespace = 'ryzed'::regnamespace AND r.relnamespace <> 'ryzed'::regnamespace AND {}) OR ((g.tgname LIKE 'ryzed\\_%' OR g.tgname = '{ROW}') AND NOT g.tgisinternal \
             AND g.tgrelid IN (SELECT to_regclass(r) FROM unnest(ARRAY[{named}]::text[]) r))",
            if round.is_all { "TRUE" } else { "FALSE" },
            named = named.join(", ")
        );
        let standing = texts(&mut self.connection, &standing).await?;
        let mut sql = vec![format!("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE", relations.join(", "))];
        sql.extend(
            standing
                .iter()
                .filter_map(|trigger| trigger.rsplit_once(' '))
                .map(|(relation, name)| format!("DROP TRIGGER {name} ON {relation}")),
        );
        if round.is_all {
            sql.push(placed.forget_others());
        }
        for (table, place) in round.tables {
            // What stands is dropped above: asking for what may not stand locks out the application's readers.
            sql.push(placed.known(table, place));
            let made = placed.triggers(table, place);
            sql.extend(made.into_iter().filter(|statement| !statement.starts_with("DROP")));
        }
        sql.extend(placed.stamp(round.tables));
        sql.extend(entering(round));
        sql.extend(with.iter().cloned());
        Ok(sql.join("; "))
    }

    /// Tables that are no longer synced lose what is ours. Whether there are any.
    pub(super) async fn take_down_gone(&mut self, before: &Layout, now: &Layout) -> Result<bool, StoreError> {
        let is_kept = |place: &&Place| now.tables.iter().any(|other| other.shown() == place.shown());
        for place in before.tables.iter().filter(|place| !is_kept(place)) {
            self.take_down(place).await?;
        }
        let gone: Vec<&Place> = before.tables.iter().filter(|place| now.of(&place.table).is_none()).collect();
        for place in &gone {
            let table = literal(&place.table);
            let forget = format!(
                "DELETE FROM ryzed.changes WHERE table_name = {table}; DELETE FROM ryzed.stopped WHERE table_name = {table}; \
                 DELETE FROM ryzed.passed WHERE table_name = {table}"
            );
            self.patiently("forgetting a table", &forget).await?;
        }
        Ok(!gone.is_empty())
    }
}

/// Makes the daemon's role a member of `authenticated` where only that role can use a schema: the schema of a hosted
/// service is not its customers' to grant.
fn joins_where_closed(placed: Placed<'_>) -> String {
    let names: BTreeSet<&str> = placed.iter().map(|(_, place)| place.schema.as_str()).chain(["auth"]).collect();
    let names: Vec<String> = names.into_iter().map(literal).collect();
    format!(
        "DO $$ BEGIN IF to_regrole('authenticated') IS NOT NULL AND NOT {IS_AUTHENTICATED} AND EXISTS (SELECT FROM pg_namespace n \
         WHERE n.nspname IN ({}) AND NOT has_schema_privilege('ryzed_daemon', n.oid, 'USAGE') \
         AND has_schema_privilege(to_regrole('authenticated'), n.oid, 'USAGE')) \
         THEN GRANT authenticated TO ryzed_daemon; END IF; EXCEPTION WHEN unique_violation THEN NULL; END $$",
        names.join(", ")
    )
}

/// Makes the daemon's role a member of `authenticated`.
pub(in super::super) fn authenticated_joins() -> String {
    format!(
        "DO $$ BEGIN IF NOT {IS_AUTHENTICATED} THEN GRANT authenticated TO ryzed_daemon; END IF; \
         EXCEPTION WHEN unique_violation THEN NULL; END $$"
    )
}

/// The statements that note the rows to be entered.
fn entering(round: Round<'_>) -> Vec<String> {
    let mut sql = Vec::new();
    if round.is_all {
        let names: Vec<String> = round.tables.iter().map(|(table, _)| literal(table.name)).collect();
        let names = names.join(", ");
        sql.push(format!("DELETE FROM ryzed.entering WHERE table_name NOT IN ({names})"));
        sql.push(format!(
            "INSERT INTO ryzed.entering (table_name) SELECT unnest(ARRAY[{names}]) ON CONFLICT DO NOTHING"
        ));
    }
    for (table, Backfill { anew, since }) in round.enter {
        let since = since.map_or_else(|| format!("ryzed.unseen_since('{table}')"), literal);
        sql.push(format!(
            "INSERT INTO ryzed.entering (table_name, anew, since_xid) VALUES ('{table}', {anew}, {since}) ON CONFLICT (table_name) \
             DO UPDATE SET upto = NULL, rows = 0, done = FALSE, anew = excluded.anew, since_xid = excluded.since_xid"
        ));
        sql.push(format!("DELETE FROM ryzed.stopped WHERE table_name = '{table}'"));
    }
    sql
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
