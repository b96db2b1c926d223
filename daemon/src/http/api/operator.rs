//! The restricted calls: `/active-users`, and `/test-broadcast` where it is switched on.

use ryzed_adapters::{FieldError, code};
use serde::Deserialize;
use serde_json::json;

use super::super::answer::{Answer, json};
use super::super::call::Call;
use super::super::problem::{Kind, Problem};
use super::tables::topics_of;
use crate::auth::Caller;

/// `GET /active-users`.
pub(in crate::http) async fn active_users(call: Call, caller: Caller) -> Answer {
    if !caller.role.is_admin() {
        return Err(Problem::new(Kind::Forbidden, "this needs the role admin or service_role"));
    }
    let active = call.app.live.active_users().await;
    json(&json!({"total": active.len(), "active_users": active}))
}

/// The body of `POST /test-broadcast`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Broadcast {
    message: String,
    #[serde(default)]
    topic: Option<String>,
}

/// `POST /test-broadcast`. Where it is switched off it does not exist, whoever asks.
pub(in crate::http) async fn test_broadcast(mut call: Call) -> Answer {
    if !call.app.config.dev.test_broadcast {
        call.discard().await;
        return Err(Problem::not_found("test broadcasts are off; dev.test_broadcast switches them on"));
    }
    let caller = call.caller().await?;
    call.app.service.admit(&caller, None).await?;
    let broadcast: Broadcast = call.json(caller.user).await?;
    if let Some(topic) = &broadcast.topic {
        check_topic(&call, &caller, topic)?;
    }
    let delivered = call.app.live.test_broadcast(caller.user, &broadcast.message, broadcast.topic.as_deref()).await;
    json(&json!({"delivered": delivered}))
}

/// A caller speaks to their own devices; to everybody's, through the catalogue, only with a role that may write it.
fn check_topic(call: &Call, caller: &Caller, topic: &str) -> Result<(), Problem> {
    if !topics_of(&call.app.service.registry, caller.user).iter().any(|known| known == topic) {
        let error = FieldError::new("topic", code::NOT_ALLOWED, "must be one of GET /api/realtime/topics");
        return Err(Problem::invalid(vec![error]));
    }
    if topic.starts_with("global:") && !caller.role.is_admin() {
        return Err(Problem::new(Kind::Forbidden, "to speak to everybody needs the role admin or service_role"));
    }
    Ok(())
}
