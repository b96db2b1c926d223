//! The answer to a WebSocket's opening request (RFC 6455, section 4.2).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};
use warp::Reply;
use warp::http::header::{
    CONNECTION, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use warp::http::{HeaderMap, StatusCode};
use warp::reply::Response;

use crate::http::problem::{Kind, Problem};

/// The subprotocol that the daemon speaks.
const PROTOCOL: &str = "ryzed.v1";
/// A subprotocol that is a token in disguise: browsers can send no other header.
const BEARER: &str = "bearer.";
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// A proxy may take a refused upgrade for one that was made, and then passes on whatever comes: so nothing more is answered.
const CLOSE: HeaderValue = HeaderValue::from_static("close");
const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");

/// The reply, and whether it is the one that lets the socket begin, with the extension that was agreed upon.
pub(super) fn answer(headers: &HeaderMap, extension: Option<&str>) -> (Response, bool) {
    if !has_token(headers, CONNECTION, "upgrade") || !has_token(headers, UPGRADE, "websocket") {
        return (upgrade_required(), false);
    }
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return (upgrade_required(), false);
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes).unwrap_or_default();
    if STANDARD.decode(key).map(|key| key.len()) != Ok(16) {
        let problem = Problem::new(Kind::BadHandshake, "Sec-WebSocket-Key must be 16 bytes in base64");
        let mut reply = problem.into_response();
        reply.headers_mut().insert(CONNECTION, CLOSE);
        return (reply, false);
    }
    let mut reply = StatusCode::SWITCHING_PROTOCOLS.into_response();
    let answers = reply.headers_mut();
    answers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    answers.insert(UPGRADE, WEBSOCKET);
    if let Ok(accept) = HeaderValue::from_str(&accept(key)) {
        answers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    if protocols(headers).any(|protocol| protocol == PROTOCOL) {
        answers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
    }
    if let Some(Ok(extension)) = extension.map(HeaderValue::from_str) {
        answers.insert(SEC_WEBSOCKET_EXTENSIONS, extension);
    }
    (reply, true)
}

/// "Come back with a WebSocket".
pub(super) fn upgrade_required() -> Response {
    let detail = "this address speaks WebSocket, version 13, over HTTP/1.1";
    let mut reply = Problem::new(Kind::UpgradeRequired, detail).into_response();
    reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade, close"));
    reply.headers_mut().insert(UPGRADE, WEBSOCKET);
    reply.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    reply
}

/// The token among the subprotocols.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    protocols(headers).find_map(|protocol| protocol.strip_prefix(BEARER))
}

fn protocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    listed(headers, SEC_WEBSOCKET_PROTOCOL)
}

fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    listed(headers, name).any(|listed| listed.eq_ignore_ascii_case(token))
}

/// The items of a list header, which may come several times.
pub(super) fn listed(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',').map(str::trim))
}

fn accept(key: &[u8]) -> String {
    STANDARD.encode(Sha1::new().chain_update(key).chain_update(GUID).finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(protocol: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONNECTION, HeaderValue::from_static("keep-alive, Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static("WebSocket"));
        headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        headers.insert(SEC_WEBSOCKET_KEY, HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="));
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
        headers
    }

    #[test]
    fn the_key_is_answered_as_the_rfc_shows() {
        let (reply, accepted) = answer(&request("ryzed.v1, bearer.a.b.c"), None);
        assert!(accepted);
        assert_eq!(reply.status(), StatusCode::SWITCHING_PROTOCOLS);
        assert_eq!(reply.headers()[SEC_WEBSOCKET_ACCEPT], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(reply.headers()[SEC_WEBSOCKET_PROTOCOL], "ryzed.v1");
        assert_eq!(bearer(&request("ryzed.v1, bearer.a.b.c")), Some("a.b.c"));
    }

    #[test]
    fn what_is_no_websocket_is_told_so() {
        for missing in [CONNECTION, UPGRADE, SEC_WEBSOCKET_VERSION] {
            let mut headers = request("other");
            headers.remove(&missing);
            assert_eq!(answer(&headers, None).0.status(), StatusCode::UPGRADE_REQUIRED, "{missing}");
        }
        let mut headers = request("other");
        headers.insert(SEC_WEBSOCKET_KEY, HeaderValue::from_static("short"));
        assert_eq!(answer(&headers, None).0.status(), StatusCode::BAD_REQUEST);
        assert!(!answer(&request("other"), None).0.headers().contains_key(SEC_WEBSOCKET_PROTOCOL));
    }
}
