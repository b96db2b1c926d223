//! Files in and out: `ryzed import`, `ryzed export`, and the catalogue that a new database starts with.
//!
//! Rows of one owner go the way of a device's: through [`Service::push`], a bounded batch at a time, with all of its checks.
//! Opening the database is not done here, nor is the command line put together: [`ImportArgs`] and [`ExportArgs`] say what
//! the two commands take, [`import()`] and [`export()`] do it.

mod args;
mod csv_rows;
mod export;
#[cfg(test)]
mod fuzz_tests;
mod gpx;
mod lines;
mod load;
mod ndjson;
mod owner;
mod progress;
mod sieve;
mod source;
mod sphere;
pub mod starter;
mod track;
mod whole;

use std::fmt;
use std::io::{self, Write};
use std::ops::AddAssign;
use std::path::PathBuf;
use std::sync::Arc;

use ryzed_adapters::FieldError;
use serde::{Deserialize, Serialize};

use crate::service::{Service, ServiceError};
use crate::store::StoreError;
use csv_rows::CsvRows;
use load::Loader;
use ndjson::NdjsonRows;
use owner::Owner;
use progress::Reading;
use source::{Incoming, Input};

pub use args::{ExportArgs, Format, ImportArgs, a_uuid};
pub use export::export;
pub use whole::{export_all, import_all};

/// A failure that ended a transfer early. What was written until then stays; a second run goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The command asks for something that can't be done.
    #[error("{0}")]
    Usage(String),
    /// A file can't be read or written.
    #[error("{path}: {error}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// The file as a whole is not what it should be.
    #[error("{0}")]
    Content(String),
    /// The database as a whole could not be written or read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The rows could not be written or read.
    #[error(transparent)]
    Service(#[from] ServiceError),
}

impl TransferError {
    /// The exit code of the process: 2 for wrong use, else 1.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Store(error) if error.is_for_people() => 2,
            _ => 1,
        }
    }
}

/// The results of the rows of a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// Rows in the file.
    pub read: u64,
    /// Rows that are new or were changed.
    pub written: u64,
    /// Rows that were already stored as they are in the file.
    pub unchanged: u64,
    /// Rows that were not taken.
    pub refused: u64,
}

impl Summary {
    /// The exit code of the process: 1 when rows were refused.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        u8::from(self.refused > 0)
    }
}

impl AddAssign for Summary {
    fn add_assign(&mut self, other: Self) {
        self.read += other.read;
        self.written += other.written;
        self.unchanged += other.unchanged;
        self.refused += other.refused;
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { read, written, unchanged, refused } = self;
        write!(f, "{read} rows read: {written} written, {unchanged} unchanged, {refused} refused")
    }
}

/// The place of a row in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum FilePlace {
    /// A line, from 1.
    Line(u64),
    /// A track as a whole, from 1.
    Track(u64),
}

impl fmt::Display for FilePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(number) => write!(f, "line {number}"),
            Self::Track(number) => write!(f, "track {number}"),
        }
    }
}

/// A row that was not taken, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    place: FilePlace,
    errors: Vec<FieldError>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: refused", self.place)?;
        for (index, error) in self.errors.iter().enumerate() {
            let separator = if index == 0 { ": " } else { "; " };
            match error.field.as_str() {
                "" => write!(f, "{separator}{}", error.message)?,
                field => write!(f, "{separator}{field}: {}", error.message)?,
            }
        }
        Ok(())
    }
}

/// Hears of what happens during an import.
pub(crate) trait Watch: Send {
    /// A row was not taken.
    fn refused(&mut self, refusal: &Refusal);
    /// Rows were dealt with.
    fn moved(&mut self, summary: &Summary);
}

/// Does what `ryzed import` was asked for; returns the exit code of the process. Refused rows and progress go to stderr,
/// the summary to stdout.
///
/// # Errors
/// When it could not be done to its end; a row that is refused is no error.
pub async fn import(service: &Service, args: &ImportArgs) -> Result<u8, TransferError> {
    let format = args.format()?;
    let owner = args.owner(&service.registry, format)?;
    let input = Input::open(&args.file)?;
    let mut progress = Reading::new(&input);
    if let Owner::User(_) = owner {
        service.create_user(&owner.caller()).await?;
    }
    let outcome = match format {
        Format::Gpx => {
            let read = track::read(input)?;
            track::load(service, owner, read, args.activity.as_deref(), &mut progress).await
        }
        Format::Csv | Format::Ndjson => {
            let (rows, left_out) = rows(service, args, format, input)?;
            Loader::new(service, owner, &mut progress).load(rows).await.map(|summary| (summary, left_out))
        }
    };
    drop(progress);
    let (summary, note) = outcome?;
    // Nobody has to read it.
    let _ = writeln!(io::stdout(), "{}", format!("{summary}\n{note}").trim_end());
    Ok(summary.exit_code())
}

type Rows = Box<dyn Iterator<Item = Result<Incoming, TransferError>> + Send>;

/// The rows of a file of lines, and what of it is left out.
fn rows(service: &Service, args: &ImportArgs, format: Format, input: Input) -> Result<(Rows, String), TransferError> {
    let registry = Arc::clone(&service.registry);
    let table = args.table(&registry)?;
    match (format, table) {
        (Format::Csv, Some(table)) => {
            let rows = CsvRows::new(input, table, args.delimiter()?)?;
            let left_out = rows.left_out();
            Ok((Box::new(rows), left_out))
        }
        (Format::Csv, None) => {
            Err(TransferError::Usage("a CSV file needs to be told its table: --table <TABLE>".into()))
        }
        (_, table) => Ok((Box::new(NdjsonRows::new(input, table.map(|table| table.name))), String::new())),
    }
}

#[cfg(test)]
mod tests;
