//! The connections: a bounded pool, and a transaction run on one of them to its end, again where that is safe.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool::managed::QueueMode;
use diesel_async::pooled_connection::deadpool::{Object, Pool};
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod};
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use futures_util::FutureExt;
use rand::RngExt;

use super::Schema;
use super::fault::{Remedy, judge, storage_fault};
use super::lanes::{LaneTicket, Lanes, PATIENCE, busy};
use super::server::connect;
use super::session::{Manner, PostgresTransaction};
use super::watch::{Cause, Current, Watcher};
use crate::metrics::{PoolUse, metrics};
use crate::store::outage::Outage;
use crate::store::turns::Whose;
use crate::store::{Access, Job, Mode, StoreError};

/// The most tries of a transaction that conflicts with another, or whose connection is lost before its commit.
const TRIES: u32 = 6;
/// The longest pause before the second try; each later one may be longer by this.
const PAUSE: Duration = Duration::from_millis(20);
/// The longest pause after a lock timeout, without a connection in hand.
const PAUSE_FOR_LOCK: Duration = Duration::from_millis(500);
/// The pause of a caller before the next attempt at a connection, while the server gives no more.
const PAUSE_FOR_OTHERS: Duration = Duration::from_millis(50);
/// The time that a caller waits for a transaction: longer than a statement may take, so that only a server that does
/// not answer any more is given up.
const LONGEST: Duration = Duration::from_secs(45);

/// A write that takes longer is worth a line in the log.
const SLOW: Duration = Duration::from_secs(1);

/// A bounded pool. Cheap to clone.
#[derive(Clone)]
pub(super) struct Connections {
    pool: Pool<AsyncPgConnection>,
    current: Arc<Current>,
    watcher: Arc<Watcher>,
    outage: Arc<Outage>,
    lanes: Arc<Lanes>,
}

/// How one try ended.
enum Try {
    Over(Result<(), StoreError>),
    /// Rolled back; the same again may succeed.
    Again(StoreError),
    /// Rolled back, since another transaction kept a lock.
    Locked(StoreError),
    /// Rolled back; run again with immediate constraints to find the offending row.
    Strictly,
    /// Rolled back; the tables may have changed.
    Inspect(Cause),
}

impl Connections {
    pub(super) fn new(
        url: &str,
        most: usize,
        current: Arc<Current>,
        watcher: Arc<Watcher>,
    ) -> Result<Self, StoreError> {
        let mut config = ManagerConfig::default();
        config.custom_setup = Box::new(|url| connect(url).boxed());
        // A connection that is gone shows when the transaction is begun, and then there is nothing to lose.
        config.recycling_method = RecyclingMethod::Fast;
        let manager = AsyncDieselConnectionManager::new_with_config(url, config);
        // The one that was used last knows its statements best: what is prepared or planned is so for one connection.
        let pool = Pool::builder(manager).max_size(most).queue_mode(QueueMode::Lifo).build();
        let pool = pool.map_err(|error| StoreError::Failed(format!("can't make the pool: {error}")))?;
        Ok(Self { pool, current, watcher, outage: Arc::default(), lanes: Arc::new(Lanes::new(most)) })
    }

    pub(super) async fn run(&self, mode: Mode, access: Access, job: Job) -> Result<(), StoreError> {
        let connections = self.clone();
        // In a task of its own: a caller that gives up leaves no transaction open.
        let running = tokio::spawn(async move { connections.until_done(mode, access, &job).await });
        match tokio::time::timeout(LONGEST, running).await {
            Ok(Ok(done)) => done,
            // The runtime ends while somebody still waits: nothing was committed that they were told of.
            Ok(Err(error)) if error.is_cancelled() => Err(StoreError::Unavailable("the daemon is stopping".into())),
            Ok(Err(error)) => Err(StoreError::Failed(format!("a transaction failed: {error}"))),
            Err(_) => {
                let silent = "the database does not answer";
                self.outage.failed(silent, None);
                Err(StoreError::Unavailable(silent.into()))
            }
        }
    }

    /// A round trip on one of the connections.
    pub(super) async fn ask(&self) -> Result<(), StoreError> {
        let mut connection: &AsyncPgConnection = &*self.connection().await?;
        connection.batch_execute("SELECT 1").await.map_err(|error| judge(&error).0)
    }

