//! An open loop: changes at their times, whatever has come back.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use rand::RngExt as _;
use ryzed_benches::generator::hub::{Hub, MOST_CHANGES, MeasuredBy, Person};
use ryzed_benches::generator::machine::Spent;
use ryzed_benches::generator::{Crowd, Report, Schedule, Server, Times};
use tokio::time::sleep;

use crate::cli::Crowded;

/// Between the last connection and the first change.
const CALM: Duration = Duration::from_millis(500);
const LEAD: Duration = Duration::from_millis(100);
const LOOK: Duration = Duration::from_millis(5);

pub async fn run(server: &Server, pid: &[u32], crowded: &Crowded, rate: u32) -> Result<Report> {
    let whole = crowded.span.warm_up() + crowded.span.measured();
    let count = Schedule::of_rate(rate).before(whole);
    if count > MOST_CHANGES {
        bail!("{count} changes are more than one run may send ({MOST_CHANGES}): take fewer seconds");
    }
    let hub = Hub::new(MeasuredBy::Due);
    let crowd = Crowd::gather(hub, server, crowded.people as usize, crowded.devices as usize).await?;
    sleep(CALM).await;
    let start = crowd.hub().now() + LEAD.as_nanos() as u64;
    let from = start + crowded.span.warm_up().as_nanos() as u64;
    crowd.hub().measure(from..start + whole.as_nanos() as u64);
    let pacing = pace(&crowd, start, rate, count);
    sleep(LEAD + crowded.span.warm_up()).await;
    let before = Spent::by(pid);
    sleep(crowded.span.measured()).await;
    let after = Spent::by(pid);
    let late = finished(pacing).await?;
    crowd.settle().await;

    let mut report = Report::of("latency");
    report.set("people", crowded.people);
    report.set("devices", crowded.devices);
    report.set("rate", rate);
    report.set("seconds", crowded.span.seconds);
    report.set("delivery_ms", crowd.hub().delivery().json());
    report.set("answer_ms", crowd.hub().answer().json());
    report.set("send_late_ms", late.json());
    report.counts(&crowd.counts());
    report.spent(&before, &after);
    report.troubles(crowd.hub());
    crowd.leave().await;
    Ok(report)
}

/// Starts a thread that sends so many changes of the crowd, each by somebody at random, at their times; its end tells how
/// late they went out. A thread sleeps more exactly than a task.
pub fn pace(crowd: &Crowd, start: u64, rate: u32, count: u64) -> JoinHandle<Times> {
    let (people, hub): (Vec<Arc<Person>>, Arc<Hub>) = (crowd.people().to_vec(), Arc::clone(crowd.hub()));
    std::thread::spawn(move || {
        // A kernel that does not know this wakes the thread 50 µs late.
        let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
        let (schedule, mut chance, mut late) = (Schedule::of_rate(rate), rand::rng(), Times::new());
        for number in 0..count {
            let due = start + schedule.due(number);
            let person = &people[chance.random_range(0..people.len())];
            if let Some(early) = due.checked_sub(hub.now()).filter(|early| *early > 0) {
                std::thread::sleep(Duration::from_nanos(early));
            }
            late.record(Duration::from_nanos(hub.now().saturating_sub(due)));
            person.send(due);
        }
        late
    })
}

/// Waits for the end of the thread.
pub async fn finished(pacing: JoinHandle<Times>) -> Result<Times> {
    while !pacing.is_finished() {
        sleep(LOOK).await;
    }
    pacing.join().map_err(|_| anyhow!("the thread that sends has failed"))
}
