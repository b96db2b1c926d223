//! Answers to requests.

use bytes::Bytes;
use serde::Serialize;
use warp::http::StatusCode;
use warp::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use warp::reply::Response;

use super::problem::Problem;

/// The room for an answer that is not known to be long, in bytes.
pub(super) const SMALL: usize = 256;

/// The result of a handler.
pub(super) type Answer = Result<Response, Problem>;

/// A JSON answer, which no cache keeps.
pub(super) fn json(value: &impl Serialize) -> Answer {
    Ok(of_json(written(value, SMALL)?))
}

/// The same under another media type.
pub(super) fn typed(media_type: &'static str, value: &impl Serialize) -> Answer {
    let mut response = of_json(written(value, SMALL)?);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    Ok(response)
}

/// A value as JSON, in a text of about so many bytes.
pub(super) fn written(value: &impl Serialize, about: usize) -> Result<Vec<u8>, Problem> {
    let mut text = Vec::with_capacity(about);
    serde_json::to_writer(&mut text, value).map_err(|error| {
        tracing::error!(%error, "can't write an answer as JSON");
        Problem::internal()
    })?;
    Ok(text)
}

/// A JSON answer of what is written already.
pub(super) fn of_json(text: impl Into<Bytes>) -> Response {
    let mut response = Response::new(text.into().into());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Done, and there is nothing to say.
pub(super) fn no_content() -> Answer {
    let mut response = Response::new(Bytes::new().into());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}
