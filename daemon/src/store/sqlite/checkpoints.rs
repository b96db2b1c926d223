//! Moves what was written from the log (WAL) into the database file, on a thread of its own.
//!
//! SQLite would do so inside a commit, and the commit would wait for it. Done here, `PASSIVE`, nobody
//! waits; only when this thread falls far behind does the writer do it after all.
//!
//! The log begins anew only at a moment when nobody reads from it. With readers all the time, as during many downloads
//! at once, that moment never comes by itself. So it is made: for a short time all writers wait.

use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::sql_types::Integer;
use diesel::{RunQueryDsl, SqliteConnection};

use super::connect;
use super::ground::Ground;
use crate::store::StoreError;
use crate::store::statement::statement;

/// The time between two looks at the log.
const EVERY: Duration = Duration::from_millis(500);
/// The log's length, in pages of 4 KiB, from which on the writer itself moves it.
pub(super) const WRITER_HELPS: u32 = 16_384;

/// The log's length, in pages of 4 KiB, from which on it is made to begin anew: 256 MiB.
const TOO_LONG: i32 = 65_536;
/// The size to which the log's file is cut when it begins anew, in bytes.
pub(super) const LOG_KEPT: u32 = 64 << 20;
/// The time to wait for readers then; writers wait as long.
const MOMENT: &str = "PRAGMA busy_timeout = 200";

/// The thread; ends with [`Checkpoints::close`] or when this is dropped.
pub(super) struct Checkpoints {
    running: Mutex<Option<(Sender<()>, thread::JoinHandle<()>)>>,
}

impl Checkpoints {
    pub(super) fn start(path: &Path, ground: Arc<Ground>) -> Result<Self, StoreError> {
        let mut connection = connect(path, true)?;
        connection.batch_execute(MOMENT)?;
        let (alive, end) = channel::<()>();
        let thread = thread::Builder::new()
            .name("sqlite-checkpoints".into())
            .spawn(move || {
                while end.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                    checkpoint(&mut connection, &ground, TOO_LONG);
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

/// Moves what it can, and makes a log of more than `too_long` pages begin anew.
fn checkpoint(connection: &mut SqliteConnection, ground: &Ground, too_long: i32) {
    /// Busy or not, the length of the log, the pages moved.
    type Moved = (Integer, Integer, Integer);
    let moved = statement::<Moved>("PRAGMA wal_checkpoint(PASSIVE)").load::<(i32, i32, i32)>(connection);
    let anew = moved.and_then(|moved| match moved.first() {
        Some((_, length, _)) if *length > too_long => connection.batch_execute("PRAGMA wal_checkpoint(RESTART)"),
        _ => Ok(()),
    });
    if let Err(error) = anew.map_err(StoreError::from) {
        tracing::debug!(%error, "the log was not moved; the next round will");
        ground.refused(&error);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// Pages.
    const LONG: i32 = 200;

    #[test]
    fn the_log_is_bounded_though_there_is_always_somebody_who_reads() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("some.db");
        let (mut writer, mut moving) = (connect(&path, false).unwrap(), connect(&path, false).unwrap());
        moving.batch_execute(MOMENT).unwrap();
        writer.batch_execute("CREATE TABLE t (x BLOB)").unwrap();
        let ends = Arc::new(AtomicBool::new(false));
        let ground = Ground::of(&path).unwrap();
        let readers = (1..=3).map(|nth| {
            let (mut reader, ends) = (connect(&path, false).unwrap(), Arc::clone(&ends));
            thread::spawn(move || {
                while !ends.load(Ordering::Relaxed) {
                    reader.batch_execute("BEGIN; SELECT count(*) FROM t").unwrap();
                    // So long one reads, and never do all end together.
                    thread::sleep(Duration::from_millis(7 * nth));
                    reader.batch_execute("COMMIT").unwrap();
                }
            })
        });
        let readers: Vec<_> = readers.collect();
        for _ in 0..100 {
            writer.batch_execute("INSERT INTO t VALUES (zeroblob(100000)); DELETE FROM t").unwrap();
            checkpoint(&mut moving, &ground, LONG);
        }
        ends.store(true, Ordering::Relaxed);
        readers.into_iter().for_each(|reader| reader.join().unwrap());
        let log = folder.path().join("some.db-wal").metadata().unwrap().len();
        assert!(log < 3 * 4096 * LONG as u64, "{log} bytes");
    }
}
