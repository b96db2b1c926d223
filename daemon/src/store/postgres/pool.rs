//! The connections: a bounded pool, and a transaction run on one of them to its end, again where that is safe.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use diesel_async::pooled_connection::deadpool::{Object, Pool};
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod};
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use futures_util::FutureExt;
use rand::Rng;

use super::Schema;
use super::fault::Remedy;
use super::session::{PostgresTransaction, connect};
use crate::store::{Access, Job, Mode, StoreError};

/// How often a transaction is begun again that got in the way of another, or whose connection was lost before its commit.
const TRIES: u32 = 6;
/// The longest pause before the second try; each later one may be longer by this.
const PAUSE: Duration = Duration::from_millis(20);
/// How long a caller waits for a connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// A bounded pool. Cheap to clone.
#[derive(Clone)]
pub(super) struct Connections {
    pool: Pool<AsyncPgConnection>,
    schema: Arc<Schema>,
}

/// How one try ended.
enum Try {
    Over(Result<(), StoreError>),
    /// Nothing was committed; the same again may go well.
    Again(StoreError),
}

impl Connections {
    pub(super) fn new(url: &str, most: usize, schema: Arc<Schema>) -> Result<Self, StoreError> {
        let mut config = ManagerConfig::default();
        config.custom_setup = Box::new(|url| connect(url).boxed());
        // A connection that is gone shows when the transaction is begun, and then there is nothing to lose.
        config.recycling_method = RecyclingMethod::Fast;
        let manager = AsyncDieselConnectionManager::new_with_config(url, config);
        let pool = Pool::builder(manager).max_size(most).build();
        let pool = pool.map_err(|error| StoreError::Failed(format!("can't make the pool: {error}")))?;
        Ok(Self { pool, schema })
    }

    pub(super) async fn run(&self, mode: Mode, access: Access, job: Job) -> Result<(), StoreError> {
        let connections = self.clone();
        // In a task of its own: a caller that gives up leaves no transaction open.
        let running = tokio::spawn(async move { connections.until_done(mode, access, &job).await });
        running.await.unwrap_or_else(|error| Err(StoreError::Failed(format!("a transaction failed: {error}"))))
    }

    pub(super) fn close(&self) {
        self.pool.close();
    }

    async fn until_done(&self, mode: Mode, access: Access, job: &Job) -> Result<(), StoreError> {
        let mut tried = 0;
        loop {
            tried += 1;
            match self.once(mode, access, job).await? {
                Try::Over(outcome) => return outcome,
                Try::Again(error) if tried == TRIES => return Err(error),
                Try::Again(error) => {
                    tracing::debug!(%error, tried, "a transaction is begun again");
                    let pause = rand::rng().random_range(Duration::ZERO..PAUSE * tried);
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    async fn once(&self, mode: Mode, access: Access, job: &Job) -> Result<Try, StoreError> {
        let connection = self.connection().await?;
        let mut transaction = PostgresTransaction::new(&connection, &self.schema, mode, access);
        let worked = AssertUnwindSafe(job(&mut transaction)).catch_unwind().await;
        let worked = worked.unwrap_or_else(|_| Err(StoreError::Failed("a job panicked".into())));
        let remedy = transaction.remedy;
        if worked.is_ok() && transaction.has_only_read() {
            drop(transaction);
            tokio::spawn(end_reading(connection));
            return Ok(Try::Over(Ok(())));
        }
        let (tried, is_sound) = match worked {
            Ok(()) => match transaction.commit().await {
                Ok(()) => (Try::Over(Ok(())), true),
                Err((error, Remedy::Again)) => (Try::Again(error), false),
                // Nobody knows whether it was committed; whoever asks again with the same mutations finds out.
                Err((error, _)) => (Try::Over(Err(error)), false),
            },
            Err(error) => {
                let is_sound = transaction.roll_back().await;
                let again = remedy != Remedy::None || !is_sound;
                (if again { Try::Again(unavailable(error)) } else { Try::Over(Err(error)) }, is_sound)
            }
        };
        if !is_sound {
            drop(Object::take(connection));
            // The others have most likely gone the same way.
            self.pool.retain(|_, _| false);
        }
        Ok(tried)
    }

    async fn connection(&self) -> Result<Object<AsyncPgConnection>, StoreError> {
        match tokio::time::timeout(PATIENCE, self.pool.get()).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(StoreError::Unavailable(format!("no connection to the database: {error}"))),
            Err(_) => {
                Err(StoreError::Unavailable("every connection to the database is busy (database.connections)".into()))
            }
        }
    }
}

/// Gives a connection back that has only read. Nobody waits for that: what was read stays as it is.
async fn end_reading(connection: Object<AsyncPgConnection>) {
    let mut ending = &*connection;
    if ending.batch_execute("COMMIT").await.is_err() {
        drop(Object::take(connection));
    }
}

/// The job has turned the cause into an error of its own, which is lost when the job is run again.
fn unavailable(error: StoreError) -> StoreError {
    match error {
        StoreError::RolledBack => StoreError::Unavailable("the database was busy or away too often".into()),
        other => other,
    }
}
