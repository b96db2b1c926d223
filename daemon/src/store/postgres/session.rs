//! A transaction on a connection: its opening, its statements, its end.

mod attempt;

use std::borrow::Borrow;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use diesel::QueryResult;
use diesel::deserialize::FromSqlRow;
use diesel::pg::Pg;
use diesel::result::Error;
use diesel::row::{Field, Row};
use diesel::sql_types::BigInt;
use diesel_async::{AsyncConnectionCore, AsyncPgConnection, SimpleAsyncConnection};
use futures_util::future::{BoxFuture, join_all};
use futures_util::{FutureExt, Stream, TryStreamExt, stream};
use serde_json::json;

use super::Schema;
use super::admission::admission;
use super::fault::{Remedy, in_doubt, judge_discreetly};
use super::sql_text::escaped;
use crate::store::statement::{Statement, statement};
use crate::store::{Access, Mode, StoreError};
use crate::sync::{DeviceId, Role};

/// How a transaction is tried.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Manner {
    /// Every rule is checked with its statement.
    pub is_strict: bool,
    /// The tables were looked at after a failure that others would explain.
    pub is_sure: bool,
}

/// A transaction that somebody else ends.
pub(super) struct PostgresTransaction<'c> {
    connection: &'c AsyncPgConnection,
    pub(super) schema: &'c Arc<Schema>,
    mode: Mode,
    /// Statements without answers that go out with the next one, to save their round trips. The first begins the
    /// transaction.
    ahead: Vec<BoxFuture<'c, QueryResult<usize>>>,
    /// Answers that were fetched before they were asked for, by statement.
    prefetched: HashMap<String, Arc<Fetched>>,
    /// The device that the triggers know.
    device: Option<DeviceId>,
    /// The tables whose rows it has changed, or expects to read.
    pub(super) changed: BTreeSet<&'static str>,
    /// The reaction to the last error.
    pub(super) remedy: Remedy,
    /// The reason of a failure that is about the moment and not about the statement.
    pub(super) trouble: Option<String>,
    /// A statement failed outside of a savepoint, so nothing can be committed any more.
    spoilt: bool,
    /// Every rule is checked with its statement, also where the application has it checked at the commit.
    pub(super) is_strict: bool,
    /// The tables were looked at after a failure that others would explain.
    is_sure: bool,
    /// The database has refused a row, or not noted one, which may be so because its table is another by now.
    pub(super) is_doubtful: bool,
    /// True once something was written that would reach nobody.
    pub(super) is_unbooked: bool,
}

/// An answer that is here.
pub(super) struct Fetched {
    rows: Vec<PgRow>,
    /// True if fetching did not stop early.
    is_whole: bool,
}

/// An answer on its way.
type Fetching<'c> = BoxFuture<'c, QueryResult<Fetched>>;

impl<'c> PostgresTransaction<'c> {
    /// A transaction that sends nothing before its first statement.
    pub(super) fn new(
        connection: &'c AsyncPgConnection,
        schema: &'c Arc<Schema>,
        mode: Mode,
        access: &Access,
        Manner { is_strict, is_sure }: Manner,
        lock_timeout: Option<Duration>,
    ) -> Self {
        let mut opening = opening(mode, access, schema.terms.resident, lock_timeout);
        if is_strict {
            opening.push_str("; SET CONSTRAINTS ALL IMMEDIATE");
        }
        let mut first = connection;
        let begin = async move { first.batch_execute(&opening).await.map(|()| 0) }.boxed();
        let (ahead, prefetched) = (vec![begin], HashMap::new());
        Self {
            connection,
            schema,
            mode,
            ahead,
            prefetched,
            device: None,
            changed: BTreeSet::new(),
            remedy: Remedy::None,
            trouble: None,
            spoilt: false,
            is_strict,
            is_sure,
            is_doubtful: false,
            is_unbooked: false,
        }
    }