    pub(super) fn used(&self) -> PoolUse {
        let status = self.pool.status();
        PoolUse { busy: status.size.saturating_sub(status.available), most: status.max_size }
    }

    pub(super) fn storage_fault(&self) -> Option<&'static str> {
        self.outage.storage_fault()
    }

    pub(super) fn close(&self) {
        self.pool.close();
    }

    async fn until_done(&self, mode: Mode, access: Access, job: &Job) -> Result<(), StoreError> {
        let (mut tried, mut manner, mut waits) = (0, Manner::default(), false);
        let access = &access;
        let _turn = self.lanes.turn(mode, access).await.inspect_err(|error| self.failed(error))?;
        loop {
            tried += 1;
            let error = match self.once(mode, access, job, manner, waits).await {
                Try::Over(Ok(())) => {
                    // What instances note of themselves may still find room where people's rows do not.
                    let is_telling = mode == Mode::Write && *access != Access::Daemon;
                    self.outage.worked(if is_telling { Mode::Write } else { Mode::Read });
                    return Ok(());
                }
                Try::Strictly => {
                    manner.is_strict = true;
                    continue;
                }
                Try::Inspect(cause) => {
                    self.look(cause).await;
                    manner.is_sure = true;
                    continue;
                }
                Try::Again(error) if tried < TRIES => {
                    metrics().database_retries.inc();
                    tracing::debug!(%error, tried, "a transaction is begun again");
                    let pause = rand::rng().random_range(Duration::ZERO..PAUSE * tried);
                    tokio::time::sleep(pause).await;
                    continue;
                }
                Try::Locked(error) if tried < TRIES && *access != Access::Daemon => {
                    self.lanes.refused();
                    metrics().database_retries.inc();
                    tracing::debug!(%error, tried, "a transaction is begun again");
                    waits = true;
                    let pause = rand::rng().random_range(PAUSE_FOR_LOCK / 2..PAUSE_FOR_LOCK * tried);
                    tokio::time::sleep(pause).await;
                    continue;
                }
                Try::Over(Err(error)) | Try::Again(error) | Try::Locked(error) => error,
            };
            self.failed(&error);
            return Err(error);
        }
    }

    fn failed(&self, error: &StoreError) {
        if let StoreError::Unavailable(reason) = error {
            self.outage.failed(reason, storage_fault(reason));
        }
    }

    async fn once(&self, mode: Mode, access: &Access, job: &Job, manner: Manner, waits: bool) -> Try {
        let place = self.lanes.place(mode, access, waits).await;
        let (place, connection) = match place {
            Ok(place) => (place, self.connection().await),
            Err(error) => return Try::Over(Err(error)),
        };
        let connection = match connection {
            Ok(connection) => connection,
            Err(error) => return Try::Over(Err(error)),
        };
        let began = Instant::now();
        let lock_timeout = self.lanes.lock_timeout(access, waits);
        let tried = self.on(connection, place, (mode, access, job), manner, lock_timeout).await;
        if mode == Mode::Write {
            timed(access, began.elapsed());
        }
        tried
    }

    async fn on(
        &self,
        connection: Object<AsyncPgConnection>,
        place: LaneTicket,
        (mode, access, job): (Mode, &Access, &Job),
        manner: Manner,
        lock_timeout: Option<Duration>,
    ) -> Try {
        let schema = self.current.get();
        let mut transaction = PostgresTransaction::new(&connection, &schema, mode, access, manner, lock_timeout);
        let worked = AssertUnwindSafe(job(&mut transaction)).catch_unwind().await;
        let worked = worked.unwrap_or_else(|_| Err(StoreError::Failed("a job panicked".into())));
        let (remedy, trouble) = (transaction.remedy, transaction.trouble.take());
        if worked.is_ok() && transaction.has_only_read() {
            drop(transaction);
            tokio::spawn(end_reading(connection, place));
            return Try::Over(Ok(()));
        }
        // Before anybody is told that a row is refused for good, or that it is stored.
        let is_moot = worked.is_ok() && transaction.is_doubtful && !manner.is_sure && self.has_changed(&schema).await;
        let (tried, is_sound) = match worked {
            Ok(()) if is_moot => (Try::Inspect(Cause::Failure), transaction.roll_back().await),
            Ok(()) if transaction.is_unbooked => {
                (Try::Over(Err(StoreError::unbooked())), transaction.roll_back().await)
            }
            Ok(()) => match transaction.commit().await {
                Ok(()) => (Try::Over(Ok(())), true),
                Err((error, Remedy::Again)) => (Try::Again(error), false),
                Err((error, Remedy::Wait)) => (Try::Locked(error), false),
                Err((_, Remedy::Strictly)) => (Try::Strictly, true),
                // Before anything was done.
                Err((error @ StoreError::Refused(_), _)) => (Try::Over(Err(error)), true),
                Err((_, Remedy::Inspect)) => (Try::Inspect(Cause::Failure), true),
                Err((_, Remedy::Strayed)) => (Try::Inspect(Cause::Refusal), true),
                // Nobody knows whether it was committed; whoever asks again with the same mutations finds out.
                Err((error, _)) => (Try::Over(Err(error)), false),
            },
            Err(error) => {
                let is_sound = transaction.roll_back().await;
                // The job has turned the cause into an error of its own.
                let error = trouble.map_or(error, StoreError::Unavailable);
                let tried = match remedy {
                    Remedy::Wait if is_sound => Try::Locked(error),
                    Remedy::Strictly if is_sound => Try::Strictly,
                    Remedy::Inspect if is_sound => Try::Inspect(Cause::Failure),
                    Remedy::Strayed if is_sound => Try::Inspect(Cause::Refusal),
                    Remedy::None if is_sound => Try::Over(Err(error)),
                    _ => Try::Again(lasting(error)),
                };
                (tried, is_sound)
            }
        };
        if !is_sound {
            drop(Object::take(connection));
            // The others have most likely gone the same way.
            self.pool.retain(|_, _| false);
        }
        tried
    }

    /// Looks at the tables; true if the statements have changed since.
    async fn has_changed(&self, schema: &Arc<Schema>) -> bool {
        self.look(Cause::Failure).await;
        !Arc::ptr_eq(schema, &self.current.get())
    }

    async fn look(&self, cause: Cause) {
        if let Err(error) = self.watcher.look(cause).await {
            tracing::debug!(%error, "can't look whether the tables are as they were");
        }
    }

    async fn connection(&self) -> Result<Object<AsyncPgConnection>, StoreError> {
        let until = tokio::time::Instant::now() + PATIENCE;
        loop {
            let error = match tokio::time::timeout_at(until, self.pool.get()).await {
                Ok(Ok(connection)) => return Ok(connection),
                Ok(Err(error)) => error.to_string(),
                Err(_) => return Err(busy()),
            };
            // The server gives no more than there are: one of those will be free.
            if !is_full(&error) || self.pool.status().size == 0 {
                return Err(StoreError::Unavailable(format!("no connection to the database: {error}")));
            }
            tokio::time::sleep(PAUSE_FOR_OTHERS).await;
        }
    }
}

/// Gives a connection back that has only read. Nobody waits for that: what was read stays as it is.
async fn end_reading(connection: Object<AsyncPgConnection>, _place: LaneTicket) {
    let mut ending = &*connection;
    if ending.batch_execute("COMMIT").await.is_err() {
        drop(Object::take(connection));
    }
}

/// Counts for how long a write had a connection.
fn timed(access: &Access, took: Duration) {
    metrics().database_writes.observe(took.as_secs_f64());
    if took > SLOW {
        let whose = Whose::from(access);
        tracing::warn!(?whose, seconds = took.as_secs_f32(), "a connection was held by one upload (limits.work_bytes)");
    }
}

/// True if a connection was refused because the server, or a proxy before it, has too many.
pub(super) fn is_full(error: &str) -> bool {
    ["too many", "connection slots", "no more connections"].iter().any(|words| error.contains(words))
}

/// A job whose connection is gone has no error that counts.
fn lasting(error: StoreError) -> StoreError {
    match error {
        StoreError::RolledBack => StoreError::Unavailable("the connection to the database was lost".into()),
        other => other,
    }
}
