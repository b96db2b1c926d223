//! One transaction on one connection: how it is opened, how statements are sent, how it ends.

use std::sync::Arc;

use diesel::deserialize::FromSqlRow;
use diesel::pg::Pg;
use diesel::result::Error;
use diesel::sql_types::{BigInt, Text};
use diesel_async::{AsyncConnection, AsyncConnectionCore, AsyncPgConnection, SimpleAsyncConnection};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, TryStreamExt};

use super::Schema;
use super::fault::{Remedy, judge};
use crate::store::statement::Statement;
use crate::store::{Access, Mode, StoreError};
use crate::sync::DeviceId;

/// Versions and texts, and whether these are all that there are.
pub(super) type Versioned = (Vec<(i64, String)>, bool);

/// A transaction that somebody else ends.
pub(super) struct PostgresTransaction<'c> {
    connection: &'c AsyncPgConnection,
    pub(super) schema: &'c Arc<Schema>,
    /// SQL without answers that goes out with the next statement, to save its round trip.
    ahead: String,
    /// On whose behalf the triggers believe to run.
    device: Option<DeviceId>,
    /// What is to be done about the last error.
    pub(super) remedy: Remedy,
    /// A statement failed outside of a savepoint, so nothing can be committed any more.
    spoilt: bool,
}

impl<'c> PostgresTransaction<'c> {
    /// Nothing is sent before the first statement.
    pub(super) fn new(connection: &'c AsyncPgConnection, schema: &'c Arc<Schema>, mode: Mode, access: Access) -> Self {
        let ahead = opening(mode, access, schema.resident);
        Self { connection, schema, ahead, device: None, remedy: Remedy::None, spoilt: false }
    }

    // The statement is taken apart before anything is awaited, so the futures hold nothing of it.
    pub(super) fn load<'f, ST, T>(
        &'f mut self,
        statement: Statement<'_, ST>,
    ) -> BoxFuture<'f, Result<Vec<T>, StoreError>>
    where
        T: FromSqlRow<ST, Pg> + Send + 'f,
        ST: 'f,
    {
        let (ahead, mut connection) = (std::mem::take(&mut self.ahead), self.connection);
        let rows = AsyncConnectionCore::load(&mut connection, statement);
        async move {
            // Both are sent before either is waited for.
            let read = async { rows.await?.try_collect::<Vec<_>>().await };
            let (prepared, rows) = futures_util::join!(sent_ahead(connection, &ahead), read);
            let rows = self.noted(prepared.and(rows))?;
            let built = rows.iter().map(|row| T::build_from_row(row)).collect::<Result<_, _>>();
            built.map_err(|error| StoreError::Failed(format!("an answer of the database can't be read: {error}")))
        }
        .boxed()
    }

    /// Versions and texts until the texts exceed `bytes`, and whether these are all. What is left is thrown away.
    pub(super) fn load_some<'f>(
        &'f mut self,
        statement: Statement<'_, (BigInt, Text)>,
        bytes: usize,
    ) -> BoxFuture<'f, Result<Versioned, StoreError>> {
        let (ahead, mut connection) = (std::mem::take(&mut self.ahead), self.connection);
        let rows = AsyncConnectionCore::load(&mut connection, statement);
        async move {
            let read = async {
                let mut stream = rows.await?;
                let (mut found, mut size) = (Vec::new(), 0);
                while let Some(row) = stream.try_next().await? {
                    if size > bytes {
                        return Ok((found, false));
                    }
                    let row =
                        FromSqlRow::<(BigInt, Text), Pg>::build_from_row(&row).map_err(Error::DeserializationError)?;
                    let row: (i64, String) = row;
                    size += row.1.len();
                    found.push(row);
                }
                Ok((found, true))
            };
            let (prepared, found) = futures_util::join!(sent_ahead(connection, &ahead), read);
            self.noted(prepared.and(found))
        }
        .boxed()
    }

    pub(super) fn run<'f>(&'f mut self, statement: Statement<'_>) -> BoxFuture<'f, Result<usize, StoreError>> {
        let (ahead, mut connection) = (std::mem::take(&mut self.ahead), self.connection);
        let running = AsyncConnectionCore::execute_returning_count(&mut connection, statement);
        async move {
            let (prepared, done) = futures_util::join!(sent_ahead(connection, &ahead), running);
            self.noted(prepared.and(done))
        }
        .boxed()
    }

    /// A statement whose failure spoils nothing.
    pub(super) fn try_run<'f>(&'f mut self, statement: Statement<'_>) -> BoxFuture<'f, Result<usize, StoreError>> {
        let (mut ahead, mut connection) = (std::mem::take(&mut self.ahead), self.connection);
        ahead += "SAVEPOINT attempt;";
        let running = AsyncConnectionCore::execute_returning_count(&mut connection, statement);
        async move {
            let (prepared, done) = futures_util::join!(sent_ahead(connection, &ahead), running);
            if let Err(error) = prepared {
                return self.noted(Err(error));
            }
            match done.as_ref().map_err(judge) {
                Err((StoreError::Constraint(rule), _)) => {
                    self.ahead += "ROLLBACK TO SAVEPOINT attempt; RELEASE SAVEPOINT attempt;";
                    Err(StoreError::Constraint(rule))
                }
                _ => {
                    self.ahead += "RELEASE SAVEPOINT attempt;";
                    self.noted(done)
                }
            }
        }
        .boxed()
    }

    pub(super) fn number<'f>(&'f mut self, statement: Statement<'_, BigInt>) -> BoxFuture<'f, Result<i64, StoreError>> {
        let numbers = self.load::<BigInt, i64>(statement);
        async move { Ok(numbers.await?.into_iter().next().unwrap_or(0)) }.boxed()
    }

    /// Tells the triggers whose change the next statements are.
    pub(super) fn on_behalf_of(&mut self, device: Option<&DeviceId>) {
        if self.device.as_ref() != device {
            let name = device.map_or(nobody(self.schema.resident), DeviceId::as_str);
            self.ahead += &format!("SELECT set_config('ryzed.device', '{name}', true);");
            self.device = device.cloned();
        }
    }

    pub(super) async fn commit(mut self) -> Result<(), (StoreError, Remedy)> {
        if self.spoilt {
            let error = StoreError::Failed("a statement of this transaction failed".into());
            return Err((error, self.remedy));
        }
        self.ahead += "COMMIT";
        let mut connection = self.connection;
        connection.batch_execute(&self.ahead).await.map_err(|error| judge(&error))
    }

    /// Whether the connection can be used again.
    pub(super) async fn roll_back(self) -> bool {
        let mut connection = self.connection;
        connection.batch_execute("ROLLBACK").await.is_ok()
    }

    fn noted<T>(&mut self, result: diesel::QueryResult<T>) -> Result<T, StoreError> {
        result.map_err(|error| {
            let (error, remedy) = judge(&error);
            self.remedy = remedy;
            self.spoilt = true;
            error
        })
    }
}

