//! One device of three stops reading while the others go on; then it reads again, and catches up.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::Result;
use futures_util::StreamExt as _;
use ryzed_benches::generator::device::{Socket, connect_slowly};
use ryzed_benches::generator::hub::{Hub, MeasuredBy};
use ryzed_benches::generator::machine::Spent;
use ryzed_benches::generator::rest::{Caller, PAGE};
use ryzed_benches::generator::words::{Heard, hear};
use ryzed_benches::generator::{Crowd, Report, Schedule, Server};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use crate::latency::{finished, pace};

/// The bytes that its system takes off the wire meanwhile.
const RECEIVE_BUFFER: u32 = 4096;
/// The time after which nothing more comes to it.
const QUIET: Duration = Duration::from_secs(2);

pub async fn run(server: &Server, pid: &[u32], rate: u32, seconds: u32) -> Result<Report> {
    let length = Duration::from_secs(seconds.into());
    let hub = Hub::new(MeasuredBy::Due);
    hub.measure(0..u64::MAX);
    let crowd = Crowd::gather(hub, server, 1, 2).await?;
    let person = crowd.people()[0].id();
    let mut slow = connect_slowly(server, &server.token(person), "load-slow", RECEIVE_BUFFER).await?;
    let before = Spent::by(pid);
    let pacing = pace(&crowd, crowd.hub().now(), rate, Schedule::of_rate(rate).before(length));
    sleep(length).await;
    let late = finished(pacing).await?;
    crowd.settle().await;
    let after = Spent::by(pid);

    let (mut had, was_told) = read(&mut slow).await;
    let live = had.len();
    if was_told {
        let server = server.clone();
        had.extend(tokio::task::spawn_blocking(move || pull(&server, person)).await??);
    }
    let missing = crowd.people()[0].ledger().accepted().filter(|row| !had.contains(row)).count();

    let mut report = Report::of("slow");
    report.set("rate", rate);
    report.set("seconds", seconds);
    report.set("others_delivery_ms", crowd.hub().delivery().json());
    report.set("send_late_ms", late.json());
    report.set("slow_had_live", live);
    report.set("slow_was_told_to_pull", was_told);
    report.set("slow_missing", missing);
    report.fault("the slow device misses changes", missing > 0);
    report.counts(&crowd.counts());
    report.spent(&before, &after);
    report.troubles(crowd.hub());
    crowd.leave().await;
    Ok(report)
}

/// Everything that still comes, and whether the device was told that more is to be pulled.
async fn read(slow: &mut Socket) -> (HashSet<Uuid>, bool) {
    let (mut had, mut was_told) = (HashSet::new(), false);
    while let Ok(Some(Ok(message))) = timeout(QUIET, slow.next()).await {
        let Message::Text(text) = message else { continue };
        match hear(&text) {
            Heard::Row { row, .. } => drop(had.insert(row)),
            Heard::Behind => was_told = true,
            _ => {}
        }
    }
    (had, was_told)
}

fn pull(server: &Server, person: Uuid) -> Result<Vec<Uuid>> {
    let caller = Caller::new(server, person, "load-slow");
    let (mut rows, mut cursor) = (Vec::new(), None);
    loop {
        let page = caller.pull(cursor.as_deref(), PAGE)?;
        rows.extend(page.rows.into_iter().map(|(row, _)| row));
        if !page.has_more {
            return Ok(rows);
        }
        cursor = Some(page.cursor);
    }
}
