//! `/sync` and its pull half, `/digest`, `/sync-status`, `/trigger-sync`.

use std::time::Duration;

use chrono::{DateTime, Utc};
use ryzed_adapters::{FieldError, code};
use serde::Deserialize;
use serde_json::json;

use super::super::answer::{Answer, json};
use super::super::call::Call;
use super::super::problem::Problem;
use super::poll::{self, Patience};
use super::{A_DEVICE, events};
use crate::auth::Caller;
use crate::budget::{LONG_READ, cost_of};
use crate::service::{PullRequest, Served};
use crate::sync::wire::SyncRequest;
use crate::sync::{Cursor, DeviceId};

/// What `server_version` says: the daemon's release.
pub(in crate::http) const RELEASE: &str = env!("CARGO_PKG_VERSION");

/// `POST /sync`.
pub(in crate::http) async fn sync(mut call: Call, caller: Caller) -> Answer {
    let (mut request, weight): (SyncRequest, usize) = call.weighed(caller.user).await?;
    request.changes.weight = weight;
    call.ignores(|ignored| ignored.merge(&request.changes.ignored));
    let budget = &call.app.service.budget;
    budget.spend(caller.user, cost_of(0, request.changes.count));
    if request.digest || request.last_sync_timestamp.is_some() {
        budget.spend(caller.user, LONG_READ);
    }
    let (device, full) = (request.device_id.clone(), request.force_full_sync);
    device.iter().for_each(|device| call.is_device(device));
    let Served { answer, turn } = call.app.service.sync(&caller, request).await?;
    if let Some(device) = device {
        call.app.live.synced(caller.user, &device, &answer, full).await;
    }
    call.result(caller.user, &answer, answer.about_bytes(), turn).await
}

/// `GET /changes`: the same as the download of `/sync`; with `wait`, once there is something or the time is over; or as a stream.
pub(in crate::http) async fn changes(mut call: Call, caller: Caller) -> Answer {
    if events::are_wanted(&call.headers) {
        return events::open(call, caller).await;
    }
    let query = &call.query;
    let request = PullRequest {
        cursor: query.value::<Cursor>("cursor", "<epoch>,user:<version>,global:<version>")?,
        since: query.text("last_sync_timestamp").map(time).transpose()?,
        tables: query.list("tables"),
        limit: query.value("limit", "a whole number")?,
        digest: query.value("digest", "true or false")?.unwrap_or(false),
    };
    let wait: u64 = query.value("wait", "a whole number of seconds")?.unwrap_or_default();
    let device = query.value("device_id", A_DEVICE)?;
    let wait = Duration::from_secs(wait.min(call.app.config.limits.poll_seconds));
    if request.digest || request.since.is_some() {
        call.app.service.budget.charge(caller.user, LONG_READ)?;
    }
    let (answer, turn) = poll::pull(&mut call, &caller, request, Patience { wait, device }).await?;
    match turn {
        Some(turn) => call.answer(caller.user, &answer, answer.about_bytes(), turn).await,
        None => json(&answer),
    }
}

/// `GET /digest`.
pub(in crate::http) async fn digest(call: Call, caller: Caller) -> Answer {
    call.app.service.budget.charge(caller.user, LONG_READ)?;
    json(&call.app.service.digest(&caller, &call.query.list("tables")).await?)
}

/// `GET /sync-status?device_id=`. A device that never called is no error: it is told what waits for it.
pub(in crate::http) async fn status(call: Call, caller: Caller) -> Answer {
    let device: DeviceId = call.query.required("device_id", A_DEVICE)?;
    call.is_device(&device);
    let status = call.app.service.sync_status(&caller, &device).await?;
    let is_online = call.app.live.online(caller.user).await.contains(&device);
    let pending_uploads = status.device.as_ref().map_or(0, |known| known.pending_uploads);
    json(&json!({
        "device_id": device,
        "is_online": is_online,
        "last_sync": status.last_sync,
        "cursor": status.device.and_then(|known| known.cursor),
        "pending_uploads": pending_uploads,
        "pending_downloads": status.pending_downloads,
        "server_version": RELEASE,
    }))
}

/// The body of `POST /trigger-sync`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Trigger {
    /// The device that asks, which needs no notice of its own.
    #[serde(default)]
    device_id: Option<DeviceId>,
}

/// `POST /trigger-sync`.
pub(in crate::http) async fn trigger(mut call: Call, caller: Caller) -> Answer {
    let trigger: Trigger = call.json_or_default(caller.user).await?;
    call.app.service.admit(&caller, trigger.device_id.as_ref()).await?;
    let notified = call.app.live.trigger_sync(caller.user, trigger.device_id.as_ref()).await;
    json(&json!({"notified": notified}))
}

fn time(text: &str) -> Result<DateTime<Utc>, Problem> {
    // An unescaped `+` of an offset arrives as a blank.
    let parsed = DateTime::parse_from_rfc3339(&text.replace(' ', "+"));
    parsed.map(|time| time.to_utc()).map_err(|_| {
        let message = "must be an RFC 3339 time, such as 2026-01-31T12:00:00Z";
        Problem::invalid(vec![FieldError::new("last_sync_timestamp", code::INVALID_FORMAT, message)])
    })
}
