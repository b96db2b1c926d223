//! A trial of one row as one person, in a transaction that is rolled back.

use std::borrow::Cow;

use diesel::QueryResult;
use diesel::result::{DatabaseErrorKind, Error};
use diesel::sql_types::Text;
use diesel_async::AsyncPgConnection;
use ryzed_adapters::{Row, ScopeRule};
use serde_json::{Value, json};

use super::super::super::fault::judge;
use super::super::super::layout::literal;
use super::super::super::sql::{Guard, TableSql, columns_out};
use super::super::super::sql_text::escaped;
use super::super::super::sql_text::{execute, texts};
use super::super::proof::{Outcome, Proof, denied};
use super::help::{email, ways_in};
use super::samples::{Brought, Candidate, copied, edited, made_up};
use super::{STATEMENT_MS, Subject};
use crate::store::statement::{Statement, statement};
use crate::store::{Rights, StoreError};
use crate::sync::Role;

/// The most statements that a step is helped by.
const GRANTS: usize = 12;
/// The most fields that are tried one by one.
const FIELDS: usize = 40;
const NOBODY_MAY: &str = "no policy of the application lets people change such rows, or a trigger passes over them";

/// A transaction in the daemon's role, on behalf of a person.
pub(super) struct Trial<'c, 's> {
    connection: &'c mut AsyncPgConnection,
    subject: Subject<'s>,
    candidate: &'s Candidate,
    role: Role,
    sql: TableSql,
    read: String,
    proof: Proof,
}

/// A step that is tried.
enum Step {
    /// Reads the row of this id.
    Read(String),
    /// Writes these fields, a part of the row as JSON.
    Edit(Vec<String>, String),
    /// Makes a row, as JSON.
    Make(String),
    /// Deletes the row of this id.
    Remove(String),
}

/// The database's answer to a step.
enum Said {
    /// A success: the row that was read, or the number of rows that were written.
    Well(Option<String>, usize),
    /// The daemon's role may not use a thing.
    Denied { message: String, kind: String, name: String },
    /// Another answer.
    Otherwise(Outcome),
}

impl<'c, 's> Trial<'c, 's> {
    pub(super) async fn begin(
        connection: &'c mut AsyncPgConnection,
        subject: Subject<'s>,
        candidate: &'s Candidate,
        role: Role,
    ) -> Result<Self, StoreError> {
        let Subject { placed, table, place, .. } = subject;
        let mut claims = json!({"sub": candidate.person, "role": role});
        if let Some(email) = email(connection, subject, &candidate.person).await {
            claims["email"] = email.into();
        }
        let begin = format!(
            "BEGIN; SET LOCAL ROLE ryzed_daemon; SELECT set_config('request.jwt.claims', {}, true); SET CONSTRAINTS ALL IMMEDIATE",
            escaped(&claims.to_string())
        );
        execute(connection, &begin).await?;
        let relation = place.relation();
        let active = texts(connection, &format!("SELECT row_security_active({})::text", literal(&relation))).await?;
        let guard = Guard { oid: None, is_open: active.first().is_none_or(|active| active != "true") };
        let read = format!(
            "SELECT row_to_json(r.*)::text FROM (SELECT {} FROM {relation} t WHERE t.id = ?1::uuid AND {}) r",
            columns_out(&table.columns, place, "t"),
            guard.reads(placed, table, place, "t")
        );
        let sql = TableSql::of(placed, table, place, guard);
        let proof = Proof::untried(table.name, place.shown(), "");
        Ok(Self { connection, subject, candidate, role, sql, read, proof })
    }

    /// Takes everything back.
    pub(super) async fn end(self) -> Result<Proof, StoreError> {
        execute(self.connection, "ROLLBACK").await?;
        Ok(self.proof)
    }

    /// Reads the row, changes it, makes another like it and deletes that.
    pub(super) async fn run(&mut self) -> Result<(), StoreError> {
        match self.read_and_edit().await? {
            Some(row) => self.make_like(&row).await,
            None => Ok(()),
        }
    }

    /// Reads the row and changes it.
    pub(super) async fn read_and_edit(&mut self) -> Result<Option<Row>, StoreError> {
        let (outcome, read) = self.step(&Step::Read(self.candidate.id.clone())).await?;
        self.proof.read = outcome;
        let row: Option<Row> = read.and_then(|row| serde_json::from_str(&row).ok());
        if let Some(row) = &row {
            self.edit(row).await?;
        }
        Ok(row)
    }

    /// The rights that the application's grants give people; none for those who keep the catalogue, who are not bound.
    fn rights(&self) -> Option<Rights> {
        self.subject.place.rights().filter(|_| !self.role.is_admin())
    }

