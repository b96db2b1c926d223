//! The connections that read. Each job gets one for itself and sees one snapshot.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use diesel::SqliteConnection;
use diesel::connection::SimpleConnection;
use tokio::sync::Semaphore;

use super::transaction::SqliteTransaction;
use super::{Asked, Schema, connect, finish};
use crate::metrics::PoolUse;
use crate::store::StoreError;

/// A bounded pool; callers wait for their turn.
pub(super) struct Readers {
    free: Arc<Mutex<Vec<SqliteConnection>>>,
    turns: Arc<Semaphore>,
    count: usize,
    schema: Arc<Schema>,
    /// A connection that only checks the database, so that long reads are not in its way.
    probe: Arc<Mutex<Option<SqliteConnection>>>,
}

impl Readers {
    pub(super) fn open(path: &Path, count: usize, schema: &Arc<Schema>) -> Result<Self, StoreError> {
        let reader = || -> Result<SqliteConnection, StoreError> {
            let mut connection = connect(path, false)?;
            connection.batch_execute("PRAGMA query_only = ON")?;
            Ok(connection)
        };
        let free = (0..count).map(|_| reader()).collect::<Result<Vec<_>, _>>()?;
        let probe = Arc::new(Mutex::new(Some(reader()?)));
        Ok(Self {
            free: Arc::new(Mutex::new(free)),
            turns: Arc::new(Semaphore::new(count)),
            count,
            schema: Arc::clone(schema),
            probe,
        })
    }

    /// Reads a little from the database.
    pub(super) async fn ask(&self) -> Result<(), StoreError> {
        let probe = Arc::clone(&self.probe);
        let asked = tokio::task::spawn_blocking(move || {
            let mut probe = probe.lock().unwrap_or_else(PoisonError::into_inner);
            let connection = probe.as_mut().ok_or_else(|| StoreError::Unavailable("the database is closed".into()))?;
            Ok(connection.batch_execute("SELECT 1 FROM sync_meta LIMIT 1")?)
        });
        asked.await.unwrap_or_else(|error| Err(StoreError::Failed(format!("a reader failed: {error}"))))
    }

    /// Waits for those who read, and lets nobody else in.
    pub(super) async fn close(&self) {
        let all = u32::try_from(self.count).unwrap_or(u32::MAX);
        let _everybody_is_out = self.turns.acquire_many(all).await;
        self.turns.close();
        self.free.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.probe.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    pub(super) fn used(&self) -> PoolUse {
        PoolUse { busy: self.count.saturating_sub(self.turns.available_permits()), most: self.count }
    }

    pub(super) async fn run(&self, asked: Asked) -> Result<(), StoreError> {
        let turn = Arc::clone(&self.turns)
            .acquire_owned()
            .await
            .map_err(|_| StoreError::Unavailable("the database is closed".into()))?;
        let free = Arc::clone(&self.free);
        let schema = Arc::clone(&self.schema);
        let read = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let taken = free.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut connection = taken.ok_or_else(|| StoreError::Failed("more turns than readers".into()))?;
            let outcome = snapshot(&mut connection, &schema, &asked);
            free.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            outcome
        });
        read.await.unwrap_or_else(|error| Err(StoreError::Failed(format!("a reader failed: {error}"))))
    }
}

fn snapshot(connection: &mut SqliteConnection, schema: &Arc<Schema>, asked: &Asked) -> Result<(), StoreError> {
    connection.batch_execute("BEGIN")?;
    let mut transaction = SqliteTransaction::new(&mut *connection, schema);
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| finish(asked, &mut transaction)));
    connection.batch_execute("COMMIT")?;
    caught.unwrap_or_else(|_| Err(StoreError::Failed("a job panicked".into())))
}
