//! Hands a file on a line at a time, so that a reader of rows that span several lines knows its line.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::source::LONGEST_ROW;

/// Hands on at most one line a read. Also ends a file with a row that does not end, such as one with a quote left open,
/// before it fills the memory.
pub(super) struct LineByLine<R> {
    reader: BufReader<R>,
    line: Arc<AtomicU64>,
    row_bytes: Arc<AtomicUsize>,
    /// The byte that was handed on last; none before the first.
    last: Option<u8>,
}

impl<R: Read> LineByLine<R> {
    /// Reads `from` its beginning.
    pub(super) fn new(from: R) -> Self {
        Self { reader: BufReader::new(from), line: Arc::default(), row_bytes: Arc::default(), last: None }
    }

    /// The number, from 1, of the line that was handed on last; goes on counting.
    pub(super) fn line(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.line)
    }

    /// Bytes since it was last set to zero, as it is after each row.
    pub(super) fn row_bytes(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.row_bytes)
    }
}

impl<R: Read> Read for LineByLine<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let there = self.reader.fill_buf()?;
        let there = &there[..there.len().min(buffer.len())];
        // The second byte of a line end that was cut in two begins no line.
        let rest = usize::from(self.last == Some(b'\r') && there.first() == Some(&b'\n'));
        let count = if rest == 1 { 1 } else { line_length(there) };
        if count > 0 && rest == 0 && self.last.is_none_or(|last| matches!(last, b'\n' | b'\r')) {
            self.line.fetch_add(1, Ordering::Relaxed);
        }
        buffer[..count].copy_from_slice(&there[..count]);
        self.last = there[..count].last().copied().or(self.last);
        self.reader.consume(count);
        if self.row_bytes.fetch_add(count, Ordering::Relaxed) > LONGEST_ROW {
            let message = format!("a row of more than {LONGEST_ROW} bytes; is a quote left open?");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        Ok(count)
    }
}

/// The bytes up to and with the first line end, or all of them.
fn line_length(bytes: &[u8]) -> usize {
    match bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
        Some(at) if bytes[at] == b'\r' && bytes.get(at + 1) == Some(&b'\n') => at + 2,
        Some(at) => at + 1,
        None => bytes.len(),
    }
}

/// The line ends in a text: LF, CR LF, or CR alone, as old programs write it.
pub(super) fn line_ends(text: &[u8]) -> u64 {
    let ends = text.iter().enumerate().filter(|(at, byte)| match byte {
        b'\n' => true,
        b'\r' => text.get(at + 1) != Some(&b'\n'),
        _ => false,
    });
    ends.count() as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn all_bytes_come_through_and_lines_are_counted(
            parts in proptest::collection::vec(prop_oneof![Just("\n"), Just("\r"), Just("\r\n"), Just("a"), Just("\"b")], 0..60),
            sizes in proptest::collection::vec(1_usize..7, 1..8),
        ) {
            let text = parts.concat();
            let mut reader = LineByLine::new(text.as_bytes());
            let line = reader.line();
            let (mut whole, mut sizes) = (Vec::new(), sizes.into_iter().cycle());
            loop {
                let mut buffer = vec![0; sizes.next().unwrap()];
                let count = reader.read(&mut buffer).unwrap();
                if count == 0 {
                    break;
                }
                whole.extend_from_slice(&buffer[..count]);
                let before = &whole[..whole.len() - count];
                // A line end that was cut in two belongs to the line that it ends.
                let of_before = line_ends(before) - u64::from(before.ends_with(b"\r") && buffer[0] == b'\n');
                prop_assert_eq!(line.load(Ordering::Relaxed), of_before + 1);
            }
            prop_assert_eq!(whole, text.as_bytes());
        }
    }
}
