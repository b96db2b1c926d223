//! CSV: the header names the columns, and each cell becomes what its column holds.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use csv::{ByteRecord, ErrorKind, Reader, ReaderBuilder};
use ryzed_adapters::{Column, FieldError, Kind, Row, Table, UNSAID, code};
use serde_json::Value;

use super::lines::{LineByLine, line_ends};
use super::source::{Incoming, Input};
use super::{FilePlace, TransferError};

/// Columns whose values the server makes.
const SERVERS: [&str; 3] = ["_version", UNSAID, "updated_at"];

/// The rows of a CSV file.
pub(super) struct CsvRows {
    table: &'static str,
    path: PathBuf,
    /// By cell; none for one that the server makes itself.
    columns: Vec<Option<Column>>,
    reader: Reader<LineByLine<Input>>,
    row_bytes: Arc<AtomicUsize>,
    /// The line that was read last.
    line: Arc<AtomicU64>,
    record: ByteRecord,
    ended: bool,
}

impl CsvRows {
    /// Reads the header.
    pub(super) fn new(input: Input, table: &Table, delimiter: u8) -> Result<Self, TransferError> {
        let path = input.path().to_owned();
        let lines = LineByLine::new(input);
        let (row_bytes, line) = (lines.row_bytes(), lines.line());
        let mut reader = ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(lines);
        let header = reader.byte_headers().map_err(|error| failed(&path, 1, error))?;
        let columns = columns(header, table)?;
        row_bytes.store(0, Ordering::Relaxed);
        Ok(Self { table: table.name, path, columns, reader, row_bytes, line, record: ByteRecord::new(), ended: false })
    }

    /// The columns of the file that are left out, for the person who imports it.
    pub(super) fn left_out(&self) -> String {
        let has_servers = self.columns.iter().any(Option::is_none);
        let told = || format!("left out, since the server makes it itself: {}", SERVERS.join(", "));
        has_servers.then(told).unwrap_or_default()
    }

    /// True if all cells are blank, as in the lines that a spreadsheet adds at the end.
    fn is_empty(&self) -> bool {
        self.record.iter().all(|cell| cell.trim_ascii().is_empty())
    }

    fn row(&self) -> Result<Row, Vec<FieldError>> {
        let (cells, named) = (self.record.len(), self.columns.len());
        if cells != named {
            let message = format!("has {cells} cells where the header has {named}; is a cell with a comma not quoted?");
            return Err(vec![FieldError::new("", code::INVALID, message)]);
        }
        let mut row = Row::new();
        let mut errors = Vec::new();
        for (column, cell) in self.columns.iter().zip(&self.record) {
            let Some(column) = column else { continue };
            match value(column, cell) {
                Ok(Some(value)) => {
                    row.insert(column.name.clone(), value);
                }
                Ok(None) => {}
                Err(message) => errors.push(FieldError::new(&column.name, code::WRONG_TYPE, message)),
            }
        }
        if errors.is_empty() { Ok(row) } else { Err(errors) }
    }
}

impl Iterator for CsvRows {
    type Item = Result<Incoming, TransferError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            match self.reader.read_byte_record(&mut self.record) {
                Ok(true) => self.row_bytes.store(0, Ordering::Relaxed),
                Ok(false) => return None,
                Err(error) => {
                    self.ended = true;
                    return Some(Err(failed(&self.path, self.line.load(Ordering::Relaxed), error)));
                }
            }
            if self.is_empty() {
                continue;
            }
            // The line that was read last ends the row; a cell may hold lines of its own.
            let line = self.line.load(Ordering::Relaxed) - self.record.iter().map(line_ends).sum::<u64>();
            let row = self.row().map(|row| (self.table.to_owned(), row));
            return Some(Ok(Incoming { place: FilePlace::Line(line), size: self.record.as_slice().len(), row }));
        }
        None
    }
}

fn columns(header: &ByteRecord, table: &Table) -> Result<Vec<Option<Column>>, TransferError> {
    let known = || table.columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ");
    let mut columns: Vec<Option<Column>> = Vec::new();
    for cell in header {
        let name = String::from_utf8_lossy(cell);
        let name = name.trim();
        if SERVERS.contains(&name) {
            columns.push(None);
            continue;
        }
        let Some(column) = table.column(name) else {
            let semicolons =
                if name.contains(';') { " Are the cells separated by semicolons? --delimiter ';'." } else { "" };
            let shown: String = name.chars().take(64).collect();
            return Err(TransferError::Content(format!(
                "the header names {shown:?}, which is no column of {}; its columns are {}.{semicolons}",
                table.name,
                known()
            )));
        };
        if columns.iter().flatten().any(|other| other.name == column.name) {
            return Err(TransferError::Content(format!("the header names {name:?} twice")));
        }
        columns.push(Some(column.clone()));
    }
    if columns.is_empty() {
        return Err(TransferError::Content(format!(
            "there is no header; the columns of {} are {}",
            table.name,
            known()
        )));
    }
    Ok(columns)
}

/// The value of a cell; none where it is empty and its column has a value of its own for that.
fn value(column: &Column, cell: &[u8]) -> Result<Option<Value>, &'static str> {
    let Ok(text) = std::str::from_utf8(cell) else { return Err("is not UTF-8") };
    let trimmed = text.trim();
    if trimmed.is_empty() {
        let has_null = column.nullable && column.default.is_none() && !is_base(&column.name);
        return Ok(has_null.then_some(Value::Null));
    }
    let value = match column.kind {
        Kind::Uuid | Kind::Time => trimmed.into(),
        Kind::Text => text.into(),
        Kind::Number => number(trimmed).ok_or("is no number; decimals are written with a point: 12.5")?,
        Kind::Integer => match trimmed.parse::<i64>() {
            Ok(whole) => whole.into(),
            Err(_) => number(trimmed).ok_or("is no whole number")?,
        },
        Kind::Bool => match trimmed.to_ascii_lowercase().as_str() {
            "true" | "1" => true.into(),
            "false" | "0" => false.into(),
            _ => return Err("must be true, false, 1 or 0"),
        },
        Kind::TextList | Kind::Json => {
            serde_json::from_str(trimmed).map_err(|_| "must be JSON, a list like [\"legs\",\"core\"]")?
        }
    };
    Ok(Some(value))
}

fn number(text: &str) -> Option<Value> {
    let number: f64 = text.parse().ok()?;
    serde_json::Number::from_f64(number).map(Value::Number)
}

/// True for the columns that are filled in where a file lacks them.
fn is_base(name: &str) -> bool {
    matches!(name, "id" | "user_id" | "created_at")
}

fn failed(path: &std::path::Path, line: u64, error: csv::Error) -> TransferError {
    match error.into_kind() {
        ErrorKind::Io(source) => TransferError::File { path: path.to_owned(), error: source },
        _ => TransferError::Content(format!("{}: no CSV at line {line}", path.display())),
    }
}
