//! The open conflicts: list and settle.

use uuid::Uuid;

use super::super::answer::{Answer, SMALL, json};
use super::super::call::Call;
use super::super::problem::Problem;
use crate::auth::Caller;
use crate::service::{Served, Settlement};

/// `GET /conflicts`.
pub(in crate::http) async fn list(mut call: Call, caller: Caller) -> Answer {
    let after = call.query.value::<Uuid>("after", "the `after` of the page before")?;
    let limit = call.query.value("limit", "a whole number")?;
    let Served { answer, turn } = call.app.service.conflicts(&caller, after, limit).await?;
    call.answer(caller.user, &answer, SMALL, turn).await
}

/// `POST /conflicts/{id}/resolve`.
pub(in crate::http) async fn resolve(mut call: Call, caller: Caller) -> Answer {
    let settlement: Settlement = call.json(caller.user).await?;
    let id = Uuid::try_parse(&call.name).map_err(|_| Problem::not_found("there is no such conflict"))?;
    json(&call.app.service.settle(&caller, id, settlement).await?)
}
