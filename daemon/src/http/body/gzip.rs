//! A body as it becomes text, with a bound that holds while it is unpacked.

use std::io::{self, Write};

use flate2::write::MultiGzDecoder;

use crate::budget::SMALL;

/// Of a packed body, so much is unpacked at once, in bytes: each of them may become a thousand times as much.
const PIECE: usize = 1 << 10;
/// The same while it is small.
const CRUMB: usize = 16;
/// Text that a step adds, about, in bytes.
const STEP: usize = 512 << 10;

/// The text so far.
pub(super) enum Unpacked {
    Plain(Bounded),
    Gzip { decoder: Box<MultiGzDecoder<Bounded>>, is_empty: bool },
}

/// A text that stops to grow once it is over its bound.
pub(super) struct Bounded {
    text: Vec<u8>,
    limit: usize,
    /// The expected length, as far as it is known.
    most: usize,
    is_over: bool,
}

/// The defect of a compressed body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bad {
    /// It is longer than it may be.
    TooLong,
    /// It is no gzip, or breaks off.
    NoGzip,
}

impl Unpacked {
    /// A body that comes as it is, and is going to have so many bytes.
    pub(super) fn plain(limit: usize, most: usize) -> Self {
        Self::Plain(Bounded { text: Vec::new(), limit, most, is_over: false })
    }

    /// A body that is packed, and at most so long when it is not.
    pub(super) fn gzip(limit: usize) -> Self {
        let decoder = Box::new(MultiGzDecoder::new(Bounded { text: Vec::new(), limit, most: limit, is_over: false }));
        Self::Gzip { decoder, is_empty: true }
    }

    /// Whether the next step is work that keeps others waiting.
    pub(super) fn is_work(&self) -> bool {
        matches!(self, Self::Gzip { .. }) && self.len() > SMALL
    }

    /// Takes of the next part what one step takes; how many bytes that was.
    pub(super) fn step(&mut self, part: &[u8]) -> Result<usize, Bad> {
        let (is_work, before) = (self.is_work(), self.len());
        let piece = match self {
            Self::Plain(_) => usize::MAX,
            Self::Gzip { .. } if is_work => PIECE,
            Self::Gzip { .. } => CRUMB,
        };
        let mut taken = 0;
        for piece in part.chunks(piece) {
            self.write(piece)?;
            taken += piece.len();
            if self.is_work() != is_work || self.len() - before >= STEP {
                break;
            }
        }
        Ok(taken)
    }

    fn write(&mut self, part: &[u8]) -> Result<(), Bad> {
        match self {
            Self::Plain(text) => text.write_all(part).map_err(|_| Bad::TooLong),
            Self::Gzip { decoder, is_empty } => {
                *is_empty = false;
                decoder.write_all(part).map_err(|_| decoder.get_ref().fault())
            }
        }
    }

    /// How long the text is so far, in bytes.
    pub(super) fn len(&self) -> usize {
        self.text().text.len()
    }

    /// What the text takes so far, in bytes.
    pub(super) fn size(&self) -> usize {
        self.text().text.capacity()
    }

    /// The whole text.
    pub(super) fn end(self) -> Result<Vec<u8>, Bad> {
        match self {
            Self::Plain(text) => Ok(text.text),
            // Nothing at all is no gzip, but it is nothing.
            Self::Gzip { is_empty: true, .. } => Ok(Vec::new()),
            Self::Gzip { mut decoder, .. } => {
                let ended = decoder.try_finish().map_err(|_| decoder.get_ref().fault());
                ended.map(|()| std::mem::take(&mut decoder.get_mut().text))
            }
        }
    }

    fn text(&self) -> &Bounded {
        match self {
            Self::Plain(text) => text,
            Self::Gzip { decoder, .. } => decoder.get_ref(),
        }
    }
}

impl Bounded {
    /// The reason for which no more was taken.
    fn fault(&self) -> Bad {
        if self.is_over { Bad::TooLong } else { Bad::NoGzip }
    }
}

impl Write for Bounded {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        let (needed, room) = (self.text.len() + part.len(), self.text.capacity());
        if needed > self.limit {
            self.is_over = true;
            return Err(io::Error::other("too long"));
        }
        if needed > room {
            let room = needed.max((room * 2).min(self.most));
            self.text.reserve_exact(room - self.text.len());
        }
        self.text.extend_from_slice(part);
        Ok(part.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn packed(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn unpacked(packed: &[u8], limit: usize) -> Result<usize, Bad> {
        let mut text = Unpacked::gzip(limit);
        let mut rest = packed;
        while !rest.is_empty() {
            let (is_work, before) = (text.is_work(), text.len());
            rest = &rest[text.step(rest)?..];
            assert!(text.size() <= limit, "{} bytes of {limit}", text.size());
            let most = if is_work { STEP + PIECE * 1032 } else { 2 * SMALL + CRUMB * 1032 };
            assert!(text.len() - before <= most, "{} bytes more at once", text.len() - before);
        }
        text.end().map(|text| text.len())
    }

    #[test]
    fn what_was_packed_comes_out_in_one_or_several_parts() {
        let text = b"as it was".repeat(1000);
        let mut whole = Unpacked::gzip(9000);
        whole.write(&packed(&text)).unwrap();
        assert_eq!(whole.end(), Ok(text.clone()));
        assert_eq!(unpacked(&[packed(&text), packed(b"!")].concat(), 9001), Ok(9001));
        assert_eq!(unpacked(b"", 10), Ok(0));
    }

    #[test]
    fn what_becomes_a_thousand_times_as_much_is_unpacked_in_steps() {
        let text = vec![b' '; 8 << 20];
        assert_eq!(unpacked(&packed(&text), text.len()), Ok(text.len()));
    }

    #[test]
    fn what_is_no_gzip_or_too_long_or_broken_off_is_told_apart() {
        let whole = packed(&b"as it was".repeat(1000));
        assert_eq!(unpacked(&whole, 8999), Err(Bad::TooLong));
        assert_eq!(unpacked(&packed(&vec![b' '; 64 << 20]), 1 << 20), Err(Bad::TooLong));
        assert_eq!(unpacked(b"no gzip at all", 1000), Err(Bad::NoGzip));
        for length in [5, 15, whole.len() - 5] {
            assert_eq!(unpacked(&whole[..length], 9000), Err(Bad::NoGzip), "{length} of {} bytes", whole.len());
        }
    }

    #[test]
    fn plain_text_is_bounded_as_well() {
        let mut text = Unpacked::plain(10, 10);
        assert_eq!((text.write(b"0123456789"), text.size()), (Ok(()), 10));
        assert_eq!(text.write(b"x"), Err(Bad::TooLong));
    }
}
