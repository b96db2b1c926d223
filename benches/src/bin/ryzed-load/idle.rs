//! Devices that are connected while nothing happens, and the cost of each.

use std::time::Duration;

use anyhow::{Result, bail};
use ryzed_benches::generator::hub::{Hub, MeasuredBy};
use ryzed_benches::generator::machine::Spent;
use ryzed_benches::generator::{Crowd, Report, Server};
use tokio::time::sleep;

use crate::cli::Connected;

/// Until memory has settled before the first and after the last connection.
const CALM: Duration = Duration::from_secs(2);

pub async fn run(server: &Server, pid: &[u32], connected: &Connected, hold: u32) -> Result<Report> {
    if pid.is_empty() {
        bail!("idle reads the server's memory: name its process with --pid");
    }
    let people = connected.connections.div_ceil(connected.devices);
    let count = people * connected.devices;
    let before = Spent::by(pid);
    let mut crowd =
        Crowd::gather(Hub::new(MeasuredBy::Due), server, people as usize, connected.devices as usize).await?;
    let in_all = crowd.hub().now();
    let came = Spent::by(pid);
    sleep(Duration::from_secs(hold.into())).await;
    let held = Spent::by(pid);
    let still = crowd.connected();
    let mut report = Report::of("idle");
    report.set("connections", count);
    report.set("devices", connected.devices);
    report.number("connect_s", in_all as f64 / 1e9);
    report.number("connect_cpu_ms_each", (came.cpu - before.cpu) * 1000.0 / f64::from(count));
    report.number("kib_each", (held.resident_kib as f64 - before.resident_kib as f64) / f64::from(count));
    report.number("idle_cpu_s", held.cpu - came.cpu);
    report.set("still_connected", still);
    report.fault("a device was disconnected while nothing happened", still < count as usize);
    report.troubles(crowd.hub());
    crowd.leave().await;
    sleep(CALM).await;
    let gone = Spent::by(pid);
    report.number("kib_each_after", (gone.resident_kib as f64 - before.resident_kib as f64) / f64::from(count));
    Ok(report)
}