    // A statement is taken apart before anything is awaited, so the futures hold nothing of it.
    pub(super) fn load<'f, ST, T>(
        &'f mut self,
        statement: Statement<'_, ST>,
    ) -> BoxFuture<'f, Result<Vec<T>, StoreError>>
    where
        T: FromSqlRow<ST, Pg> + Send + 'f,
        ST: 'f,
    {
        let loading = self.load_some(statement, usize::MAX, |_| 0);
        async move { Ok(loading.await?.0) }.boxed()
    }

    /// Rows until their sizes exceed `bytes`, and whether these are all. What is left is thrown away.
    pub(super) fn load_some<'f, ST, T>(
        &'f mut self,
        statement: Statement<'_, ST>,
        bytes: usize,
        size_of: fn(&T) -> usize,
    ) -> BoxFuture<'f, Result<(Vec<T>, bool), StoreError>>
    where
        T: FromSqlRow<ST, Pg> + Send + 'f,
        ST: 'f,
    {
        if let Some(fetched) = self.prefetched.get(&statement.key()).map(Arc::clone) {
            return async move {
                let (rows, is_all) =
                    self.noted(some(stream::iter(fetched.rows.iter().map(Ok)), bytes, size_of).await)?;
                Ok((rows, is_all && fetched.is_whole))
            }
            .boxed();
        }
        let (ahead, mut connection) = (std::mem::take(&mut self.ahead), self.connection);
        let rows = AsyncConnectionCore::load(&mut connection, statement);
        async move {
            // All are sent before any is waited for.
            let read = async { some(rows.await?, bytes, size_of).await };
            let (before, found) = futures_util::join!(all_of(ahead), read);
            self.noted(before.and(found))
        }
        .boxed()
    }

    /// An answer that is going to be asked for, up to the row that exceeds so many bytes; none when it is here already.
    pub(super) fn to_prefetch<ST>(&self, statement: Statement<'_, ST>, bytes: usize) -> Option<(String, Fetching<'c>)> {
        let key = statement.key();
        if self.prefetched.contains_key(&key) {
            return None;
        }
        let mut connection = self.connection;
        let rows = AsyncConnectionCore::load(&mut connection, statement);
        Some((key, async move { fetched(rows.await?, bytes).await }.boxed()))
    }

    /// Fetches answers in one round trip.
    pub(super) async fn fetch(&mut self, wanted: Vec<(String, Fetching<'c>)>) -> Result<(), StoreError> {
        if wanted.is_empty() {
            return Ok(());
        }
        let ahead = std::mem::take(&mut self.ahead);
        let (keys, fetching): (Vec<_>, Vec<_>) = wanted.into_iter().unzip();
        let (before, answers) = futures_util::join!(all_of(ahead), in_order(fetching));
        let answers = self.noted(before.and(answers))?;
        self.prefetched.extend(keys.into_iter().zip(answers.into_iter().map(Arc::new)));
        Ok(())
    }

    /// Runs a statement now, and forgets what was prefetched: it may be different now.
    pub(super) fn run<'f>(&'f mut self, statement: Statement<'_>) -> BoxFuture<'f, Result<usize, StoreError>> {
        self.prefetched.clear();
        let (ahead, mut connection) = (std::mem::take(&mut self.ahead), self.connection);
        let running = AsyncConnectionCore::execute_returning_count(&mut connection, statement);
        async move {
            let (before, done) = futures_util::join!(all_of(ahead), running);
            self.noted(before.and(done))
        }
        .boxed()
    }

    /// Sends a statement together with the next one, which gets its failure. It changes nothing that is prefetched.
    pub(super) async fn pipeline(&mut self, statement: Statement<'_>) -> Result<(), StoreError> {
        self.push_ahead(statement);
        if self.ahead.len() < LONGEST_AHEAD {
            return Ok(());
        }
        let ahead = std::mem::take(&mut self.ahead);
        let done = all_of(ahead).await;
        self.noted(done)
    }

    fn push_ahead(&mut self, statement: Statement<'_>) {
        let mut connection = self.connection;
        self.ahead.push(AsyncConnectionCore::execute_returning_count(&mut connection, statement));
    }

    pub(super) fn number<'f>(&'f mut self, statement: Statement<'_, BigInt>) -> BoxFuture<'f, Result<i64, StoreError>> {
        let numbers = self.load::<BigInt, i64>(statement);
        async move { Ok(numbers.await?.into_iter().next().unwrap_or(0)) }.boxed()
    }

    /// Tells the triggers whose change the next statements are.
    pub(super) fn on_behalf_of(&mut self, device: Option<&DeviceId>) {
        if self.device.as_ref() != device {
            let name = device.map_or(nobody(self.schema.terms.resident), DeviceId::as_str);
            self.push_ahead(statement("SELECT set_config('ryzed.device', ?1, true)").text(name));
            self.device = device.cloned();
        }
    }

    /// Gives up a statement of this transaction that waits for somebody else's lock, long before others are taken for dead.
    pub(super) fn wait_shortly(&mut self) {
        if self.mode == Mode::Write {
            self.push_ahead(statement("SET LOCAL lock_timeout = '500ms'"));
        }
    }

    /// Makes the commit return before the disk has it, with everything locked: after a crash the work can be done
    /// again.
    pub(super) fn commit_at_ease(&mut self) {
        self.push_ahead(statement("SET LOCAL synchronous_commit = off"));
    }

    pub(super) async fn commit(mut self) -> Result<(), (StoreError, Remedy)> {
        if self.spoilt {
            let error = StoreError::Failed("a statement of this transaction failed".into());
            return Err((error, self.remedy));
        }
        // After a failure ahead of it, this is a rollback.
        self.push_ahead(statement("COMMIT"));
        let ahead = std::mem::take(&mut self.ahead);
        all_of(ahead).await.map_err(|error| match self.refusal(&error) {
            Some(refused) if !self.is_strict => (refused, Remedy::Strictly),
            _ => self.judged(&error),
        })
    }

    /// True if it has only read, so that there is nothing to commit.
    pub(super) fn has_only_read(&self) -> bool {
        self.mode == Mode::Read && self.ahead.is_empty() && !self.spoilt
    }

    /// True if the connection can be used again.
    pub(super) async fn roll_back(self) -> bool {
        let mut connection = self.connection;
        connection.batch_execute("ROLLBACK").await.is_ok()
    }

    fn judged(&self, error: &Error) -> (StoreError, Remedy) {
        let judged = match judge_discreetly(error) {
            (error, Remedy::Inspect | Remedy::Strayed) if self.is_sure => (error, Remedy::None),
            judged => judged,
        };
        if self.schema.terms.speaks_english { judged } else { in_doubt(judged) }
    }

    fn noted<T>(&mut self, result: QueryResult<T>) -> Result<T, StoreError> {
        result.map_err(|error| {
            let may_be_of_a_row = self.mode == Mode::Write && !self.is_strict && self.refusal(&error).is_some();
            let (error, remedy) = self.judged(&error);
            // Once more, each statement by itself, as far as one is about a row.
            self.remedy = if may_be_of_a_row && remedy == Remedy::None { Remedy::Strictly } else { remedy };
            self.spoilt = true;
            if let StoreError::Unavailable(trouble) = &error {
                self.trouble = Some(trouble.clone());
            }
            error
        })
    }
}

