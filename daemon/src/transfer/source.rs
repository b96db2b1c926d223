//! The source of rows: a file or stdin, counted as it is read, and the rows that a reader makes of it.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ryzed_adapters::{FieldError, Row};

use super::{FilePlace, TransferError};

/// The longest row that is read, in bytes: what one message of a device may bring.
pub(super) const LONGEST_ROW: usize = 1 << 20;

/// One row of a file, or what is wrong with it.
#[derive(Debug)]
pub(super) struct Incoming {
    /// Its place in the file.
    pub place: FilePlace,
    /// Its bytes in the file.
    pub size: usize,
    /// The table's name and the row.
    pub row: Result<(String, Row), Vec<FieldError>>,
}

/// A file that is being read.
pub(super) struct Input {
    path: PathBuf,
    length: Option<u64>,
    read: Arc<AtomicU64>,
    from: Box<dyn Read + Send>,
}

impl Input {
    /// Opens a file; `-` is stdin.
    pub(super) fn open(path: &Path) -> Result<Self, TransferError> {
        if path == Path::new("-") {
            return Ok(Self::of("stdin", io::stdin()));
        }
        let fail = |source| TransferError::File { path: path.to_owned(), error: source };
        let file = File::open(path).map_err(fail)?;
        let about = file.metadata().map_err(fail)?;
        if about.is_dir() {
            return Err(fail(io::ErrorKind::IsADirectory.into()));
        }
        let length = about.is_file().then_some(about.len());
        Ok(Self { path: path.to_owned(), length, read: Arc::default(), from: Box::new(file) })
    }

    /// Reads from something that is at hand.
    pub(super) fn of(name: &str, from: impl Read + Send + 'static) -> Self {
        Self { path: name.into(), length: None, read: Arc::default(), from: Box::new(from) }
    }

    /// The file's length, where it has one.
    pub(super) fn length(&self) -> Option<u64> {
        self.length
    }

    /// The bytes that were read; goes on counting.
    pub(super) fn counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.read)
    }

    /// The file's name, for messages.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}