    async fn edit(&mut self, row: &Row) -> Result<(), StoreError> {
        let Subject { table, now, .. } = self.subject;
        let rights = self.rights();
        if !self.candidate.is_own {
            self.proof.edit = Outcome::Kept("its rows are the catalogue's, which admin and service_role keep".into());
            return Ok(());
        }
        let Brought { row: fields, refused } = edited(table, rights.as_ref(), row, now);
        for (field, why) in refused {
            self.proof.notes.insert(format!("values of {field} go out and can't come back in: {why}"));
        }
        if fields.is_empty() {
            let why = if rights.is_some() {
                "by the application's grants, people may change no column that travels"
            } else {
                "no column that travels may be changed"
            };
            self.proof.edit = Outcome::Kept(why.into());
            return Ok(());
        }
        let whole = self.step(&self.setting(&fields)).await?.0;
        if fields.len() == 1 || matches!(whole, Outcome::Done | Outcome::Untried(_)) {
            self.proof.edit = whole;
            return Ok(());
        }
        for (name, value) in fields.iter().take(FIELDS) {
            let one = Row::from_iter([(name.clone(), value.clone())]);
            if self.step(&self.setting(&one)).await?.0 == Outcome::Done {
                self.proof.notes.insert(format!("not every field can be changed: {}", whole.why()));
                self.proof.edit = Outcome::Done;
                return Ok(());
            }
        }
        self.proof.edit = whole;
        Ok(())
    }

    fn setting(&self, fields: &Row) -> Step {
        let mut part = fields.clone();
        part.insert("id".into(), self.candidate.id.clone().into());
        Step::Edit(fields.keys().cloned().collect(), Value::Array(vec![Value::Object(part)]).to_string())
    }

    async fn make_like(&mut self, row: &Row) -> Result<(), StoreError> {
        let Subject { table, place, now, .. } = self.subject;
        if table.scope == ScopeRule::Person {
            return Ok(());
        }
        let rights = place.rights();
        match copied(table, rights.as_ref(), row, &self.candidate.person, now) {
            Some(brought) => self.make(brought.row, false).await,
            None => {
                self.proof.make = Outcome::untried("a row like those that are there is not one that devices may send");
                Ok(())
            }
        }
    }

    /// Makes a row where there is none to copy.
    pub(super) async fn make_up(&mut self) -> Result<(), StoreError> {
        let Subject { table, now, .. } = self.subject;
        let made = made_up(table, &self.candidate.person, now).filter(|_| table.scope != ScopeRule::Person);
        match made {
            Some(row) => self.make(row, true).await,
            None => {
                self.proof.make = Outcome::untried("it needs rows of other tables");
                Ok(())
            }
        }
    }

    async fn make(&mut self, row: Row, is_made_up: bool) -> Result<(), StoreError> {
        let Subject { table, place, .. } = self.subject;
        let rights = place.rights();
        if !table.takes_rows() {
            self.proof.make = Outcome::Kept("their ids name something elsewhere".into());
        } else if rights.as_ref().is_some_and(|rights| rights.insert.is_empty()) {
            self.proof.make = Outcome::Kept("by the application's grants".into());
        } else {
            let id = row.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
            let rows = Value::Array(vec![Value::Object(row)]).to_string();
            let outcome = self.step(&Step::Make(rows)).await?.0;
            self.proof.make = match outcome {
                // A value that nobody has thought of says little about those that people have.
                Outcome::Refused(why) if is_made_up && !why.contains("null value in column") => Outcome::Untried(why),
                Outcome::Done => self.appears(&id).await?,
                other => other,
            };
            if self.proof.make == Outcome::Done {
                self.remove(id, rights.is_none_or(|rights| rights.delete)).await?;
            }
        }
        Ok(())
    }

    /// Tries to read a row that was made, as the person who made it.
    async fn appears(&mut self, id: &str) -> Result<Outcome, StoreError> {
        Ok(match self.step(&Step::Read(id.to_owned())).await?.0 {
            Outcome::Kept(_) => Outcome::Refused("it is not shown to who made it, so it would go as it came".into()),
            other => other,
        })
    }

    async fn remove(&mut self, id: String, may: bool) -> Result<(), StoreError> {
        self.proof.remove = if may {
            self.step(&Step::Remove(id)).await?.0
        } else {
            Outcome::Kept("by the application's grants".into())
        };
        Ok(())
    }

    /// Tries something, and where the daemon's role is denied, what would let it in. A step that needed help is taken back.
    async fn step(&mut self, step: &Step) -> Result<(Outcome, Option<String>), StoreError> {
        execute(self.connection, "SAVEPOINT step").await?;
        let (mut first, mut helped) = (None, 0);
        loop {
            let said = self.once(step).await?;
            let (outcome, read) = match said {
                Said::Well(read, count) => (well(step, read.is_some(), count), read),
                Said::Denied { message, kind, name } => {
                    let is_helped = helped < GRANTS && self.let_in(step, &kind, &name).await?;
                    first.get_or_insert(message);
                    if is_helped {
                        helped += 1;
                        continue;
                    }
                    (Outcome::untried(""), None)
                }
                Said::Otherwise(outcome) => (outcome, None),
            };
            let outcome = first.map_or(outcome, Outcome::Denied);
            let is_kept = outcome == Outcome::Done;
            let end =
                if is_kept { "RELEASE SAVEPOINT step" } else { "ROLLBACK TO SAVEPOINT step; RELEASE SAVEPOINT step" };
            execute(self.connection, end).await?;
            return Ok((outcome, read));
        }
    }

