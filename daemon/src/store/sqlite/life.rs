//! The database's life, and how a restored backup is told from the database that went on.
//!
//! A cursor is worth something only in the life that it was given in: after a backup is restored, versions are
//! taken again by other changes. So every database has an epoch, and beside the file (`<database>.life`) stands what the
//! daemon last knew of it: a mark that is renewed at each start and stop, and the sum of all versions, which only grows. A
//! database that has another mark, or has gone back, is not the one that was left here: it gets a new epoch.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use diesel::sql_types::{BigInt, Text};
use diesel::{RunQueryDsl, SqliteConnection};
use rand::distr::{Alphanumeric, SampleString};
use serde::{Deserialize, Serialize};

use crate::private;
use crate::store::StoreError;
use crate::store::statement::statement;

/// Letters of an epoch.
const EPOCH_LENGTH: usize = 8;
/// Letters of a mark.
const MARK_LENGTH: usize = 16;

/// The key under which it stands that the database was taken elsewhere.
const SEALED: &str = "sealed";

/// What is noted beside the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    mark: String,
    /// The mark before, while the database may still have that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<String>,
    /// The sum of all scopes' versions when the note was written.
    height: i64,
}

/// The life that this process takes part in.
#[derive(Debug)]
pub(super) struct Life {
    epoch: String,
    note: Note,
    /// Where the note is; none for a visitor, who leaves none.
    beside: Option<PathBuf>,
}

impl Life {
    /// Goes on with the database's life, or begins a new one.
    pub(super) fn resume(connection: &mut SqliteConnection, database: &Path) -> Result<Self, StoreError> {
        let beside = beside(database);
        let left: Option<Note> = fs::read(&beside).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let height = height(connection)?;
        let known = get(connection, "epoch")?;
        let goes_on = match (&left, get(connection, "mark")?) {
            (Some(left), Some(mark)) => {
                (left.mark == mark || left.before.as_ref() == Some(&mark)) && left.height <= height
            }
            // A database of ours without its note was brought here alone, as a backup is.
            (None, Some(_)) | (Some(_), None) => false,
            (None, None) => true,
        };
        let epoch = match known {
            Some(epoch) if goes_on => epoch,
            _ => random(EPOCH_LENGTH),
        };
        set(connection, "epoch", &epoch)?;
        let mut life = Self { epoch, note: Note { mark: String::new(), before: None, height }, beside: Some(beside) };
        life.mark(connection)?;
        Ok(life)
    }

    /// Takes the life as it is, beside a daemon that may be running.
    pub(super) fn visit(connection: &mut SqliteConnection) -> Result<Self, StoreError> {
        let epoch = match get(connection, "epoch")? {
            Some(epoch) => epoch,
            None => {
                let epoch = random(EPOCH_LENGTH);
                set(connection, "epoch", &epoch)?;
                epoch
            }
        };
        Ok(Self { epoch, note: Note { mark: String::new(), before: None, height: 0 }, beside: None })
    }

    pub(super) fn epoch(&self) -> &str {
        &self.epoch
    }

    /// Notes how far the database has come, when it has.
    pub(super) fn keep(&mut self, connection: &mut SqliteConnection) {
        if self.beside.is_some()
            && let Ok(height) = height(connection)
            && height > self.note.height
        {
            self.note.height = height;
            self.write();
        }
    }

    /// Leaves the database so that an older copy of it, put in its place, is recognised.
    pub(super) fn end(&mut self, connection: &mut SqliteConnection) {
        if self.beside.is_some()
            && let Err(error) = self.mark(connection)
        {
            tracing::warn!(%error, "the database's life could not be noted");
        }
    }

    fn mark(&mut self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        let mark = random(MARK_LENGTH);
        // Whenever the process dies in here, the database has one of the two marks in the note.
        self.note = Note { mark: mark.clone(), before: get(connection, "mark")?, height: height(connection)? };
        self.write();
        set(connection, "mark", &mark)?;
        self.note.before = None;
        self.write();
        Ok(())
    }

    fn write(&self) {
        let Some(beside) = &self.beside else { return };
        let temporary = beside.with_extension("life.new");
        let written = serde_json::to_vec(&self.note).map_err(std::io::Error::other).and_then(|bytes| {
            let mut file = private::create(&temporary)?;
            file.write_all(&bytes)?;
            fs::rename(&temporary, beside)
        });
        if let Err(error) = written {
            tracing::warn!(%error, path = %beside.display(), "the database's life could not be noted");
        }
    }
}

/// Whether the database was taken elsewhere as a whole.
pub(super) fn is_sealed(connection: &mut SqliteConnection) -> Result<bool, StoreError> {
    Ok(get(connection, SEALED)?.is_some())
}

/// From here on the database is not opened any more.
pub(super) fn seal(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    set(connection, SEALED, "yes")
}

/// Takes the seal off, and begins a new life.
pub(super) fn unseal(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    forget(connection, SEALED)?;
    set(connection, "epoch", &random(EPOCH_LENGTH))
}

/// Makes an epoch that came from elsewhere this database's own, or begins a new life. The caller commits.
pub(super) fn begin(connection: &mut SqliteConnection, database: &Path, epoch: Option<&str>) -> Result<(), StoreError> {
    let fresh = random(EPOCH_LENGTH);
    set(connection, "epoch", epoch.unwrap_or(&fresh))?;
    forget(connection, SEALED)?;
    forget(connection, "mark")?;
    // Before the commit: whoever dies in between costs the old database its life, and not the new one.
    match fs::remove_file(beside(database)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(StoreError::Unavailable(format!("can't remove {}: {error}", beside(database).display())))
        }
        _ => Ok(()),
    }
}

pub(super) fn forget(connection: &mut SqliteConnection, key: &str) -> Result<(), StoreError> {
    statement::<()>("DELETE FROM sync_meta WHERE key = ?1").text(key).execute(connection)?;
    Ok(())
}

fn beside(database: &Path) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(".life");
    name.into()
}

/// The sum of all versions, which the database keeps.
fn height(connection: &mut SqliteConnection) -> Result<i64, StoreError> {
    let kept = "SELECT count FROM sync_counts WHERE kind = 'versions' AND whose = ''";
    let sum: Vec<i64> = statement::<BigInt>(kept).load(connection)?;
    Ok(sum.first().copied().unwrap_or(0))
}

pub(super) fn get(connection: &mut SqliteConnection, key: &str) -> Result<Option<String>, StoreError> {
    let value: Vec<String> =
        statement::<Text>("SELECT value FROM sync_meta WHERE key = ?1").text(key).load(connection)?;
    Ok(value.into_iter().next())
}

pub(super) fn set(connection: &mut SqliteConnection, key: &str, value: &str) -> Result<(), StoreError> {
    statement::<()>("INSERT INTO sync_meta VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value")
        .text(key)
        .text(value)
        .execute(connection)?;
    Ok(())
}

fn random(length: usize) -> String {
    Alphanumeric.sample_string(&mut rand::rng(), length).to_ascii_lowercase()
}
