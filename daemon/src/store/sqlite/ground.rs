//! The files of the database and the disk below them. An error of theirs reaches the operator by its name, and the
//! health checks. A file that is removed or replaced while it is open is noticed before anything more is acknowledged:
//! data written into it then is lost with the last process that has it open.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use diesel::sql_types::{BigInt, Text};
use diesel::{RunQueryDsl, SqliteConnection};
use tokio::sync::watch;

use super::connect;
use crate::store::outage::Outage;
use crate::store::statement::statement;
use crate::store::{Mode, StoreError};

/// With less than this left, in bytes, what SQLite calls an error of the disk is a disk that is full.
const FULL: u64 = 64 << 10;
/// The first bytes of every database.
const HEADER: &[u8] = b"SQLite format 3\0";

/// SQLite's messages about its files and disk, with ours.
const FAULTS: [(&str, &str); 6] = [
    ("database or disk is full", IS_FULL),
    ("disk I/O error", "the disk of the database can't be read or written"),
    ("attempt to write a readonly database", "the database can only be read"),
    ("unable to open database file", "a file of the database can't be opened"),
    ("database disk image is malformed", IS_DAMAGED),
    ("file is not a database", IS_DAMAGED),
];
const IS_FULL: &str = "the disk of the database is full";
const IS_DAMAGED: &str = "the database is damaged";
const IS_GONE: &str = "the database's file was taken away or replaced";

/// True if SQLite's message is about its files or disk.
pub(super) fn is_fault(message: &str) -> bool {
    FAULTS.iter().any(|(phrase, _)| *phrase == message)
}

/// The files of an open database, and what is known of the disk below them.
#[derive(Debug)]
pub(super) struct Ground {
    path: PathBuf,
    /// The files as they were opened: each with what the system tells it by.
    files: Vec<(PathBuf, Identity)>,
    outage: Outage,
    gone: watch::Sender<Option<String>>,
}

/// Device and inode.
type Identity = (u64, u64);

impl Ground {
    /// The files of the database at `path`, which is open and was written to.
    pub(super) fn of(path: &Path) -> Result<Self, StoreError> {
        let mut files = Vec::new();
        // Its index of the log goes with the log.
        let real = real(path);
        for name in [path.to_owned(), beside(&real, "-wal"), beside(&real, "-shm")] {
            let identity = identity(&name)
                .map_err(|error| StoreError::Unavailable(format!("can't look at {}: {error}", name.display())))?;
            files.push((name, identity));
        }
        Ok(Self { path: path.to_owned(), files, outage: Outage::default(), gone: watch::Sender::new(None) })
    }

    /// Makes sure that the files are those that were opened. Costs a look at each of their names.
    ///
    /// # Errors
    /// When they are not, or that can't be told; nothing that was committed may be acknowledged then.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        for (path, opened) in &self.files {
            let found = match identity(path) {
                Ok(found) if found == *opened => continue,
                Ok(_) => "is another file now than the one that was opened",
                Err(error) if error.kind() == io::ErrorKind::NotFound => "was taken away",
                Err(error) => {
                    return Err(StoreError::Unavailable(format!("can't look at {}: {error}", path.display())));
                }
            };
            let what = format!("{} {found}", path.display());
            self.lose(&what);
            return Err(StoreError::Unavailable(what));
        }
        Ok(())
    }

    /// True if the files were removed or replaced.
    pub(super) fn is_gone(&self) -> bool {
        self.gone.borrow().is_some()
    }

    /// Resolves, with the reason, once the files were removed or replaced.
    pub(super) async fn gone(&self) -> String {
        let mut gone = self.gone.subscribe();
        let said = gone.wait_for(Option::is_some).await.ok().and_then(|gone| gone.clone());
        said.unwrap_or_default()
    }

    /// Notes that a caller was served.
    pub(super) fn worked(&self, mode: Mode) {
        // A little may still find room where the next upload does not.
        if self.is_gone() || (mode == Mode::Write && self.is_still_full()) {
            return;
        }
        self.outage.worked(mode);
    }

    /// True if the disk was full and still has too little room.
    fn is_still_full(&self) -> bool {
        let is_full = self.outage.storage_fault() == Some(IS_FULL) && self.free().is_some_and(|free| free < FULL);
        if is_full {
            self.outage.lasts();
        }
        is_full
    }

    /// Notes that a caller was not served; counts only passing failures.
    pub(super) fn refused(&self, error: &StoreError) {
        let StoreError::Unavailable(message) = error else { return };
        let free = self.free();
        let fault = FAULTS.iter().find(|(phrase, _)| phrase == message).map(|(_, words)| *words);
        let fault = match (fault, free) {
            (Some(_), Some(free)) if free < FULL => Some(IS_FULL),
            (None, _) if self.is_gone() => Some(IS_GONE),
            (fault, _) => fault,
        };
        let free = free.map_or(String::new(), |free| format!(", {free} bytes free"));
        self.outage.failed(&format!("{message} ({}{free})", self.path.display()), fault);
    }

    /// The reason why the database can't be written, as far as that is known.
    pub(super) fn fault(&self) -> Option<&'static str> {
        if self.is_gone() { Some(IS_GONE) } else { self.outage.storage_fault() }
    }

    fn lose(&self, what: &str) {
        let is_news = self.gone.send_if_modified(|gone| {
            let is_news = gone.is_none();
            gone.get_or_insert_with(|| what.to_owned());
            is_news
        });
        if is_news {
            tracing::error!("{what}: nothing more is acknowledged, and the daemon ends");
        }
    }

    /// True if the database's own file is another now, not only a file beside it.
    pub(super) fn is_replaced(&self) -> bool {
        self.files.first().is_some_and(|(path, opened)| identity(path).ok() != Some(*opened))
    }

    fn free(&self) -> Option<u64> {
        let disk = rustix::fs::statvfs(folder_of(&self.path)).ok()?;
        Some(disk.f_bavail.saturating_mul(disk.f_frsize))
    }
}

