//! Content that never changes, compressed once, when it is first asked for, and as well as it goes.

use std::io::{self, Write};
use std::sync::OnceLock;

use bytes::Bytes;
use warp::http::HeaderMap;
use warp::http::header::ACCEPT_ENCODING;

/// The best quality of Brotli, and its largest window.
const BROTLI: (u32, u32) = (11, 22);
/// The most that Zstandard does with little memory.
const ZSTD: i32 = 19;
/// Of one step, in bytes.
const BUFFER: usize = 4096;

/// The encodings, the one that makes it smallest first.
const ENCODINGS: [Encoding; 3] = [Encoding::Brotli, Encoding::Zstd, Encoding::Gzip];

#[derive(Clone, Copy)]
enum Encoding {
    Brotli,
    Zstd,
    Gzip,
}

impl Encoding {
    fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// The best of those that `asked` allows. Which of them it would rather have does not matter: all are quick to undo.
    fn of(asked: &HeaderMap) -> Option<Self> {
        let headers = asked.get_all(ACCEPT_ENCODING).iter().filter_map(|header| header.to_str().ok());
        let listed: Vec<&str> = headers.flat_map(|header| header.split(',')).collect();
        let weight = |name: &str| {
            let mut those = listed.iter().map(|one| one.split_once(';').unwrap_or((one, "q=1")));
            let (_, weight) = those.find(|(known, _)| known.trim().eq_ignore_ascii_case(name))?;
            weight.trim().strip_prefix("q=").map(|weight| weight.parse().unwrap_or(0.0) > 0.0)
        };
        let any = weight("*").unwrap_or(false);
        ENCODINGS.into_iter().find(|encoding| weight(encoding.name()).unwrap_or(any))
    }

    fn pack(self, content: &[u8]) -> io::Result<Vec<u8>> {
        let mut packed = Vec::new();
        match self {
            Self::Brotli => {
                brotli::CompressorWriter::new(&mut packed, BUFFER, BROTLI.0, BROTLI.1).write_all(content)?
            }
            // In one go: then the window is no larger than the content, and browsers take it.
            Self::Zstd => packed = zstd::bulk::compress(content, ZSTD)?,
            Self::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(&mut packed, flate2::Compression::best());
                encoder.write_all(content)?;
                encoder.finish()?;
            }
        }
        Ok(packed)
    }
}

/// The compressed forms of one content.
pub(super) struct Precompressed([OnceLock<Bytes>; ENCODINGS.len()]);

impl Precompressed {
    pub(super) const fn new() -> Self {
        Self([const { OnceLock::new() }; ENCODINGS.len()])
    }

    /// The content as `asked` may have it, and in which encoding; none is as it is.
    pub(super) async fn get(&'static self, content: &'static [u8], asked: &HeaderMap) -> (Bytes, Option<&'static str>) {
        let plain = (Bytes::from_static(content), None);
        let Some(encoding) = Encoding::of(asked) else { return plain };
        let held = &self.0[encoding as usize];
        if let Some(packed) = held.get() {
            return (packed.clone(), Some(encoding.name()));
        }
        // It may take a tenth of a second.
        let packed = tokio::task::spawn_blocking(move || encoding.pack(content)).await;
        match packed {
            Ok(Ok(packed)) => (held.get_or_init(|| packed.into()).clone(), Some(encoding.name())),
            _ => plain,
        }
    }
}
