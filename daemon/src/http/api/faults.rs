//! `POST /faults/{actor}`: has an actor panic or hang. Only in the build that stories break.

use serde::Deserialize;
use serde_json::json;

use super::super::answer::{Answer, json};
use super::super::call::Call;
use super::super::problem::Problem;
use crate::actors::{Fault, Victim};
use crate::sync::{DeviceId, UserId};

/// The requested fault, and its victim where there are many of a kind.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    r#do: Deed,
    user: Option<UserId>,
    device: Option<DeviceId>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Deed {
    Panic,
    Hang,
}

/// `POST /faults/{actor}`.
pub(in crate::http) async fn fault(mut call: Call) -> Answer {
    let wish: Wish = call.json(UserId(uuid::Uuid::nil())).await?;
    let fault = match wish.r#do {
        Deed::Panic => Fault::Panic,
        Deed::Hang => Fault::Hang,
    };
    let victim = match (call.name.as_str(), wish.user, wish.device) {
        ("sessions", None, None) => Victim::Sessions,
        ("session", Some(user), None) => Victim::Session(user),
        ("catalogue", None, None) => Victim::Catalogue,
        ("devices", None, None) => Victim::Devices,
        ("device", Some(user), Some(device)) => Victim::Device(user, device),
        ("feed", None, None) => Victim::Feed,
        ("bridge", None, None) => Victim::Bridge,
        ("presence", None, None) => Victim::Presence,
        ("janitor", None, None) => Victim::Janitor,
        ("root", None, None) => Victim::Root,
        _ => return Err(Problem::not_found("no such actor, or user and device do not fit it")),
    };
    if !call.app.live.fault(victim, fault) {
        return Err(Problem::not_found("this actor does not run"));
    }
    json(&json!({"asked": call.name}))
}