/// True if `path` holds a database of ours, with the daemon's tables.
///
/// # Errors
/// When what is there can't be read.
pub fn is_begun(path: &Path) -> Result<bool, StoreError> {
    looked_at(path).map_err(|error| judged(path, error))
}

fn looked_at(path: &Path) -> Result<bool, StoreError> {
    let failed = |error: io::Error| StoreError::Unavailable(format!("can't read {}: {error}", path.display()));
    let mut start = Vec::new();
    match fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(failed(error)),
        Ok(file) => file.take(HEADER.len() as u64).read_to_end(&mut start).map_err(failed)?,
    };
    // An empty file is what SQLite begins with; opening it would throw away the log that lies beside it.
    if start.is_empty() {
        return Ok(false);
    }
    if start != HEADER {
        return Err(damaged(path, "it does not begin as a database does"));
    }
    let mut connection = connect(path, true)?;
    let ours: Vec<String> =
        statement::<Text>("SELECT name FROM sqlite_schema WHERE name = 'sync_meta'").load(&mut connection)?;
    Ok(!ours.is_empty())
}

/// The files beside `path` that a former database has left.
#[must_use]
pub fn leftovers(path: &Path) -> Vec<PathBuf> {
    let life = beside(path, ".life");
    let log = beside(&real(path), "-wal");
    let has_log = fs::metadata(&log).is_ok_and(|log| log.len() > 0);
    [(life.exists(), life), (has_log, log)]
        .into_iter()
        .filter(|(is_there, _)| *is_there)
        .map(|(_, path)| path)
        .collect()
}

/// Puts what [`leftovers`] finds under other names, so that nothing of it is taken for a new database's. Says which.
///
/// # Errors
/// When the system refuses.
pub fn put_aside(path: &Path) -> io::Result<Vec<PathBuf>> {
    let stamp = chrono::Utc::now().format("%Y%m%dT%H%M%S");
    let mut names = Vec::new();
    for left in leftovers(path) {
        let name = beside(&left, &format!(".{stamp}"));
        fs::rename(&left, &name)?;
        names.push(name);
    }
    Ok(names)
}

/// Refuses a file that was cut off: SQLite would notice only when it comes to the missing part.
pub(super) fn must_be_whole(connection: &mut SqliteConnection, path: &Path) -> Result<(), StoreError> {
    let sizes: Vec<i64> = statement::<BigInt>("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
        .load(connection)
        .map_err(StoreError::from)?;
    let wanted = sizes.first().copied().unwrap_or(0).unsigned_abs();
    let found = fs::metadata(path).map(|file| file.len()).unwrap_or(0);
    // What is not in the file yet is in the log.
    if found > 0 && found < wanted && !beside(&real(path), "-wal").metadata().is_ok_and(|log| log.len() > 0) {
        return Err(damaged(path, &format!("it is cut off, {found} of {wanted} bytes are there")));
    }
    Ok(())
}

/// An error that comes up while a database is opened: a damaged one does not mend by being opened again.
pub(super) fn judged(path: &Path, error: StoreError) -> StoreError {
    match error {
        StoreError::Unavailable(message) if FAULTS.contains(&(message.as_str(), IS_DAMAGED)) => damaged(path, &message),
        other => other,
    }
}

fn damaged(path: &Path, how: &str) -> StoreError {
    StoreError::Unsuitable(format!(
        "the database {} is damaged: {how}. Restore a backup (docs/operating.md), or the file as it was",
        path.display()
    ))
}

fn identity(path: &Path) -> io::Result<Identity> {
    fs::metadata(path).map(|file| (file.dev(), file.ino()))
}

/// The path that SQLite uses: its log lies beside the target of a link.
fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// The folder that a file is in, also when its name says none.
pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The name with something behind it.
pub(super) fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}
