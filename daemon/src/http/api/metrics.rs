//! `/metrics`: how much of everything there was and is, for Prometheus. Nobody's data.

use warp::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use warp::reply::Response;

use super::super::answer::Answer;
use super::super::call::Call;
use super::health::connections;
use crate::metrics::{self, Now};

/// The text format that is written, as Prometheus names it.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// `GET /metrics`.
pub(in crate::http) async fn metrics(call: Call) -> Answer {
    let users = call.app.live.counts().users;
    let now = Now { connections: connections(&call.app).await, users, database: call.app.service.pool_use() };
    let mut response = Response::new(metrics::metrics().text(now).into());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(OPEN_METRICS));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
