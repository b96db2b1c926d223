//! Who works on the database: a lock on a file beside it. Daemons and commands share it; who takes the database elsewhere as
//! a whole, or fills it from an archive, wants it alone. The system lets go of it however a process ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use crate::store::StoreError;

/// Held as long as the value lives.
#[derive(Debug)]
pub(super) struct Lock(#[expect(dead_code, reason = "the lock is let go of with the file")] File);

impl Lock {
    /// Together with others.
    pub(super) fn shared(database: &Path) -> Result<Self, StoreError> {
        let taken = "is just being moved as a whole by `ryzed export` or `ryzed import`; try again when that is done";
        Self::take(database, File::try_lock_shared, taken)
    }

    /// Alone.
    pub(super) fn alone(database: &Path) -> Result<Self, StoreError> {
        let taken = "is in use: stop the daemon, and any other ryzed command on it, first";
        Self::take(database, File::try_lock, taken)
    }

    fn take(database: &Path, lock: fn(&File) -> Result<(), TryLockError>, taken: &str) -> Result<Self, StoreError> {
        let beside = beside(database);
        let fail = |error: std::io::Error| StoreError::Unavailable(format!("can't lock {}: {error}", beside.display()));
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&beside).map_err(fail)?;
        match lock(&file) {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse(format!("{} {taken}", database.display()))),
            Err(TryLockError::Error(error)) => Err(fail(error)),
        }
    }
}

fn beside(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}
