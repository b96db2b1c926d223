//! Twice the rate that the server can do, and one person who comes along meanwhile.

use std::time::Duration;

use anyhow::Result;
use ryzed_benches::generator::hub::{Hub, MeasuredBy};
use ryzed_benches::generator::{Crowd, Report, Schedule, Server};
use tokio::time::sleep;

use crate::cli::Crowded;
use crate::closed::{begin, measured};
use crate::latency::{finished, pace};

/// The changes a second of the one who comes along.
const CALM_RATE: u32 = 10;
/// The multiple of the best rate.
const TIMES: f64 = 2.0;

pub async fn run(server: &Server, pid: &[u32], crowded: &Crowded, in_flight: u32) -> Result<Report> {
    let best = best(server, crowded, in_flight).await?;
    let asked = ((best * TIMES) as u32).clamp(1, 100_000);
    let (people, devices) = (crowded.people as usize, crowded.devices as usize);
    let crowd = Crowd::gather(Hub::new(MeasuredBy::Arrival), server, people, devices).await?;
    let (warm_up, length) = (crowded.span.warm_up(), crowded.span.measured());
    let start = crowd.hub().now();
    let pacing = pace(&crowd, start, asked, Schedule::of_rate(asked).before(warm_up + length));
    sleep(warm_up / 2).await;

    let hub = Hub::new(MeasuredBy::Due);
    hub.measure(0..u64::MAX);
    let added = Crowd::gather(hub, server, 1, 2).await?;
    let connected = Duration::from_nanos(added.hub().now());
    let calm = pace(&added, added.hub().now(), CALM_RATE, Schedule::of_rate(CALM_RATE).before(warm_up / 2 + length));
    let (before, after) = measured(&crowd, pid, warm_up / 2, length).await;
    let late = finished(pacing).await?;
    finished(calm).await?;
    added.settle().await;
    crowd.settle().await;

    let mut report = Report::of("overload");
    report.number("best_changes_per_s", best);
    report.set("asked_changes_per_s", asked);
    let reached = crowd.hub().answer().count() as f64 / length.as_secs_f64();
    report.number("changes_per_s", reached);
    report.number("share_of_best", reached / best);
    report.number("added_connect_ms", connected.as_secs_f64() * 1000.0);
    report.set("added_delivery_ms", added.hub().delivery().json());
    report.set("send_late_ms", late.json());
    let crowds = crowd.counts();
    report.set("crowd", crowds);
    // A device that falls behind is told to pull, so that some deliveries are missing here.
    let is_wrong = crowds.doubled + crowds.misdelivered + crowds.out_of_order > 0;
    report.fault("changes were doubled, misdelivered or out of order", is_wrong);
    report.counts(&added.counts());
    report.spent(&before, &after);
    report.troubles(crowd.hub());
    added.leave().await;
    crowd.leave().await;
    Ok(report)
}

/// The rate that a closed loop reaches.
async fn best(server: &Server, crowded: &Crowded, in_flight: u32) -> Result<f64> {
    let (people, devices) = (crowded.people as usize, crowded.devices as usize);
    let crowd = Crowd::gather(Hub::new(MeasuredBy::Arrival), server, people, devices).await?;
    begin(&crowd, in_flight);
    measured(&crowd, &[], crowded.span.warm_up(), crowded.span.measured()).await;
    crowd.hub().set_looping(false);
    crowd.settle().await;
    let answers = crowd.hub().answer().count();
    crowd.leave().await;
    Ok(answers as f64 / crowded.span.measured().as_secs_f64())
}
