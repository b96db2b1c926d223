//! The database's epoch, and how a restored backup is told from the database that went on.
//!
//! A cursor is worth something only in the epoch that it was given in: after a backup is restored, versions are taken
//! again by other changes. So every database has an epoch, and beside the file (`<database>.life`) stands what the
//! daemon last knew of it: a mark that is renewed at each start and stop, and the sum of all versions, which only
//! grows. A database that has another mark, or has gone back, is not the one that was left here: it gets a new epoch.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use diesel::sql_types::{BigInt, Text};
use diesel::{RunQueryDsl, SqliteConnection};
use rand::distr::{Alphanumeric, SampleString};
use serde::{Deserialize, Serialize};

use super::ground::{beside, folder_of};
use crate::private;
use crate::store::StoreError;
use crate::store::statement::statement;

/// Letters of an epoch.
const EPOCH_LENGTH: usize = 8;
/// Letters of a mark.
const MARK_LENGTH: usize = 16;

/// The time between two notes of the versions of a database that is being written.
const KEEP: Duration = Duration::from_secs(1);

/// The key of the mark that the database was taken elsewhere.
const SEALED: &str = "sealed";

/// The epoch file's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    mark: String,
    /// The mark before, while the database may still have that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<String>,
    /// The sum of all scopes' versions when the note was written.
    height: i64,
}

/// The epoch that this process works in, with its note.
#[derive(Debug)]
pub(super) struct Life {
    epoch: String,
    note: Note,
    /// The time at which the note was last written.
    kept: Instant,
    /// The path of the epoch file; none for a visitor, which leaves none.
    beside: Option<PathBuf>,
}

/// The epoch file as it was found.
enum Left {
    Nothing,
    Torn,
    Note(Note),
}

/// The relation between the database and its epoch file.
enum Course {
    /// The database is the one that was left here.
    GoesOn,
    /// The database was never served.
    Begins,
    /// The database is another one, or has gone back; says how that shows.
    Anew(String),
}

impl Life {
    /// Continues the database's epoch, or begins a new one and logs that.
    pub(super) fn resume(connection: &mut SqliteConnection, database: &Path) -> Result<Self, StoreError> {
        let beside = beside(database, ".life");
        let left = left(&beside)?;
        let height = height(connection)?;
        let (known, mark) = (get(connection, "epoch")?, get(connection, "mark")?);
        let epoch = match (course(&left, known.as_deref(), mark.as_deref(), height), known) {
            (Course::GoesOn, Some(epoch)) => epoch,
            (Course::Anew(reason), before) => {
                let epoch = random(EPOCH_LENGTH);
                tracing::warn!(
                    before, epoch, reason, versions = height, path = %database.display(),
                    "the database begins a new epoch: every device drops its copy and starts over"
                );
                epoch
            }
            (Course::Begins | Course::GoesOn, known) => known.unwrap_or_else(|| random(EPOCH_LENGTH)),
        };
        set(connection, "epoch", &epoch)?;
        let note = Note { mark: String::new(), before: None, height };
        let mut life = Self { epoch, note, kept: Instant::now(), beside: Some(beside) };
        life.mark(connection)?;
        Ok(life)
    }

    /// Takes the epoch as it is, beside a daemon that may be running.
    pub(super) fn visit(connection: &mut SqliteConnection) -> Result<Self, StoreError> {
        let epoch = match get(connection, "epoch")? {
            Some(epoch) => epoch,
            None => {
                let epoch = random(EPOCH_LENGTH);
                set(connection, "epoch", &epoch)?;
                epoch
            }
        };
        let note = Note { mark: String::new(), before: None, height: 0 };
        Ok(Self { epoch, note, kept: Instant::now(), beside: None })
    }

    pub(super) fn epoch(&self) -> &str {
        &self.epoch
    }

    /// Notes how far the database has come, now and then, when it has.
    pub(super) fn keep(&mut self, connection: &mut SqliteConnection) {
        if self.beside.is_some()
            && self.kept.elapsed() >= KEEP
            && let Ok(height) = height(connection)
            && height > self.note.height
        {
            self.note.height = height;
            self.write();
        }
    }

