//! Whether the daemon is well: `/health` for people and clients, `/livez` and `/readyz` for machines. Nobody's data.

use std::time::Duration;

use ryzed_adapters::format_time;
use serde_json::json;
use warp::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use warp::reply::Response;

use super::call::{Answer, Call, json};
use super::problem::Problem;
use super::sync::RELEASE;

/// How long the database may take to answer before it counts as away.
const PATIENCE: Duration = Duration::from_secs(3);
/// When to ask again.
const RETRY: Duration = Duration::from_secs(2);

/// `GET /health`. It answers 200 even while the database is away: the daemon itself is there to say so.
pub(super) async fn health(call: Call) -> Answer {
    let service = &call.app.service;
    let total_devices = tokio::time::timeout(PATIENCE, service.total_devices()).await.ok().and_then(Result::ok);
    let counts = call.app.live.counts().await;
    let is_there = total_devices.is_some();
    json(&json!({
        "status": if is_there { "healthy" } else { "degraded" },
        "service": "realtime-sync",
        "version": RELEASE,
        "active_connections": counts.connections,
        "total_devices": total_devices,
        "timestamp": format_time(service.clock.now()),
        "database": if is_there { service.database() } else { "unavailable" },
        "bridge": call.app.live.bridge(),
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

/// `GET /livez`: the process answers.
pub(super) async fn alive(_call: Call) -> Answer {
    Ok(plain("ok\n"))
}

/// `GET /readyz`: the process can do its work.
pub(super) async fn ready(call: Call) -> Answer {
    if call.app.live.is_draining() {
        return Err(Problem::unavailable("the daemon is stopping", RETRY));
    }
    match tokio::time::timeout(PATIENCE, call.app.service.ready()).await {
        Ok(Ok(())) => Ok(plain(readiness(&call.app.service.stopped().names().collect::<Vec<_>>()))),
        Ok(Err(_)) | Err(_) => Err(Problem::unavailable("the database does not answer", RETRY)),
    }
}

/// Other tables go on when some are stopped, so it is ready all the same.
fn readiness(stopped: &[&str]) -> String {
    match stopped {
        [] => "ready\n".into(),
        tables => format!("ready\nstopped: {}; the log says why\n", tables.join(", ")),
    }
}

fn plain(text: impl Into<String>) -> Response {
    let text: String = text.into();
    let mut response = Response::new(text.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
