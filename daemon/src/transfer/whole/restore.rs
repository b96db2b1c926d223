//! From lines to a database. All in one transaction: whatever is wrong, nothing was written.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::sync::Arc;

use ryzed_adapters::Registry;
use serde_json::Value;

use super::line::{self, ArchiveLine};
use super::{End, Header, Input, Steps, TransferError};
use crate::store::StoreError;
use crate::store::archive::{Part, Restore};

/// The longest line, in bytes: more than the largest request may make of a row, its history and its conflict.
const LONGEST_LINE: u64 = 64 << 20;
/// The most records that are written at once.
const BATCH: usize = 1000;
/// The bytes of records after which a batch is full.
const BATCH_BYTES: usize = 1 << 20;

/// An archive that is being read.
pub(super) struct Restoring<'r> {
    restore: Box<dyn Restore>,
    registry: &'r Registry,
    order: Vec<Part<'r>>,
    /// The place of the part that is being read in `order`.
    at: usize,
    batch: RestoreBatch,
    counts: BTreeMap<String, u64>,
}

/// Records of one part that are written together, as a JSON array, with the line of each.
#[derive(Default)]
struct RestoreBatch {
    records: String,
    lines: Vec<Placed>,
}

/// The place of a record: its line in the file, and its bytes in the batch.
struct Placed {
    line: u64,
    from: usize,
    to: usize,
}

impl<'r> Restoring<'r> {
    pub(super) fn new(restore: Box<dyn Restore>, registry: &'r Arc<Registry>) -> Self {
        let order: Vec<Part<'r>> = Part::all(registry).collect();
        let counts = order.iter().map(|part| (part.name().to_owned(), 0)).collect();
        Self { restore, registry, order, at: 0, batch: RestoreBatch::default(), counts }
    }

    /// Reads all lines, looks whether what they make is right, and commits.
    pub(super) async fn read(mut self, input: Input) -> Result<(Header, BTreeMap<String, u64>), TransferError> {
        let mut lines = Lines { reader: BufReader::new(input), line: 0, text: String::new() };
        let registry = self.registry;
        let header = match lines.next()?.map(|(_, text)| line::read(registry, text)) {
            Some(Ok(ArchiveLine::Header(header))) => header,
            Some(Err(complaint)) => return Err(at(1, &complaint)),
            _ => return Err(content("this is no archive: its first line is not that of `ryzed export --all`")),
        };
        self.restore.empty().await?;
        let mut steps = Steps::new("importing", header.records);
        let end = loop {
            let Some((line, text)) = lines.next()? else {
                return Err(content(format!(
                    "the archive was cut off behind line {}: it lacks its last line",
                    lines.line
                )));
            };
            match line::read(registry, text).map_err(|complaint| at(line, &complaint))? {
                ArchiveLine::Header(_) => return Err(at(line, "is a second header")),
                ArchiveLine::End(end) => break end,
                ArchiveLine::Record { part, record } => {
                    self.take(part, &record, line).await?;
                    steps.made(1);
                }
            }
        };
        self.flush().await?;
        if let Some((line, _)) = lines.next()? {
            return Err(at(line, "stands behind the last line"));
        }
        self.check(&end).await?;
        self.restore.finish(header.sealed.then_some(header.epoch.as_str())).await?;
        Ok((header, self.counts))
    }