    /// Makes sure that something is left where the database was, so that the next start begins no empty one in its place.
    pub(super) fn leave_trace(&mut self) {
        let Some(beside) = &self.beside else { return };
        if beside.exists() {
            return;
        }
        // Without the folder the note can't be written either, which is told then.
        let _ = fs::create_dir_all(folder_of(beside));
        self.write();
    }

    /// Leaves the database so that an older copy of it, put in its place, is recognised.
    pub(super) fn end(&mut self, connection: &mut SqliteConnection) {
        if self.beside.is_some()
            && let Err(error) = self.mark(connection)
        {
            tracing::warn!(%error, "the database's epoch file could not be written");
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

    /// Written beside its place and then put there, so that it is never half a note, and on the disk before anything builds
    /// on it.
    fn write(&mut self) {
        self.kept = Instant::now();
        let Some(beside) = &self.beside else { return };
        let temporary = beside.with_extension("life.new");
        let written = serde_json::to_vec(&self.note).map_err(std::io::Error::other).and_then(|bytes| {
            let mut file = private::create(&temporary)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&temporary, beside)?;
            fs::File::open(folder_of(beside))?.sync_all()
        });
        if let Err(error) = written {
            tracing::warn!(%error, path = %beside.display(), "the database's epoch file could not be written");
        }
    }
}

/// Reads what is beside the database. What can't be read for another reason than that it is not there, or no note, is no
/// reason for a new epoch.
fn left(beside: &Path) -> Result<Left, StoreError> {
    match fs::read(beside) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).map_or(Left::Torn, Left::Note)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Left::Nothing),
        Err(error) => Err(StoreError::Unavailable(format!("can't read {}: {error}", beside.display()))),
    }
}

fn course(left: &Left, epoch: Option<&str>, mark: Option<&str>, height: i64) -> Course {
    let Some(mark) = mark else {
        return match left {
            Left::Nothing => Course::Begins,
            Left::Torn | Left::Note(_) => Course::Anew("its epoch file is of another database".into()),
        };
    };
    match left {
        // A database of ours without its note was brought here alone, as a backup is.
        Left::Nothing => Course::Anew("its epoch file is missing, as beside a backup that was put here".into()),
        Left::Torn => Course::Anew("its epoch file can't be understood".into()),
        Left::Note(note) if note.mark != mark && note.before.as_deref() != Some(mark) => {
            Course::Anew("it is not the database that was left here, but another or an older copy".into())
        }
        Left::Note(note) if note.height > height => {
            Course::Anew(format!("it has gone back: its epoch file knows {} versions", note.height))
        }
        Left::Note(_) if epoch.is_none() => Course::Anew("its epoch was taken away, as after a restored backup".into()),
        Left::Note(_) => Course::GoesOn,
    }
}

/// True if the database was taken elsewhere as a whole.
pub(super) fn is_sealed(connection: &mut SqliteConnection) -> Result<bool, StoreError> {
    Ok(get(connection, SEALED)?.is_some())
}

/// Seals the database, which is not opened any more from then on.
pub(super) fn seal(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    set(connection, SEALED, "yes")
}

/// Takes the seal off, and begins a new epoch.
pub(super) fn unseal(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    forget(connection, SEALED)?;
    set(connection, "epoch", &random(EPOCH_LENGTH))
}

/// Makes an epoch that came from elsewhere this database's own, or begins a new one. The caller commits.
pub(super) fn begin(connection: &mut SqliteConnection, database: &Path, epoch: Option<&str>) -> Result<(), StoreError> {
    let fresh = random(EPOCH_LENGTH);
    set(connection, "epoch", epoch.unwrap_or(&fresh))?;
    forget(connection, SEALED)?;
    forget(connection, "mark")?;
    // Before the commit: a crash in between costs the old database its epoch, and not the new one.
    let note = beside(database, ".life");
    match fs::remove_file(&note) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(StoreError::Unavailable(format!("can't remove {}: {error}", note.display())))
        }
        _ => Ok(()),
    }
}

pub(super) fn forget(connection: &mut SqliteConnection, key: &str) -> Result<(), StoreError> {
    statement::<()>("DELETE FROM sync_meta WHERE key = ?1").text(key).execute(connection)?;
    Ok(())
}

/// The sum of all versions, which the database keeps.
pub(super) fn height(connection: &mut SqliteConnection) -> Result<i64, StoreError> {
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