    async fn once(&mut self, step: &Step) -> Result<Said, StoreError> {
        execute(self.connection, "SAVEPOINT once").await?;
        let done = self.send(step).await;
        match done {
            Ok((read, count)) => {
                execute(self.connection, "RELEASE SAVEPOINT once").await?;
                Ok(Said::Well(read, count))
            }
            Err(error) => {
                let said = said(&error)?;
                execute(self.connection, "ROLLBACK TO SAVEPOINT once; RELEASE SAVEPOINT once").await?;
                Ok(said)
            }
        }
    }

    /// Runs a step; returns the row that was read and the number of rows that were written.
    async fn send(&mut self, step: &Step) -> QueryResult<(Option<String>, usize)> {
        use diesel_async::RunQueryDsl;
        if let Step::Read(id) = step {
            let mut rows = statement::<Text>(&self.read).text(id.as_str()).load::<String>(self.connection).await?;
            return Ok((rows.pop(), 0));
        }
        let update = match (step, &self.sql.sets) {
            (Step::Edit(fields, _), Some(sets)) => sets.of(fields).0,
            _ => Cow::Borrowed(self.sql.update.as_str()),
        };
        let written: Statement<'_> = match step {
            Step::Edit(_, parts) => statement(&update).text(parts.as_str()),
            Step::Make(rows) => statement(&self.sql.upsert).text(rows.as_str()),
            Step::Remove(id) | Step::Read(id) => statement(&self.sql.delete).text(format!("{{{id}}}")),
        };
        Ok((None, written.execute(self.connection).await?))
    }

    /// Gives the daemon's role, for this transaction, what it was denied; notes the statement that does so.
    async fn let_in(&mut self, step: &Step, kind: &str, name: &str) -> Result<bool, StoreError> {
        for line in ways_in(self.connection, kind, name).await? {
            let attempt =
                format!("SAVEPOINT way; SET LOCAL ROLE NONE; {line}; SET LOCAL ROLE ryzed_daemon; SAVEPOINT tested");
            if execute(self.connection, &attempt).await.is_err() {
                execute(self.connection, "ROLLBACK TO SAVEPOINT way").await?;
                continue;
            }
            let is_denied = match self.once(step).await? {
                Said::Denied { kind: still, name: other, .. } => still == kind && other == name,
                _ => false,
            };
            if !is_denied {
                execute(self.connection, "ROLLBACK TO SAVEPOINT tested").await?;
                self.proof.grants.insert(line);
                return Ok(true);
            }
            execute(self.connection, "ROLLBACK TO SAVEPOINT way").await?;
        }
        Ok(false)
    }
}

/// The outcome of a step that the database did not refuse.
fn well(step: &Step, is_read: bool, count: usize) -> Outcome {
    match step {
        Step::Read(_) if is_read => Outcome::Done,
        Step::Read(_) => {
            Outcome::Kept("the application's policies hide the rows that were tried from whose they are".into())
        }
        Step::Edit(..) if count == 0 => Outcome::Kept(NOBODY_MAY.into()),
        Step::Make(_) if count == 0 => {
            Outcome::Kept("a trigger or rule of the application passes over new rows".into())
        }
        Step::Remove(_) if count == 0 => {
            Outcome::Kept("no policy of the application lets people, or a trigger keeps the row".into())
        }
        _ => Outcome::Done,
    }
}

/// Reads an error of the database as the answer to a step; fails if it is not about the step.
fn said(error: &Error) -> Result<Said, StoreError> {
    let Error::DatabaseError(kind, information) = error else { return Err(judge(error).0) };
    if matches!(kind, DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand) {
        return Err(judge(error).0);
    }
    let message = information.message().to_owned();
    if let Some((kind, name)) = denied(&message) {
        let (kind, name) = (kind.to_owned(), name.to_owned());
        return Ok(Said::Denied { message, kind, name });
    }
    let outcome = match kind {
        DatabaseErrorKind::UniqueViolation | DatabaseErrorKind::ExclusionViolation => {
            Outcome::Untried(format!("another row like those that are there is one too many: {message}"))
        }
        _ if message.contains("row-level security policy") => Outcome::Kept(message),
        _ if message.contains("lock timeout") => Outcome::untried("somebody else works on the row"),
        _ if message.contains("statement timeout") => {
            Outcome::Untried(format!("it took longer than {} s", STATEMENT_MS / 1_000))
        }
        _ => Outcome::Refused(message),
    };
    Ok(Said::Otherwise(outcome))
}
