//! Locks that keep daemons and commands apart. They share a lock on a file beside the database; a command that takes
//! the database elsewhere as a whole, or fills it from an archive, holds that lock alone. Only one daemon can run: it
//! locks the database's file itself, whatever its name, and so does such a command. The system releases all locks
//! however a process ends.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::private;
use crate::store::StoreError;

/// Held as long as the value lives, which has to be longer than any connection: closing a file lets go of SQLite's own locks on
/// it, whoever opened it.
#[derive(Debug)]
pub struct Lock {
    _held: Vec<File>,
}

impl Lock {
    /// A daemon's: together with commands, and no other daemon.
    pub(super) fn resident(database: &Path) -> Result<Self, StoreError> {
        let (beside, mut shared) = share(database)?;
        let itself = alone(database, "is served already")?;
        // For people, and where the system does not tell who holds a lock.
        let noted = shared.set_len(0).and_then(|()| write!(shared, "{}", std::process::id()));
        noted.map_err(|error| failed(&beside, &error))?;
        Ok(Self { _held: vec![shared, itself] })
    }

    /// A command's: together with others, and with a daemon that knows the database by the same name.
    pub(super) fn visiting(database: &Path) -> Result<Self, StoreError> {
        let (beside, shared) = share(database)?;
        let itself = private::open(database).map_err(|error| failed(database, &error))?;
        let is_taken = matches!(itself.try_lock_shared(), Err(TryLockError::WouldBlock));
        // SQLite's log lies beside the name: two names of one file are two logs.
        if is_taken && shared.try_lock().is_ok() {
            return Err(taken(database, &itself, "is in use under another name"));
        }
        match shared.try_lock_shared() {
            Ok(()) => Ok(Self { _held: vec![shared] }),
            Err(error) => Err(refused(&beside, error, moving(database))),
        }
    }

    /// Takes the lock that nobody else may share.
    pub(super) fn alone(database: &Path) -> Result<Self, StoreError> {
        let beside = beside(database);
        let file = private::open(&beside).map_err(|error| failed(&beside, &error))?;
        let in_use = "is in use: stop the daemon, and any other ryzed command on it, first";
        let in_use = StoreError::InUse(format!("{} {in_use}", database.display()));
        file.try_lock().map_err(|error| refused(&beside, error, in_use))?;
        let itself = alone(database, "is in use")?;
        Ok(Self { _held: vec![file, itself] })
    }

    /// A daemon's folder: no other daemon keeps its files there.
    ///
    /// # Errors
    /// When another one does, or the folder can't be locked.
    pub fn of_folder(folder: &Path) -> Result<Self, StoreError> {
        let file = File::open(folder).map_err(|error| failed(folder, &error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _held: vec![file] }),
            Err(error) => Err(refused(folder, error, taken(folder, &file, "is a daemon's data directory already"))),
        }
    }
}

/// Refuses a file that a daemon works on, under whatever name.
///
/// # Errors
/// When one does.
pub fn must_be_free(database: &Path) -> Result<(), StoreError> {
    let Ok(file) = File::open(database) else { return Ok(()) };
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Err(taken(database, &file, "is served already")),
        Err(TryLockError::Error(_)) | Ok(()) => Ok(()),
    }
}

/// Together with others: the file beside the database, and its place.
fn share(database: &Path) -> Result<(PathBuf, File), StoreError> {
    let beside = beside(database);
    let file = private::open(&beside).map_err(|error| failed(&beside, &error))?;
    file.try_lock_shared().map_err(|error| refused(&beside, error, moving(database)))?;
    Ok((beside, file))
}

/// The database's file, which is made when it is missing. An empty one is an empty database.
fn alone(database: &Path, what: &str) -> Result<File, StoreError> {
    let file = private::open(database).map_err(|error| failed(database, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(error) => Err(refused(database, error, taken(database, &file, what))),
    }
}

fn failed(path: &Path, error: &io::Error) -> StoreError {
    StoreError::Unavailable(format!("can't lock {}: {error}", path.display()))
}

fn refused(path: &Path, error: TryLockError, taken: StoreError) -> StoreError {
    match error {
        TryLockError::WouldBlock => taken,
        TryLockError::Error(error) => failed(path, &error),
    }
}

fn moving(database: &Path) -> StoreError {
    let moving = "is just being moved as a whole by `ryzed export` or `ryzed import`; try again when that is done";
    StoreError::InUse(format!("{} {moving}", database.display()))
}

fn taken(path: &Path, file: &File, what: &str) -> StoreError {
    let noted = || fs::read_to_string(beside(path)).ok().and_then(|text| text.trim().parse().ok());
    let by = holder(file).or_else(noted).map_or_else(|| "another process".into(), |pid: u32| format!("process {pid}"));
    StoreError::InUse(format!("{} {what}, by {by}; a SQLite database has one daemon at a time", path.display()))
}

/// The process that holds a lock on this file, as Linux lists it: `<n>: FLOCK ADVISORY WRITE <pid> <device>:<inode>
/// <from> <to>`.
fn holder(file: &File) -> Option<u32> {
    let inode = file.metadata().ok()?.ino().to_string();
    let locks = fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [_, "FLOCK", _, _, pid, place, ..] = words[..] else { return None };
        (place.rsplit(':').next() == Some(inode.as_str())).then(|| pid.parse().ok()).flatten()
    })
}

/// The file beside the database, by its real name: a link has none of its own.
fn beside(database: &Path) -> PathBuf {
    let mut name = database.canonicalize().unwrap_or_else(|_| database.to_owned()).into_os_string();
    name.push(".lock");
    name.into()
}
