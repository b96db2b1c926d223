//! permessage-deflate (RFC 7692): what is answered to a client that offers it, and how it is done.
//!
//! No message refers to an earlier one, in either direction, so a socket that is silent keeps nothing for it: what
//! compresses belongs to all sockets together. A client may offer several ways, the best first; the first that can be done
//! is taken.

use std::collections::HashSet;
use std::ops::RangeInclusive;

use warp::http::HeaderMap;
use warp::http::header::SEC_WEBSOCKET_EXTENSIONS;
use yawc::{CompressionLevel, DeflatePool, Options};

use super::handshake::listed;

const NAME: &str = "permessage-deflate";
/// Messages that are shorter, in bytes, go as they are: there is little to save.
const THRESHOLD: usize = 512;
/// The windows, as powers of two in bytes, that the client may ask the daemon to compress within. The RFC also knows 8, which
/// zlib can't do.
const WINDOWS: RangeInclusive<u8> = 9..=15;
/// The values that a client may offer for its own window. Any is fine: whatever the client uses is read.
const CLIENT_WINDOWS: RangeInclusive<u8> = 8..=15;

/// The extension as it is answered; none when nothing was offered that can be done.
pub(super) fn agreed(headers: &HeaderMap) -> Option<String> {
    listed(headers, SEC_WEBSOCKET_EXTENSIONS).find_map(accepted)
}

/// The options of a socket that compresses.
pub(super) fn with(options: Options, pool: DeflatePool) -> Options {
    options
        .with_compression_level(CompressionLevel::fast())
        .with_compression_threshold(THRESHOLD)
        .with_deflate_pool(pool)
}

/// The pool of compressors for all sockets: as many as work at a moment.
pub(super) fn pool() -> DeflatePool {
    DeflatePool::new(std::thread::available_parallelism().map_or(1, usize::from))
}

/// An offer with a parameter that is unknown, twice there or out of range is to be declined (section 7.1).
fn accepted(offer: &str) -> Option<String> {
    let mut parts = offer.split(';').map(str::trim);
    if !parts.next()?.eq_ignore_ascii_case(NAME) {
        return None;
    }
    let mut answer = format!("{NAME}; server_no_context_takeover; client_no_context_takeover");
    let mut seen = HashSet::new();
    for part in parts {
        let (name, value) = match part.split_once('=') {
            Some((name, value)) => (name.trim_end(), Some(bits(value)?)),
            None => (part, None),
        };
        if !seen.insert(name) {
            return None;
        }
        match (name, value) {
            ("server_no_context_takeover" | "client_no_context_takeover" | "client_max_window_bits", None) => {}
            ("client_max_window_bits", Some(bits)) if CLIENT_WINDOWS.contains(&bits) => {}
            ("server_max_window_bits", Some(bits)) if WINDOWS.contains(&bits) => {
                answer.push_str(&format!("; server_max_window_bits={bits}"));
            }
            _ => return None,
        }
    }
    Some(answer)
}

/// A number without leading zeros, which may stand in quotes.
fn bits(value: &str) -> Option<u8> {
    let value = value.trim_start();
    let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    let is_plain = value.bytes().all(|byte| byte.is_ascii_digit()) && !value.starts_with('0');
    value.parse().ok().filter(|_| is_plain)
}

#[cfg(test)]
mod tests {
    use warp::http::HeaderValue;

    use super::*;

    const PLAIN: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

    fn answer(offers: &[&'static str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for offer in offers {
            headers.append(SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static(offer));
        }
        agreed(&headers)
    }

    #[test]
    fn what_clients_offer_is_taken_without_context() {
        for offer in [
            "permessage-deflate",
            "permessage-deflate; client_max_window_bits",
            "Permessage-Deflate;client_no_context_takeover ; client_max_window_bits = 8",
            "permessage-deflate; server_no_context_takeover; client_max_window_bits=\"15\"",
            "x-webkit-deflate-frame, permessage-deflate",
            "permessage-deflate; server_max_window_bits=8, permessage-deflate",
        ] {
            assert_eq!(answer(&[offer]).as_deref(), Some(PLAIN), "{offer}");
        }
        assert_eq!(answer(&["other", "permessage-deflate"]).as_deref(), Some(PLAIN));
        let small = answer(&["permessage-deflate; server_max_window_bits=12; client_max_window_bits=12"]);
        assert_eq!(small, Some(format!("{PLAIN}; server_max_window_bits=12")));
    }

    #[test]
    fn what_can_not_be_done_is_declined() {
        for offer in [
            "",
            "permessage-bzip2",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=8",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=012",
            "permessage-deflate; server_max_window_bits=+9",
            "permessage-deflate; client_max_window_bits=7",
            "permessage-deflate; client_max_window_bits=",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; client_max_window_bits; client_max_window_bits",
            "permessage-deflate; fancy",
            "permessage-deflate;",
        ] {
            assert_eq!(answer(&[offer]), None, "{offer}");
        }
        assert_eq!(answer(&[]), None);
    }
}
