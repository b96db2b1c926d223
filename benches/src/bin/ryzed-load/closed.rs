//! A closed loop: each person has so many changes under way all the time.

use std::time::Duration;

use anyhow::Result;
use ryzed_benches::generator::hub::{Hub, MOST_CHANGES, MeasuredBy};
use ryzed_benches::generator::machine::Spent;
use ryzed_benches::generator::{Crowd, Report, Server};
use tokio::time::sleep;

use crate::cli::Crowded;

pub async fn run(name: &str, server: &Server, pid: &[u32], crowded: &Crowded, in_flight: u32) -> Result<Report> {
    let hub = Hub::new(MeasuredBy::Arrival);
    let crowd = Crowd::gather(hub, server, crowded.people as usize, crowded.devices as usize).await?;
    begin(&crowd, in_flight);
    let (before, after) = measured(&crowd, pid, crowded.span.warm_up(), crowded.span.measured()).await;
    crowd.hub().set_looping(false);
    crowd.settle().await;

    let mut report = Report::of(name);
    report.set("people", crowded.people);
    report.set("devices", crowded.devices);
    report.set("in_flight", in_flight);
    report.set("seconds", crowded.span.seconds);
    let seconds = f64::from(crowded.span.seconds);
    let (answer, delivery) = (crowd.hub().answer().clone(), crowd.hub().delivery().clone());
    report.number("changes_per_s", answer.count() as f64 / seconds);
    report.number("deliveries_per_s", delivery.count() as f64 / seconds);
    report.set("delivery_ms", delivery.json());
    report.set("answer_ms", answer.json());
    report.counts(&crowd.counts());
    report.fault("the most changes of one run were sent before its end", crowd.hub().sent() >= MOST_CHANGES);
    report.spent(&before, &after);
    report.troubles(crowd.hub());
    crowd.leave().await;
    Ok(report)
}

/// Has everybody begin.
pub fn begin(crowd: &Crowd, in_flight: u32) {
    crowd.hub().set_looping(true);
    for person in crowd.people() {
        (0..in_flight).for_each(|_| person.send(crowd.hub().now()));
    }
}

/// Measures for a time after the warm-up; what the server had used at its begin and at its end.
pub async fn measured(crowd: &Crowd, pid: &[u32], warm_up: Duration, length: Duration) -> (Spent, Spent) {
    sleep(warm_up).await;
    let (from, before) = (crowd.hub().now(), Spent::by(pid));
    crowd.hub().measure(from..from + length.as_nanos() as u64);
    sleep(length).await;
    (before, Spent::by(pid))
}
