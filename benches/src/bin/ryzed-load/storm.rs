//! All devices connect at once, as after a network's end or a server's restart.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use ryzed_benches::generator::crowd::{Visitor, arrive, visitors};
use ryzed_benches::generator::machine::Spent;
use ryzed_benches::generator::rest::Caller;
use ryzed_benches::generator::{Report, Server, Times};
use tokio::time::sleep;
use uuid::Uuid;

use crate::cli::Connected;

/// Until the server has noticed that all are gone.
const CALM: Duration = Duration::from_secs(2);

pub async fn run(server: &Server, pid: &[u32], connected: &Connected, again: u32) -> Result<Report> {
    let people = connected.connections.div_ceil(connected.devices);
    let count = people * connected.devices;
    let cursor = newest(server).await;
    let mut report = Report::of("storm");
    report.set("connections", count);
    report.set("devices", connected.devices);
    report.set("cursor", cursor.as_deref().unwrap_or("none"));
    let cursor: Option<Arc<str>> = cursor.map(Into::into);
    let devices = connected.devices as usize;
    let all = (0..people).flat_map(|_| visitors(server, Uuid::new_v4(), devices, cursor.as_ref()));
    let all: Vec<Visitor> = all.collect();
    for time in 0..=again {
        let before = Spent::by(pid);
        let sockets = arrive(all.clone(), count as usize).await?;
        let after = Spent::by(pid);
        let mut times = Times::new();
        sockets.iter().for_each(|(_, took)| times.record(*took));
        let name = if time == 0 { "first" } else { "again" };
        report.number(&format!("{name}_all_s"), times.at(1.0) / 1000.0);
        report.set(&format!("{name}_ms"), times.json());
        if after.resident_kib > 0 {
            report.number(&format!("{name}_cpu_ms_each"), (after.cpu - before.cpu) * 1000.0 / f64::from(count));
        }
        drop(sockets);
        sleep(CALM).await;
    }
    Ok(report)
}

/// The place of somebody who has everything. A server without downloads, such as the yardstick, has none.
async fn newest(server: &Server) -> Option<String> {
    let server = server.clone();
    let ask = move || Caller::new(&server, Uuid::new_v4(), "load-0").newest();
    tokio::task::spawn_blocking(ask).await.ok()?.ok()
}
