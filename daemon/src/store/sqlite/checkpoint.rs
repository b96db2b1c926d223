//! The thread that moves what was committed from the write-ahead log into the database.
//!
//! Left to itself, SQLite does that inside of the commit that fills the log, and everybody who has written by then waits
//! for the disk several times. From a second connection it holds up nobody. The log begins anew with the first commit that
//! finds all of it moved.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::sql_types::BigInt;
use diesel::{RunQueryDsl, SqliteConnection};

use super::connect;
use crate::store::StoreError;
use crate::store::statement::statement;

/// How often, while something is being written.
const PAUSE: Duration = Duration::from_secs(1);
/// While commits keep coming, each turn leaves what came during it, which is less every time.
const TURNS: usize = 4;
/// A log of so many pages (64 MiB) is moved by the writer after all: the bound, should commits come too fast or the thread die.
const LONGEST_LOG: u32 = 16_384;

/// Tells the thread that there is something to do.
#[derive(Clone, Default)]
pub(super) struct Committed(Arc<AtomicBool>);

impl Committed {
    /// Something was committed.
    pub(super) fn note(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// The thread. It ends with the value.
pub(super) struct Checkpoints {
    thread: Mutex<Option<(mpsc::Sender<()>, thread::JoinHandle<()>)>>,
}

impl Checkpoints {
    /// Takes the work over from `writer`.
    pub(super) fn start(
        writer: &mut SqliteConnection,
        path: &Path,
        durable: bool,
        committed: Committed,
    ) -> Result<Self, StoreError> {
        let mut connection = connect(path, durable)?;
        let (stop, stopped) = mpsc::channel();
        let work = move || {
            while stopped.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout) {
                if committed.0.swap(false, Ordering::AcqRel)
                    && let Err(error) = checkpoint(&mut connection)
                {
                    tracing::warn!(%error, "the write-ahead log could not be moved; it is tried again");
                    committed.note();
                }
            }
        };
        let thread = thread::Builder::new()
            .name("sqlite-checkpoint".into())
            .spawn(work)
            .map_err(|error| StoreError::Failed(format!("can't start the checkpoints: {error}")))?;
        writer.batch_execute(&format!("PRAGMA wal_autocheckpoint = {LONGEST_LOG}"))?;
        Ok(Self { thread: Mutex::new(Some((stop, thread))) })
    }

    /// Ends the thread and closes its connection.
    pub(super) async fn close(&self) {
        let thread = self.thread.lock().ok().and_then(|mut thread| thread.take());
        if let Some((stop, thread)) = thread {
            drop(stop);
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}

/// Moves what there is, without waiting for readers or the writer.
fn checkpoint(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    for _ in 0..TURNS {
        let pages: Vec<(i64, i64, i64)> =
            statement::<(BigInt, BigInt, BigInt)>("PRAGMA wal_checkpoint(PASSIVE)").load(connection)?;
        if pages.first().is_none_or(|(_, log, moved)| log == moved) {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use diesel::sql_types::Integer;

    use super::*;

    fn number(connection: &mut SqliteConnection, sql: &str) -> i32 {
        statement::<Integer>(sql).load(connection).unwrap()[0]
    }

    #[test]
    fn the_log_begins_anew_and_nothing_looks_like_an_outside_write() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let mut writer = connect(&path, false).unwrap();
        writer.batch_execute("PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (a TEXT)").unwrap();
        let mut mover = connect(&path, false).unwrap();
        let seen = number(&mut writer, "PRAGMA data_version");
        let log = folder.path().join("a.db-wal");
        let mut longest = 0;
        for _ in 0..20 {
            writer.batch_execute("INSERT INTO t VALUES (hex(randomblob(20000)))").unwrap();
            checkpoint(&mut mover).unwrap();
            longest = longest.max(log.metadata().unwrap().len());
        }
        assert!(longest < 20 * 20_000, "{longest} bytes");
        assert_eq!(number(&mut writer, "PRAGMA data_version"), seen);
    }
}
