//! The flags of the two commands, and what follows from them.

use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args, ValueEnum};
use ryzed_adapters::{Registry, Table, UnknownTable};
use uuid::Uuid;

use super::TransferError;
use super::owner::Owner;
use crate::sync::{Scope, UserId};

const IMPORT_EXAMPLES: &str = "\
Examples:
  ryzed import foods.csv --table foods
  ryzed import diary.ndjson --table food_entries --user 7b0c3f5e-5d0f-4c5b-9a53-3f0a6ad0a001
  ryzed import run.gpx --user 7b0c3f5e-5d0f-4c5b-9a53-3f0a6ad0a001 --activity running
  ryzed export --user 7b0c3f5e-5d0f-4c5b-9a53-3f0a6ad0a001 > me.ndjson
  ryzed import me.ndjson --user 7b0c3f5e-5d0f-4c5b-9a53-3f0a6ad0a001
  ryzed import --all everything.ndjson --database-url postgres://ryzed@localhost/ryzed

With --all the file is a whole database, made by `ryzed export --all`. It goes into an empty one on which no daemon runs, \
all of it or nothing. If it was made with --seal, devices go on where they were; else they start over.

Without it the daemon may be running: connected devices receive the rows at once. Where the file and a stored row differ, the \
file wins; where a CSV cell is empty, the column becomes null or gets its default.

A row without an `id` gets one that is made of its owner, its table and its content, so that importing the same file \
again changes nothing, and equal lines become one row.

Of a GPX file each track becomes a session, of its points that have a time. Neither the way nor the time between its \
segments counts. Points that can't have happened are left out: on no map, at 0/0, after a jump that no vehicle makes, out of \
time. What is left out is counted and named.

Exit codes: 0 every row was taken, 1 rows were refused or the import failed, 2 wrong use.";

const EXPORT_EXAMPLES: &str = "\
Examples:
  ryzed export --user 7b0c3f5e-5d0f-4c5b-9a53-3f0a6ad0a001 > me.ndjson
  ryzed export --catalogue --output catalogue.ndjson
  ryzed export --all --output everything.ndjson
  ryzed export --all --seal | ryzed import --all - --database-url postgres://ryzed@localhost/ryzed

Each line is {\"table\":…,\"row\":{…}}; `ryzed import` reads it back. A file given with --output is replaced only once \
the export is complete.

With --all it is the whole database with versions, tombstones, devices and open conflicts, for `ryzed import --all`. \
With --seal the database is taken elsewhere for good: no daemon may be running on it, and none starts on it afterwards.";

/// `ryzed import`: rows from a file.
#[derive(Debug, Clone, Default, Args)]
#[command(after_help = IMPORT_EXAMPLES)]
pub struct ImportArgs {
    /// The file: NDJSON (one row a line), CSV (the header names the columns) or a GPX track; `-` is stdin
    pub file: PathBuf,
    /// The table that the rows are for; lines made by `ryzed export` name their own
    #[arg(long, short)]
    pub table: Option<String>,
    /// The person that the rows belong to. Without it they go into the catalogue, where the table has one
    #[arg(long, short, value_name = "UUID", conflicts_with = "catalogue", value_parser = a_uuid)]
    pub user: Option<Uuid>,
    /// The rows are for the catalogue that everybody reads
    #[arg(long)]
    pub catalogue: bool,
    /// The format of the file; needed for stdin and for unusual file names
    #[arg(long, short, value_enum)]
    pub format: Option<Format>,
    /// The file is a whole database made by `ryzed export --all`, and goes into an empty one
    #[arg(long, conflicts_with_all = ["table", "user", "catalogue", "format", "delimiter", "activity"])]
    pub all: bool,
    /// The character between the cells of a CSV file [default: a comma, or a tab in a .tsv file]
    #[arg(long, value_name = "CHARACTER")]
    pub delimiter: Option<char>,
    /// The kind of cardio that a track is [default: what the file says of it, else running]
    #[arg(long, value_name = "TYPE")]
    pub activity: Option<String>,
}

/// `ryzed export`: everything of one owner, or the whole database, as NDJSON.
#[derive(Debug, Clone, Default, Args)]
#[command(after_help = EXPORT_EXAMPLES)]
#[command(group(ArgGroup::new("whose").required(true)))]
pub struct ExportArgs {
    /// The rows of this person
    #[arg(long, short, value_name = "UUID", group = "whose", value_parser = a_uuid)]
    pub user: Option<Uuid>,
    /// The catalogue that everybody reads
    #[arg(long, group = "whose")]
    pub catalogue: bool,
    /// The whole database
    #[arg(long, group = "whose")]
    pub all: bool,
    /// Let no daemon start on the database from then on: what is imported elsewhere goes on in its place
    #[arg(long, requires = "all")]
    pub seal: bool,
    /// Only take the seal of --seal off again; devices then start over
    #[arg(long, group = "whose", conflicts_with = "output")]
    pub unseal: bool,
    /// The file to write; stdout unless given
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// A person's id as somebody types it.
///
/// # Errors
/// What it must be.
pub fn a_uuid(text: &str) -> Result<Uuid, &'static str> {
    Uuid::try_parse(text).map_err(|_| "must be a UUID, such as 7b0c3f5e-5d0f-4c5b-9a53-3f0a6ad0a001")
}

/// The format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One JSON object a line.
    Ndjson,
    /// Comma separated values below a header.
    Csv,
    /// A recorded track, GPX 1.0 or 1.1.
    Gpx,
}

