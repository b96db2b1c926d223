//! The long poll: `GET /changes` with `wait` has its answer once there is something, or the time is over.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::super::call::Call;
use super::super::problem::Problem;
use crate::actors::{Wait, Woken};
use crate::auth::Caller;
use crate::budget::Turn;
use crate::service::{PullRequest, Served};
use crate::sync::wire::SyncResponse;
use crate::sync::{Cursor, DeviceId};

/// Looks of one request: who is told so often of what it is not shown gets an empty answer.
const MOST_LOOKS: usize = 100;

/// What a request for changes says of waiting.
pub(in crate::http) struct Patience {
    /// How long.
    pub(in crate::http) wait: Duration,
    /// The device that asks, if it says which.
    pub(in crate::http) device: Option<DeviceId>,
}

/// Pulls, and waits while there is nothing. Meanwhile it holds no connection to the database and nobody's turn; an answer without
/// one is empty.
pub(in crate::http) async fn pull(
    call: &mut Call,
    caller: &Caller,
    request: PullRequest,
    patience: Patience,
) -> Result<(SyncResponse, Option<Turn>), Problem> {
    let Patience { wait, device } = patience;
    let (app, until) = (Arc::clone(&call.app), Instant::now() + wait);
    let service = &app.service;
    if let Some(device) = &device {
        call.is_device(device);
        service.admit(caller, Some(device)).await?;
    }
    let mut known: Option<Cursor> = None;
    for _ in 0..MOST_LOOKS {
        let Served { answer, turn } = service.pull(caller, request.clone()).await?;
        if has_news(&answer) || Instant::now() >= until {
            return Ok((answer, Some(turn)));
        }
        call.waits();
        drop(turn);
        // What it was told of and is not shown is no news a second time.
        let after = known.map_or_else(|| answer.cursor.clone(), |known| later(known, &answer.cursor));
        let (device, tables) = (device.clone(), request.tables.clone());
        let woken = app.live.wait(Wait { caller: caller.clone(), device, tables, after, until }).await?;
        match woken {
            Woken::News(there) => known = Some(there),
            Woken::Nothing => return Ok((answer, None)),
        }
        service.budget.charge(caller.user, 1)?;
    }
    let Served { answer, turn } = service.pull(caller, request).await?;
    Ok((answer, Some(turn)))
}

fn has_news(answer: &SyncResponse) -> bool {
    answer.total_changes > 0 || answer.has_more || answer.reset
}

/// The newer of both, scope by scope.
fn later(one: Cursor, other: &Cursor) -> Cursor {
    Cursor { user: one.user.max(other.user), global: one.global.max(other.global), ..one }
}
