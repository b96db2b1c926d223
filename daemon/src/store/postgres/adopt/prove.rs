//! Proves that people can use the tables as the daemon will: as one of them, in the daemon's role, a row is read, edited, made
//! and deleted, with the statements that the daemon sends, and all of it is rolled back.

mod help;
mod samples;
mod trial;

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use diesel_async::AsyncPgConnection;
use ryzed_adapters::Table;

use super::super::layout::{Place, literal};
use super::super::sql_text::{execute, texts};
use super::super::triggers::Placed;
use super::proof::{Outcome, Proof, settings};
use super::{LOCK_MS, Worker};
use crate::store::StoreError;
use crate::sync::Role;
use samples::{Candidate, Found};
use trial::Trial;

/// The most time that one statement of it may take.
const STATEMENT_MS: u32 = 2_000;
/// The most time for one table; then what is known counts.
const TABLE: Duration = Duration::from_secs(10);
/// Rows that can be read and are tried to be changed, one after the other.
const EDITED: usize = 5;

/// The table under trial, and what all its trials share.
#[derive(Clone, Copy)]
struct Subject<'a> {
    placed: Placed<'a>,
    table: &'a Table,
    place: &'a Place,
    now: DateTime<Utc>,
}

impl Worker<'_> {
    /// Tries every table. Nothing of it stays but numbers that sequences have given out.
    pub(super) async fn prove(&mut self, placed: Placed<'_>) -> Result<Vec<Proof>, StoreError> {
        self.watch.step("proving that people can read and edit");
        // On no device's behalf: triggers of an adoption that stands would refuse the daemon's own writes to a table that has moved.
        let limits =
            format!("SET statement_timeout = {STATEMENT_MS}; SET lock_timeout = {LOCK_MS}; SET ryzed.device = ''");
        execute(&mut self.connection, &limits).await?;
        let proofs = self.prove_all(placed).await;
        execute(&mut self.connection, "SET statement_timeout = 0; RESET lock_timeout; SET ryzed.device = '*'").await?;
        proofs
    }

    async fn prove_all(&mut self, placed: Placed<'_>) -> Result<Vec<Proof>, StoreError> {
        let now = now(&mut self.connection).await?;
        let found = samples::find(&mut self.connection, placed).await?;
        let mut proofs = Vec::new();
        for (table, place) in placed.iter() {
            let subject = Subject { placed, table, place, now };
            let mut proof = of_table(&mut self.connection, subject, &found).await?;
            as_keeper(&mut self.connection, subject, &found, &mut proof).await?;
            if let Outcome::Kept(why) = &mut proof.read {
                why.push_str(&elsewhere(&mut self.connection, place).await?);
            }
            proofs.push(proof);
        }
        Ok(proofs)
    }
}

async fn of_table(
    connection: &mut AsyncPgConnection,
    subject: Subject<'_>,
    found: &Found,
) -> Result<Proof, StoreError> {
    let (table, began) = (subject.table, Instant::now());
    let rows = found.rows.get(table.name).map(Vec::as_slice).unwrap_or_default();
    let why = if rows.is_empty() && found.people.is_empty() { "nobody is there" } else { "" };
    let mut proof = Proof::untried(table.name, subject.place.shown(), why);
    let mut edited = 0;
    for candidate in rows {
        if began.elapsed() > TABLE || edited == EDITED {
            break;
        }
        let mut trial = Trial::begin(connection, subject, candidate, Role::default()).await?;
        trial.run().await?;
        let tried = trial.end().await?;
        edited += usize::from(tried.read == Outcome::Done);
        let is_done = tried.edit == Outcome::Done;
        merge(&mut proof, tried);
        if is_done {
            break;
        }
    }
    if let (true, Some(person)) = (rows.is_empty(), found.people.first()) {
        proof.read = Outcome::untried("there is no row");
        proof.edit = Outcome::untried("there is no row");
        let candidate = Candidate { person: person.clone(), id: String::new(), is_own: true };
        let mut trial = Trial::begin(connection, subject, &candidate, Role::default()).await?;
        trial.make_up().await?;
        let tried = trial.end().await?;
        (proof.make, proof.remove) = (tried.make, tried.remove);
        proof.grants.extend(tried.grants);
    }
    Ok(proof)
}

/// Tries rows of the catalogue as `admin`, who keeps them. That nobody keeps them is no problem: then SQL does.
async fn as_keeper(
    connection: &mut AsyncPgConnection,
    subject: Subject<'_>,
    found: &Found,
    proof: &mut Proof,
) -> Result<(), StoreError> {
    let rows = found.catalogue.get(subject.table.name).into_iter().flatten();
    let mut outcome = Outcome::untried("");
    for (id, person) in rows.zip(found.people.iter().cycle()) {
        let candidate = Candidate { person: person.clone(), id: id.clone(), is_own: true };
        let mut trial = Trial::begin(connection, subject, &candidate, Role::Admin).await?;
        trial.read_and_edit().await?;
        let tried = trial.end().await?;
        proof.grants.extend(tried.grants);
        outcome = outcome.or(if tried.read == Outcome::Done { tried.edit } else { tried.read });
        if outcome == Outcome::Done {
            break;
        }
    }
    match outcome {
        Outcome::Done => proof.notes.insert("a row of the catalogue was read and edited as admin".into()),
        Outcome::Untried(why) if why.is_empty() => false,
        other => proof.notes.insert(format!("admin can't edit the catalogue: {}", other.why())),
    };
    Ok(())
}

fn merge(proof: &mut Proof, tried: Proof) {
    let empty = || Outcome::untried("");
    let both = |before: &mut Outcome, now: Outcome| *before = std::mem::replace(before, empty()).or(now);
    both(&mut proof.read, tried.read);
    both(&mut proof.edit, tried.edit);
    both(&mut proof.make, tried.make);
    both(&mut proof.remove, tried.remove);
    proof.notes.extend(tried.notes);
    proof.grants.extend(tried.grants);
}

/// By which settings the policies of a table go that the daemon does not make, in words.
async fn elsewhere(connection: &mut AsyncPgConnection, place: &Place) -> Result<String, StoreError> {
    let sql = format!(
        "SELECT coalesce(pg_get_expr(p.polqual, p.polrelid), '') || ' ' || coalesce((SELECT string_agg(f.prosrc, ' ') \
         FROM pg_depend d JOIN pg_proc f ON f.oid = d.refobjid WHERE d.classid = 'pg_policy'::regclass AND d.objid = p.oid \
         AND d.refclassid = 'pg_proc'::regclass AND f.pronamespace <> 'ryzed'::regnamespace), '') \
         FROM pg_policy p WHERE p.polrelid = {}::regclass AND p.polname NOT LIKE 'ryzed\\_%'",
        literal(&place.relation())
    );
    let policies = texts(connection, &sql).await?.join(" ");
    let settings: Vec<&str> = settings(&policies).into_iter().collect();
    Ok(if settings.is_empty() {
        String::new()
    } else {
        format!(
            ". They go by {}, which the daemon does not set; it sets request.jwt.claims, which auth.uid() reads",
            settings.join(" and ")
        )
    })
}

/// The database's time.
async fn now(connection: &mut AsyncPgConnection) -> Result<DateTime<Utc>, StoreError> {
    let now = texts(connection, "SELECT extract(epoch FROM now())::bigint::text").await?;
    let seconds = now.first().and_then(|now| now.parse().ok());
    Ok(seconds.and_then(|seconds| DateTime::from_timestamp(seconds, 0)).unwrap_or_default())
}