    async fn take(&mut self, part: Part<'_>, record: &str, line: u64) -> Result<(), TransferError> {
        if self.order[self.at].name() != part.name() {
            self.flush().await?;
            let ahead = self.order[self.at..].iter().position(|later| later.name() == part.name());
            let ahead = ahead.ok_or_else(|| {
                at(line, &format!("stands too late: {} come before {}", part.name(), self.order[self.at].name()))
            })?;
            self.at += ahead;
        }
        self.batch.add(record, line);
        *self.counts.entry(part.name().to_owned()).or_default() += 1;
        if self.batch.is_full() { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<(), TransferError> {
        let batch = std::mem::take(&mut self.batch);
        if batch.lines.is_empty() {
            return Ok(());
        }
        let part = self.order[self.at];
        let Err(error) = self.restore.put(part, &format!("[{}]", batch.records)).await else { return Ok(()) };
        if matches!(error, StoreError::Unavailable(_)) {
            return Err(error.into());
        }
        // Which of them it is, a database does not tell.
        for placed in &batch.lines {
            let record = &batch.records[placed.from..placed.to];
            if let Err(error) = self.restore.put(part, &format!("[{record}]")).await {
                return Err(at(placed.line, &refused(record, &error)));
            }
        }
        Err(error.into())
    }

    /// The counts are those of the last line, the database has as many, and rows and index agree.
    async fn check(&mut self, end: &End) -> Result<(), TransferError> {
        for part in &self.order {
            let name = part.name();
            let (read, said) = (self.counts.get(name).copied(), end.counts.get(name).copied());
            if read.unwrap_or(0) != said.unwrap_or(0) {
                let (read, said) = (read.unwrap_or(0), said.unwrap_or(0));
                return Err(content(format!("the archive has {read} lines of {name}, and its last line says {said}")));
            }
            let held = self.restore.count(*part).await?;
            if Some(held) != read {
                return Err(content(format!("the database has {held} {name} and not {}", read.unwrap_or(0))));
            }
        }
        if let Some(strange) = end.counts.keys().find(|name| !self.counts.contains_key(*name)) {
            return Err(content(format!("the last line counts {strange:?}, which this release does not know")));
        }
        let found = self.restore.contradictions().await?;
        if found.is_empty() {
            Ok(())
        } else {
            Err(content(format!("the archive contradicts itself: {}", found.join("; "))))
        }
    }
}

impl RestoreBatch {
    fn add(&mut self, record: &str, line: u64) {
        if !self.records.is_empty() {
            self.records.push(',');
        }
        let from = self.records.len();
        self.records.push_str(record);
        self.lines.push(Placed { line, from, to: self.records.len() });
    }

    fn is_full(&self) -> bool {
        self.lines.len() >= BATCH || self.records.len() >= BATCH_BYTES
    }
}

/// The lines of a file, one in memory.
struct Lines {
    reader: BufReader<Input>,
    /// The number of the line that was read last.
    line: u64,
    text: String,
}

impl Lines {
    /// The next line with its number, from 1; none at the end of the file.
    fn next(&mut self) -> Result<Option<(u64, &str)>, TransferError> {
        self.text.clear();
        let read = self.reader.by_ref().take(LONGEST_LINE).read_line(&mut self.text).map_err(|source| {
            let path = self.reader.get_ref().path().to_owned();
            TransferError::File { path, error: source }
        })?;
        if read == 0 {
            return Ok(None);
        }
        self.line += 1;
        match self.text.strip_suffix('\n') {
            Some(text) => Ok(Some((self.line, text))),
            None if read as u64 == LONGEST_LINE => Err(at(self.line, &format!("is longer than {LONGEST_LINE} bytes"))),
            None => Err(content(format!("the archive was cut off in line {}", self.line))),
        }
    }
}

/// The reason why the database has not taken a record. SQLite has no NaN, which PostgreSQL's numbers may be.
fn refused(record: &str, error: &StoreError) -> String {
    let record: Value = serde_json::from_str(record).unwrap_or_default();
    match not_a_number(&record) {
        Some(field) => format!(
            "holds NaN in {field}, and was refused by the database: {error}. Where it can hold none, give that row another \
             value there, where the archive comes from, and export once more"
        ),
        None => format!("was refused by the database: {error}"),
    }
}

/// The name of a field that holds NaN, as records say it.
fn not_a_number(record: &Value) -> Option<&str> {
    record.as_object()?.iter().find_map(|(name, value)| match value {
        Value::String(text) if text == "NaN" => Some(name.as_str()),
        value => not_a_number(value),
    })
}

fn at(line: u64, complaint: &str) -> TransferError {
    content(format!("line {line} {complaint}"))
}

fn content(complaint: impl std::fmt::Display) -> TransferError {
    TransferError::Content(format!("{complaint}. Nothing was imported"))
}
