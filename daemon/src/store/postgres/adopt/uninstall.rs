//! Leaving an adopted database: everything that was made goes, nothing else, and the application may go on meanwhile.

use super::super::layout::{Place, literal};
use super::super::sql_text::texts;
use super::super::triggers::{BELOW, POLICIES, TRIGGERS};
use super::install::counters_of;
use super::state::{AUTH, AdoptionState, BELONGS, IS_AUTHENTICATED, MEMBER, ROLE, UID};
use super::{AdoptError, OWN, Watch, Worker, alone, open};
use crate::store::StoreError;

/// The result of leaving.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undone {
    /// The database was not adopted.
    Nothing,
    /// Everything is gone but these.
    Gone {
        /// The things that adopting has made and that others need now.
        kept: Vec<String>,
    },
}

/// Removes what adopting has made. Safe to be interrupted and run again.
///
/// # Errors
/// When the database is the daemon's own, a daemon works on it, or it fails.
pub async fn undo(url: &str, watch: &mut dyn Watch) -> Result<Undone, AdoptError> {
    let mut connection = open(url).await?;
    match AdoptionState::of(&mut connection).await? {
        AdoptionState::Untouched => return Ok(Undone::Nothing),
        AdoptionState::Own => return Err(AdoptError::Refused(OWN.into())),
        AdoptionState::Begun(_) | AdoptionState::Complete(_) => {}
    }
    alone(&mut connection).await?;
    let mut worker = Worker { connection, watch };
    worker.watch.step("everything that was made");
    Ok(Undone::Gone { kept: worker.remove().await? })
}

impl Worker<'_> {
    /// Triggers, policies and grants of one table, in one transaction.
    pub(super) async fn take_down(&mut self, place: &Place) -> Result<(), StoreError> {
        let relation = place.relation();
        let is_there = format!("SELECT 'yes' WHERE to_regclass({}) IS NOT NULL", literal(&relation));
        if texts(&mut self.connection, &is_there).await?.is_empty() {
            return Ok(());
        }
        let oid = format!("{}::regclass", literal(&relation));
        let counters = format!("(SELECT c::regclass::oid FROM ({}) AS s (c))", counters_of(&[literal(&relation)]));
        let mut sql: Vec<String> = TRIGGERS
            .iter()
            .chain(&[BELOW])
            .map(|trigger| format!("DROP TRIGGER IF EXISTS {trigger} ON {relation}"))
            .collect();
        sql.push(drop_policies(&format!("p.polrelid = {oid}")));
        sql.push(revoke(&format!("d.classid = 'pg_class'::regclass AND (d.objid = {oid} OR d.objid IN {counters})")));
        self.patiently(&format!("triggers and policies of {}", place.shown()), &sql.join("; ")).await
    }

    /// Everything, in one transaction: what is known of the adoption goes with the last of it. What could not go, because
    /// somebody needs it.
    pub(super) async fn remove(&mut self) -> Result<Vec<String>, StoreError> {
        let made = texts(&mut self.connection, "SELECT unnest(made) FROM ryzed.adopted").await?;
        let was_made = |what: &str| made.iter().any(|word| word == what);
        let mut sql = vec![drop_policies("TRUE"), revoke("TRUE"), "DROP SCHEMA ryzed CASCADE".into()];
        if was_made(UID) {
            sql.push(drop_unless_needed("DROP FUNCTION IF EXISTS auth.uid()"));
        }
        if was_made(AUTH) {
            sql.push(drop_unless_needed("DROP SCHEMA IF EXISTS auth"));
        }
        // Another database of this server may live by the role.
        let leaving = match was_made(ROLE) {
            true => vec!["DROP ROLE ryzed_daemon".to_owned()],
            false => [
                (MEMBER, "REVOKE ryzed_daemon FROM CURRENT_USER".to_owned()),
                (BELONGS, format!("IF {IS_AUTHENTICATED} THEN REVOKE authenticated FROM ryzed_daemon; END IF")),
            ]
            .into_iter()
            .filter_map(|(what, statement)| was_made(what).then_some(statement))
            .collect(),
        };
        sql.extend(
            leaving.iter().map(|statement| drop_unless_needed(&format!("IF {IS_FREE} THEN {statement}; END IF"))),
        );
        let left: Vec<String> = [
            (UID, "to_regprocedure('auth.uid()')", "the function auth.uid(): the application has come to need it"),
            (AUTH, "to_regnamespace('auth')", "the schema auth: the application has come to need it"),
            (ROLE, "to_regrole('ryzed_daemon')", "the role ryzed_daemon: another database of this server needs it"),
        ]
        .into_iter()
        .filter(|(what, ..)| was_made(what))
        .map(|(_, object, told)| format!("SELECT {} WHERE {object} IS NOT NULL", literal(told)))
        .collect();
        let left = if left.is_empty() { "SELECT '' WHERE FALSE".into() } else { left.join(" UNION ALL ") };
        self.patiently_reading("leaving", &sql.join("; "), &left).await
    }
}

