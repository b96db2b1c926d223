//! NDJSON: a row a line, or `{"table":…,"row":{…}}` as an export has it.

use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;

use ryzed_adapters::{FieldError, Row, code};
use serde_json::Value;

use super::source::{Incoming, Input, LONGEST_ROW};
use super::{FilePlace, TransferError};

/// The rows of an NDJSON file.
pub(super) struct NdjsonRows {
    table: Option<&'static str>,
    path: PathBuf,
    reader: BufReader<Input>,
    buffer: Vec<u8>,
    line: u64,
    ended: bool,
}

impl NdjsonRows {
    /// Rows of `table`, or of the tables that the lines name.
    pub(super) fn new(input: Input, table: Option<&'static str>) -> Self {
        let path = input.path().to_owned();
        Self { table, path, reader: BufReader::new(input), buffer: Vec::new(), line: 0, ended: false }
    }

    /// Reads a line without its end; false at the end of the file. Of one that is too long only its beginning is kept.
    fn read_line(&mut self) -> io::Result<bool> {
        self.buffer.clear();
        self.line += 1;
        let most = LONGEST_ROW as u64 + 1;
        if self.reader.by_ref().take(most).read_until(b'\n', &mut self.buffer)? == 0 {
            return Ok(false);
        }
        if self.buffer.last() == Some(&b'\n') {
            self.buffer.pop();
        } else if self.buffer.len() > LONGEST_ROW {
            self.reader.skip_until(b'\n')?;
        }
        if self.line == 1 && self.buffer.starts_with(b"\xef\xbb\xbf") {
            self.buffer.drain(..3);
        }
        Ok(true)
    }

    fn row(&self) -> Result<(String, Row), FieldError> {
        if self.buffer.len() > LONGEST_ROW {
            let message = format!("is longer than {LONGEST_ROW} bytes; one row a line");
            return Err(FieldError::new("", code::LENGTH, message));
        }
        let unreadable = |message: String| FieldError::new("", code::WRONG_TYPE, message);
        let row: Row = serde_json::from_slice(&self.buffer).map_err(|error| {
            let what = if error.is_data() { "is no JSON object" } else { "is not JSON" };
            unreadable(format!("{what} (character {}); one row a line", error.column()))
        })?;
        match (unwrapped(row), self.table) {
            ((None, _), None) => Err(FieldError::new("table", code::REQUIRED, "names no table; give --table")),
            ((None, row), Some(table)) => Ok((table.to_owned(), row)),
            ((Some(named), _), Some(table)) if named != table => {
                let message = format!("is of another table than {table}; leave --table out to import all of the file");
                Err(FieldError::new("table", code::NOT_ALLOWED, message))
            }
            ((Some(named), row), _) => Ok((named, row)),
        }
    }
}

impl Iterator for NdjsonRows {
    type Item = Result<Incoming, TransferError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.ended {
            match self.read_line() {
                Ok(true) if self.buffer.trim_ascii().is_empty() => {}
                Ok(true) => {
                    let row = self.row().map_err(|error| vec![error]);
                    return Some(Ok(Incoming { place: FilePlace::Line(self.line), size: self.buffer.len(), row }));
                }
                Ok(false) => self.ended = true,
                Err(source) => {
                    self.ended = true;
                    return Some(Err(TransferError::File { path: self.path.clone(), error: source }));
                }
            }
        }
        None
    }
}

/// The table that the line names and its row, or the line itself.
fn unwrapped(mut line: Row) -> (Option<String>, Row) {
    let is_wrapped = line.len() == 2
        && line.get("table").is_some_and(Value::is_string)
        && line.get("row").is_some_and(Value::is_object);
    if !is_wrapped {
        return (None, line);
    }
    match (line.remove("table"), line.remove("row")) {
        (Some(Value::String(table)), Some(Value::Object(row))) => (Some(table), row),
        _ => (None, line),
    }
}
