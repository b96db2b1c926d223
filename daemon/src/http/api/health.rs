//! The daemon's health: `/health` for people and clients, `/livez` and `/readyz` for machines. Nobody's data.

use std::time::Duration;

use ryzed_adapters::format_time;
use serde_json::json;
use warp::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use warp::reply::Response;

use super::super::App;
use super::super::answer::{Answer, json};
use super::super::call::Call;
use super::super::problem::Problem;
use super::sync::RELEASE;
use crate::service::Service;

/// The time limit of the database check, after which the database counts as away.
const PATIENCE: Duration = Duration::from_secs(3);
/// The greatest ages of cached answers: the number of devices, the sockets of other instances, the database check.
const DEVICES_AGE: Duration = Duration::from_secs(5);
const OTHER_INSTANCES_AGE: Duration = Duration::from_secs(1);
const READY_AGE: Duration = Duration::from_millis(250);
/// The pause before the next try.
const RETRY: Duration = Duration::from_secs(2);

/// `GET /health`. It answers 200 even while the database is away: the daemon itself is there to say so. However often it is
/// asked, the database is so only now and then.
pub(in crate::http) async fn health(call: Call) -> Answer {
    let (service, app) = (&call.app.service, &call.app);
    let is_there = is_ready(app).await;
    let total_devices = if is_there { devices(app).await } else { None };
    let connections = connections(app).await;
    json(&json!({
        "status": if is_there && service.storage_fault().is_none() { "healthy" } else { "degraded" },
        "service": "realtime-sync",
        "version": RELEASE,
        "active_connections": connections,
        "total_devices": total_devices,
        "timestamp": format_time(service.clock.now()),
        "database": if is_there { service.database() } else { "unavailable" },
        "bridge": app.live.bridge(),
        "features": {
            "websocket": true,
            "broadcast": true,
            "multi_device": true,
            "conflict_resolution": true,
            "presence": true,
            "offline_sync": true,
            "digest": true,
            "export": true,
            "compression": true,
        },
    }))
}

/// Sockets, over all instances: those that are here now, and those that others had a moment ago.
pub(in crate::http) async fn connections(app: &App) -> usize {
    app.live.counts().connections
        + app.kept.on_other_instances.get(OTHER_INSTANCES_AGE, app.live.connections_on_other_instances()).await
}

async fn devices(app: &App) -> Option<i64> {
    let counted = async { tokio::time::timeout(PATIENCE, app.service.total_devices()).await.ok().and_then(Result::ok) };
    app.kept.devices.get(DEVICES_AGE, counted).await
}

async fn is_ready(app: &App) -> bool {
    let ready = async { matches!(tokio::time::timeout(PATIENCE, app.service.ready()).await, Ok(Ok(()))) };
    app.kept.ready.get(READY_AGE, ready).await
}

/// `GET /livez`: the process answers.
pub(in crate::http) async fn alive(_call: Call) -> Answer {
    Ok(plain("ok\n"))
}

/// `GET /readyz`: the process can do its work.
pub(in crate::http) async fn ready(call: Call) -> Answer {
    if call.app.live.is_draining() {
        return Err(Problem::unavailable("the daemon is stopping", RETRY));
    }
    if !is_ready(&call.app).await {
        return Err(Problem::unavailable("the database does not answer", RETRY));
    }
    match call.app.service.storage_fault() {
        None => Ok(plain(readiness(&call.app.service))),
        Some(fault) => Err(Problem::unavailable(format!("{fault}; only reading works"), RETRY)),
    }
}

/// Other tables go on when some are stopped, so it is ready all the same.
fn readiness(service: &Service) -> String {
    let mut text = "ready\n".to_owned();
    let stopped: Vec<_> = service.stopped().names().collect();
    if !stopped.is_empty() {
        text += &format!("stopped: {}; the log says why\n", stopped.join(", "));
    }
    let differ: Vec<_> = service.differing().into_iter().map(|(table, _)| table).collect();
    if !differ.is_empty() {
        text += &format!("differs from the index: {}; run `ryzed verify --repair`\n", differ.join(", "));
    }
    text
}

fn plain(text: impl Into<String>) -> Response {
    let text: String = text.into();
    let mut response = Response::new(text.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