impl Format {
    fn of_extension(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "ndjson" | "jsonl" | "json" => Some(Self::Ndjson),
            "csv" | "tsv" => Some(Self::Csv),
            "gpx" => Some(Self::Gpx),
            _ => None,
        }
    }
}

impl ImportArgs {
    /// The file's format: as the flag says, else by its name.
    pub(super) fn format(&self) -> Result<Format, TransferError> {
        let format = self
            .format
            .or_else(|| Format::of_extension(&self.file))
            .ok_or_else(|| usage(format!("say what {} holds: --format ndjson, csv or gpx", self.file.display())))?;
        match format {
            Format::Gpx if self.table.is_some() => {
                Err(usage("a track makes a cardio_sessions row and its location_points: leave --table out"))
            }
            Format::Csv | Format::Ndjson if self.activity.is_some() => {
                Err(usage("--activity is for GPX tracks; a row has its own activity_type"))
            }
            _ => Ok(format),
        }
    }

    /// The table, when one is named.
    pub(super) fn table<'r>(&self, registry: &'r Registry) -> Result<Option<&'r Table>, TransferError> {
        let Some(name) = &self.table else { return Ok(None) };
        registry.get(name).map(Some).ok_or_else(|| {
            let names: Vec<&str> = registry.iter().map(|table| table.name).collect();
            usage(format!("{}; the tables are {}", UnknownTable(name), names.join(", ")))
        })
    }

    /// The owner of the rows.
    pub(super) fn owner(&self, registry: &Registry, format: Format) -> Result<Owner, TransferError> {
        if let Some(user) = self.user {
            return Ok(Owner::User(UserId(user)));
        }
        if format == Format::Gpx {
            return Err(usage("a track belongs to a person: --user <UUID>"));
        }
        match self.table(registry)? {
            Some(table) if registry.has_catalogue(table) => Ok(Owner::Catalogue),
            Some(table) => Err(usage(format!(
                "the rows of {} belong to a person, not to the catalogue: --user <UUID>",
                table.name
            ))),
            None if self.catalogue => Ok(Owner::Catalogue),
            None => {
                Err(usage("give --table <TABLE>, or for a file made by `ryzed export` --user <UUID> or --catalogue"))
            }
        }
    }

    /// The byte between cells.
    pub(super) fn delimiter(&self) -> Result<u8, TransferError> {
        let is_tsv = self.file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("tsv"));
        let delimiter = self.delimiter.unwrap_or(if is_tsv { '\t' } else { ',' });
        match u8::try_from(delimiter) {
            Ok(byte) if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r') => Ok(byte),
            _ => Err(usage("--delimiter must be one ASCII character, such as ; or a tab")),
        }
    }
}

impl ExportArgs {
    /// The scope whose rows are exported.
    pub(super) fn scope(&self) -> Result<Scope, TransferError> {
        match self.user {
            Some(user) => Ok(Scope::User(UserId(user))),
            None if self.catalogue => Ok(Scope::Global),
            None => Err(usage("say whose rows: --user <UUID>, --catalogue or --all")),
        }
    }
}

fn usage(message: impl Into<String>) -> TransferError {
    TransferError::Usage(message.into())
}