/// The most statements that wait for the next one; few enough to be sent in their order.
const LONGEST_AHEAD: usize = 16;

/// Waits for all, which are sent in their order; the first failure counts, the others follow from it.
async fn all_of(running: Vec<BoxFuture<'_, QueryResult<usize>>>) -> QueryResult<()> {
    in_order(running).await.map(|_| ())
}

async fn in_order<T>(running: Vec<BoxFuture<'_, QueryResult<T>>>) -> QueryResult<Vec<T>> {
    join_all(running).await.into_iter().collect()
}

async fn some<ST, T: FromSqlRow<ST, Pg>>(
    mut rows: impl Stream<Item = QueryResult<impl Borrow<PgRow>>> + Unpin,
    bytes: usize,
    size_of: fn(&T) -> usize,
) -> QueryResult<(Vec<T>, bool)> {
    let (mut found, mut size) = (Vec::new(), 0);
    while let Some(row) = rows.try_next().await? {
        if size > bytes {
            return Ok((found, false));
        }
        let row = T::build_from_row(row.borrow()).map_err(Error::DeserializationError)?;
        size += size_of(&row);
        found.push(row);
    }
    Ok((found, true))
}

/// Rows as they came, until their values exceed `bytes`. What is left is thrown away.
async fn fetched(mut rows: impl Stream<Item = QueryResult<PgRow>> + Unpin, bytes: usize) -> QueryResult<Fetched> {
    let (mut found, mut size) = (Vec::new(), 0);
    while let Some(row) = rows.try_next().await? {
        if size > bytes {
            return Ok(Fetched { rows: found, is_whole: false });
        }
        let values = (0..row.field_count()).filter_map(|at| row.get(at));
        size += values.map(|field| field.value().map_or(0, |value| value.as_bytes().len())).sum::<usize>();
        found.push(row);
    }
    Ok(Fetched { rows: found, is_whole: true })
}