/// The condition that no other database of the server uses the daemon's role.
const IS_FREE: &str = "to_regrole('ryzed_daemon') IS NOT NULL AND NOT EXISTS (SELECT FROM pg_shdepend d \
    WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = to_regrole('ryzed_daemon') \
    AND d.dbid NOT IN (SELECT oid FROM pg_database WHERE datname = current_database()))";

/// Drops our policies, whatever their tables are called by now.
fn drop_policies(of: &str) -> String {
    let names: Vec<String> = POLICIES.iter().map(|name| literal(name)).collect();
    format!(
        "DO $$ DECLARE it record; BEGIN FOR it IN SELECT p.polname AS name, p.polrelid::regclass AS relation FROM pg_policy p \
         WHERE p.polname IN ({}) AND to_regrole('ryzed_daemon') = ANY (p.polroles) AND {of} \
         LOOP EXECUTE format('DROP POLICY %I ON %s', it.name, it.relation); END LOOP; END $$",
        names.join(", ")
    )
}

/// Takes from the daemon's role what it may do in this database, but for what it was allowed before.
fn revoke(of: &str) -> String {
    format!(
        "DO $$ DECLARE it record; BEGIN FOR it IN SELECT CASE d.classid \
         WHEN 'pg_class'::regclass THEN (SELECT CASE c.relkind WHEN 'S' THEN 'SEQUENCE ' ELSE 'TABLE ' END || c.oid::regclass \
             FROM pg_class c WHERE c.oid = d.objid AND c.relnamespace <> 'ryzed'::regnamespace) \
         WHEN 'pg_namespace'::regclass THEN 'SCHEMA ' || d.objid::regnamespace \
         WHEN 'pg_proc'::regclass THEN (SELECT 'FUNCTION ' || f.oid::regprocedure FROM pg_proc f \
             WHERE f.oid = d.objid AND f.pronamespace <> 'ryzed'::regnamespace) END AS what \
         FROM pg_shdepend d WHERE d.refclassid = 'pg_authid'::regclass AND d.refobjid = to_regrole('ryzed_daemon') \
         AND d.deptype = 'a' AND d.dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) \
         AND d.classid::regclass || ' ' || d.objid <> ALL (ARRAY(SELECT unnest(granted) FROM ryzed.adopted)) AND {of} \
         LOOP IF it.what IS NOT NULL THEN BEGIN EXECUTE format('REVOKE ALL ON %s FROM ryzed_daemon', it.what); \
         EXCEPTION WHEN insufficient_privilege THEN NULL; END; END IF; END LOOP; END $$"
    )
}

/// Drops something; not what somebody else has come to need.
fn drop_unless_needed(statement: &str) -> String {
    format!(
        "DO $$ BEGIN {statement}; EXCEPTION WHEN dependent_objects_still_exist OR insufficient_privilege THEN NULL; END $$"
    )
}
