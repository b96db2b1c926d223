//! The caller's devices: list, rename, allow again, revoke.

use std::collections::HashSet;
use std::sync::Arc;

use ryzed_adapters::{FieldError, code};
use serde::{Deserialize, Deserializer, Serialize};

use super::super::answer::{Answer, json, no_content};
use super::super::call::Call;
use super::super::problem::Problem;
use crate::auth::Caller;
use crate::service::{DeviceInfo, ServiceError};
use crate::sync::DeviceId;

/// A device with the facts that only the realtime layer knows.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    known: DeviceInfo,
    /// True while it has a socket.
    is_active: bool,
}

/// `GET /devices`.
pub(in crate::http) async fn list(call: Call, caller: Caller) -> Answer {
    let devices = call.app.service.devices(&caller).await?;
    let online: HashSet<DeviceId> = call.app.live.online(caller.user).await.into_iter().collect();
    let shown = devices.into_iter().map(|known| Shown { is_active: online.contains(&known.device_id), known });
    json(&shown.collect::<Vec<_>>())
}

/// The body of `PATCH /devices/{id}`. A key that is absent changes nothing.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DevicePatch {
    /// The new name; `null` takes it away.
    #[serde(default, deserialize_with = "given")]
    name: Option<Option<String>>,
    /// `true` allows a revoked device again. `false` is `DELETE`.
    #[serde(default, alias = "allowed")]
    is_active: Option<bool>,
}

/// `PATCH /devices/{id}`.
pub(in crate::http) async fn change(mut call: Call, caller: Caller) -> Answer {
    let change: DevicePatch = call.json(caller.user).await?;
    let device = device(&call)?;
    if change.is_active == Some(false) {
        return Err(refused("is_active", code::NOT_ALLOWED, "use DELETE to revoke a device"));
    }
    let allow = change.is_active.is_some();
    let known = call.app.service.patch_device(&caller, &device, change.name, allow).await?;
    let is_active = call.app.live.online(caller.user).await.contains(&device);
    json(&Shown { known, is_active })
}

/// `DELETE /devices/{id}`.
pub(in crate::http) async fn revoke(call: Call, caller: Caller) -> Answer {
    let device = device(&call)?;
    let app = Arc::clone(&call.app);
    // In a task of its own: what was revoked is closed, too, when the client does not wait for the answer.
    let revoked = tokio::spawn(async move {
        app.service.revoke_device(&caller, &device).await?;
        app.live.close_device(caller.user, &device).await;
        Ok::<_, ServiceError>(())
    });
    revoked.await.map_err(|error| {
        tracing::error!(%error, "revoking a device failed");
        Problem::internal()
    })??;
    no_content()
}

/// The device id in the path. An impossible id names no device.
fn device(call: &Call) -> Result<DeviceId, Problem> {
    call.name.parse().map_err(|_| Problem::not_found("there is no such device"))
}

fn refused(field: &str, code: &str, message: &str) -> Problem {
    Problem::invalid(vec![FieldError::new(field, code, message)])
}

/// Tells `null` from absent.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(text: &str) -> Option<DevicePatch> {
        serde_json::from_str(text).ok()
    }

    #[test]
    fn null_takes_the_name_and_absent_leaves_it() {
        assert_eq!(change(r#"{"name":null}"#).unwrap().name, Some(None));
        assert_eq!(change(r#"{"name":"Watch"}"#).unwrap().name, Some(Some("Watch".into())));
        assert_eq!(change("{}").unwrap().name, None);
        assert_eq!(change(r#"{"allowed":true}"#).unwrap().is_active, Some(true));
        assert!(change(r#"{"colour":"red"}"#).is_none());
    }
}