/// A row as the connection gives it.
type PgRow = <AsyncPgConnection as AsyncConnectionCore>::Row<'static, 'static>;

/// The statements that begin a transaction: its isolation, and the claims that policies read.
fn opening(mode: Mode, access: &Access, resident: bool, lock_timeout: Option<Duration>) -> String {
    let begin = match mode {
        Mode::Read => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        Mode::Write => "BEGIN ISOLATION LEVEL READ COMMITTED",
    };
    let claims = match access {
        Access::Person { user, role, email, .. } => match email.as_deref().filter(|email| is_plain(email)) {
            Some(email) => json!({"sub": user, "role": role, "email": email}),
            None => json!({"sub": user, "role": role}),
        },
        Access::Anybody => json!({"role": Role::default()}),
        Access::Daemon => json!({"role": "ryzed_daemon"}),
    };
    let claims = escaped(&claims.to_string());
    let lock_timeout = lock_timeout.map_or_else(String::new, |time| {
        let milliseconds = time.as_millis();
        format!(", set_config('lock_timeout', '{milliseconds}', true)")
    });
    let mut opening = format!(
        "{begin}; SET LOCAL ROLE ryzed_daemon; SELECT set_config('request.jwt.claims', {claims}, true), \
         set_config('ryzed.device', '{}', true){lock_timeout}",
        nobody(resident)
    );
    if let Access::Person { credentials, .. } = access {
        if mode == Mode::Write {
            opening.push_str("; SELECT ryzed.hold_own()");
        }
        // After the lock: a revocation that came before is seen.
        if let Some(admission) = admission(credentials) {
            opening = format!("{opening}; {admission}");
        }
    }
    opening
}

/// True if the database's JSON can hold it.
fn is_plain(text: &str) -> bool {
    !text.contains(char::is_control)
}

/// What stands for no device. A command beside the daemon says nothing, as anybody from outside, so that the daemon hears of it.
fn nobody(resident: bool) -> &'static str {
    if resident { "*" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::UserId;
    use crate::sync::token::Credentials;

    #[test]
    fn what_a_token_says_stays_within_its_quotes() {
        let email = r#"o'brien\' OR ''="'@example.com"#.to_owned();
        let access = |email| Access::Person {
            user: UserId(uuid::Uuid::nil()),
            role: Role::default(),
            email,
            credentials: Credentials::default(),
        };
        let opened = opening(Mode::Read, &access(Some(email)), true, None);
        assert!(opened.contains(r#""email":"o\'brien\\\\\' OR \'\'=\\"\'@example.com""#), "{opened}");
        let opened = opening(Mode::Read, &access(Some("a\0b".into())), true, None);
        assert!(!opened.contains("email"), "{opened}");
    }
}
