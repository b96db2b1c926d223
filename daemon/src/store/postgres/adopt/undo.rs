//! Leaving an adopted database: everything that was made goes, nothing else, and the application may go on meanwhile.

use diesel_async::AsyncPgConnection;

use super::super::layout::{Layout, Place, literal, quoted};
use super::super::migrate::{execute, texts};
use super::super::triggers::{POLICIES, TRIGGERS};
use super::put_up::counters_of;
use super::standing::{AUTH, MEMBER, ROLE, Standing, UID};
use super::{AdoptError, OWN, Watch, Worker, alone, open};
use crate::store::StoreError;

/// What leaving came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undone {
    /// The database was not adopted.
    Nothing,
    /// Everything is gone but these.
    Gone {
        /// What was made and is needed by others now.
        kept: Vec<String>,
    },
}

/// Removes what adopting has made. Safe to be interrupted and run again.
///
/// # Errors
/// When the database is the daemon's own, a daemon works on it, or it fails.
pub async fn undo(url: &str, watch: &mut dyn Watch) -> Result<Undone, AdoptError> {
    let mut connection = open(url).await?;
    match Standing::of(&mut connection).await? {
        Standing::Untouched => return Ok(Undone::Nothing),
        Standing::Own => return Err(AdoptError::Refused(OWN.into())),
        Standing::Begun(_) | Standing::Complete(_) | Standing::Leaving => {}
    }
    alone(&mut connection).await?;
    execute(&mut connection, "UPDATE ryzed.adopted SET state = 'leaving'").await?;
    let layout = texts(&mut connection, "SELECT layout::text FROM ryzed.adopted").await?;
    let layout: Layout = serde_json::from_str(layout.first().map_or("", String::as_str))
        .map_err(|error| StoreError::Failed(format!("the note about the adoption is not understood: {error}")))?;
    let mut worker = Worker { connection, watch };
    for place in &layout.tables {
        worker.watch.step(&format!("triggers and policies of {}", place.shown()));
        worker.take_down(place).await?;
    }
    worker.watch.step("the schema ryzed");
    Ok(Undone::Gone { kept: worker.remove(&layout).await? })
}

impl Worker<'_> {
    /// Triggers, policies and grants of one table, in one transaction.
    pub(super) async fn take_down(&mut self, place: &Place) -> Result<(), StoreError> {
        let relation = place.relation();
        if !is_there(&mut self.connection, &relation).await? {
            return Ok(());
        }
        let mut sql: Vec<String> =
            TRIGGERS.iter().map(|trigger| format!("DROP TRIGGER IF EXISTS {trigger} ON {relation}")).collect();
        sql.extend(POLICIES.iter().map(|policy| format!("DROP POLICY IF EXISTS {policy} ON {relation}")));
        if has_role(&mut self.connection).await? {
            let counters = texts(&mut self.connection, &counters_of(&[literal(&relation)])).await?;
            let granted = self.granted("pg_class", &format!("{}::regclass", literal(&relation))).await?;
            if !granted {
                sql.push(format!("REVOKE ALL ON {relation} FROM ryzed_daemon"));
            }
            for counter in counters {
                if !self.granted("pg_class", &format!("{}::regclass", literal(&counter))).await? {
                    sql.push(format!("REVOKE ALL ON SEQUENCE {counter} FROM ryzed_daemon"));
                }
            }
        }
        self.patiently(&format!("triggers and policies of {}", place.shown()), &sql.join("; ")).await
    }

    /// Whether the daemon's role had rights on this object before.
    async fn granted(&mut self, class: &str, object: &str) -> Result<bool, StoreError> {
        let sql = format!(
            "SELECT 'yes' FROM ryzed.adopted WHERE '{class}'::regclass || ' ' || ({object})::oid = ANY (granted)"
        );
        Ok(!texts(&mut self.connection, &sql).await?.is_empty())
    }

    /// The schema, and what was made outside of it. What could not go, because somebody needs it.
    async fn remove(&mut self, layout: &Layout) -> Result<Vec<String>, StoreError> {
        let made = texts(&mut self.connection, "SELECT unnest(made) FROM ryzed.adopted").await?;
        let was_made = |what: &str| made.iter().any(|word| word == what);
        let mut sql = Vec::new();
        if has_role(&mut self.connection).await? {
            let mut schemas: Vec<&str> = layout.tables.iter().map(|place| place.schema.as_str()).collect();
            schemas.extend(["public", "auth"]);
            schemas.sort_unstable();
            schemas.dedup();
            for schema in schemas {
                let object = format!("to_regnamespace({})", literal(&quoted(schema)));
                let is_there = texts(&mut self.connection, &format!("SELECT 'yes' WHERE {object} IS NOT NULL")).await?;
                if !is_there.is_empty() && !self.granted("pg_namespace", &object).await? {
                    sql.push(format!("REVOKE ALL ON SCHEMA {} FROM ryzed_daemon", quoted(schema)));
                }
            }
            if has_uid(&mut self.connection).await? && !self.granted("pg_proc", "to_regprocedure('auth.uid()')").await?
            {
                sql.push("REVOKE ALL ON FUNCTION auth.uid() FROM ryzed_daemon".into());
            }
        }
        sql.push("DROP SCHEMA ryzed CASCADE".into());
        self.patiently("the schema ryzed", &sql.join("; ")).await?;
        let mut kept = Vec::new();
        for (what, name, drop) in [
            (UID, "the function auth.uid()", "DROP FUNCTION IF EXISTS auth.uid()"),
            (AUTH, "the schema auth", "DROP SCHEMA IF EXISTS auth"),
        ] {
            if was_made(what) && execute(&mut self.connection, drop).await.is_err() {
                kept.push(format!("{name}: the application has come to need it"));
            }
        }
        kept.extend(self.remove_role(was_made(ROLE), was_made(MEMBER)).await?);
        Ok(kept)
    }

    async fn remove_role(&mut self, is_made: bool, is_member: bool) -> Result<Option<String>, StoreError> {
        if !has_role(&mut self.connection).await? {
            return Ok(None);
        }
        let elsewhere = "SELECT 'yes' FROM pg_shdepend WHERE refclassid = 'pg_authid'::regclass \
                         AND refobjid = to_regrole('ryzed_daemon') LIMIT 1";
        if !texts(&mut self.connection, elsewhere).await?.is_empty() {
            return Ok(is_made.then(|| "the role ryzed_daemon: another database of this server needs it".into()));
        }
        let statement = match (is_made, is_member) {
            (true, _) => "DROP ROLE ryzed_daemon",
            (false, true) => "REVOKE ryzed_daemon FROM CURRENT_USER",
            (false, false) => return Ok(None),
        };
        let done = execute(&mut self.connection, statement).await;
        Ok(done.err().map(|error| format!("the role ryzed_daemon: {error}")))
    }
}

async fn is_there(connection: &mut AsyncPgConnection, relation: &str) -> Result<bool, StoreError> {
    let sql = format!("SELECT 'yes' WHERE to_regclass({}) IS NOT NULL", literal(relation));
    Ok(!texts(connection, &sql).await?.is_empty())
}

async fn has_role(connection: &mut AsyncPgConnection) -> Result<bool, StoreError> {
    Ok(!texts(connection, "SELECT 'yes' WHERE to_regrole('ryzed_daemon') IS NOT NULL").await?.is_empty())
}

async fn has_uid(connection: &mut AsyncPgConnection) -> Result<bool, StoreError> {
    Ok(!texts(connection, "SELECT 'yes' WHERE to_regprocedure('auth.uid()') IS NOT NULL").await?.is_empty())
}
