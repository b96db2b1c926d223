//! Moves what was written from the log (WAL) into the database file, on a thread of its own.
//!
//! SQLite would do so inside a commit, and the commit would wait for it. Done here, `PASSIVE`, nobody
//! waits; only when this thread falls far behind does the writer do it after all, so that the log stays bounded.

use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use diesel::SqliteConnection;
use diesel::connection::SimpleConnection;

use super::connect;
use super::ground::Ground;
use crate::store::StoreError;

/// How often the log is looked at.
const EVERY: Duration = Duration::from_millis(500);
/// The log's length, in pages of 4 KiB, from which on the writer itself moves it.
pub(super) const WRITER_HELPS: u32 = 16_384;

/// The thread; ends with [`Checkpoints::close`] or when this is dropped.
pub(super) struct Checkpoints {
    running: Mutex<Option<(Sender<()>, thread::JoinHandle<()>)>>,
}

impl Checkpoints {
    pub(super) fn start(path: &Path, ground: Arc<Ground>) -> Result<Self, StoreError> {
        let mut connection = connect(path, true)?;
        let (alive, end) = channel::<()>();
        let thread = thread::Builder::new()
            .name("sqlite-checkpoints".into())
            .spawn(move || {
                while end.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                    checkpoint(&mut connection, &ground);
                }
            })
            .map_err(|error| StoreError::Failed(format!("can't start the checkpoints: {error}")))?;
        Ok(Self { running: Mutex::new(Some((alive, thread))) })
    }

    pub(super) async fn close(&self) {
        let running = self.running.lock().ok().and_then(|mut running| running.take());
        if let Some((alive, thread)) = running {
            drop(alive);
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

fn checkpoint(connection: &mut SqliteConnection, ground: &Ground) {
    if let Err(error) = connection.batch_execute("PRAGMA wal_checkpoint(PASSIVE)").map_err(StoreError::from) {
        tracing::debug!(%error, "the log was not moved; the next round will");
        ground.refused(&error);
    }
}
