//! Headers of a request that its handlers read.

use chrono::{DateTime, Utc};
use warp::http::header::{AUTHORIZATION, DATE, HeaderMap};

/// The token that the request brings; none where there is an empty one.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// The client's time, if it says it. Browsers don't.
pub(super) fn date(headers: &HeaderMap) -> Option<DateTime<Utc>> {
    let date = headers.get(DATE)?.to_str().ok()?;
    httpdate::parse_http_date(date).ok().map(Into::into)
}