async fn sent_ahead(mut connection: &AsyncPgConnection, sql: &str) -> diesel::QueryResult<()> {
    if sql.is_empty() { Ok(()) } else { connection.batch_execute(sql).await }
}

/// What every transaction begins with: who it is for, in the words that policies ask for.
fn opening(mode: Mode, access: Access, resident: bool) -> String {
    let begin = match mode {
        Mode::Read => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        Mode::Write => "BEGIN ISOLATION LEVEL READ COMMITTED",
    };
    let claims = match access {
        Access::Person { user, role } => format!(r#"{{"sub":"{user}","role":"{}"}}"#, role.as_str()),
        Access::Daemon => r#"{"role":"ryzed_daemon"}"#.to_owned(),
    };
    let hold = match (mode, access) {
        (Mode::Write, Access::Person { .. }) => "SELECT ryzed.hold_own();",
        _ => "",
    };
    format!(
        "{begin}; SET LOCAL ROLE ryzed_daemon; SELECT set_config('request.jwt.claims', '{claims}', true), \
         set_config('ryzed.device', '{}', true);{hold}",
        nobody(resident)
    )
}

/// What stands for no device. A command beside the daemon says nothing, as anybody from outside, so that the daemon hears of it.
fn nobody(resident: bool) -> &'static str {
    if resident { "*" } else { "" }
}

/// Opens a connection as all sides use it.
pub(super) async fn connect(url: &str) -> diesel::ConnectionResult<AsyncPgConnection> {
    let mut connection = AsyncPgConnection::establish(url).await?;
    connection.batch_execute(SETTINGS).await.map_err(diesel::ConnectionError::CouldntSetupConfiguration)?;
    // Errors are told apart by their English text. Who may not set this has to have the server speak it.
    let _ = connection.batch_execute("SET lc_messages = 'C'").await;
    Ok(connection)
}

/// A statement that takes longer is given up, and so is a transaction whose client has fallen silent. Plans are short-lived
/// and cheap: compiling them costs more than it saves.
const SETTINGS: &str = "SET application_name = 'ryzed'; SET statement_timeout = '30s'; \
    SET idle_in_transaction_session_timeout = '60s'; SET jit = off; SET client_min_messages = warning";
