//! Uploads by `POST /sync`, by several people at once.

use std::time::{Duration, Instant};

use anyhow::Result;
use ryzed_benches::generator::machine::Spent;
use ryzed_benches::generator::rest::Caller;
use ryzed_benches::generator::{Report, Server, Times};
use tokio::task::JoinSet;
use uuid::Uuid;

pub async fn run(server: &Server, pid: &[u32], batch: u32, people: u32, seconds: u32) -> Result<Report> {
    let end = Instant::now() + Duration::from_secs(seconds.into());
    let before = Spent::by(pid);
    let began = Instant::now();
    let mut working = JoinSet::new();
    for _ in 0..people {
        let caller = Caller::new(server, Uuid::new_v4(), "load-0");
        working.spawn_blocking(move || upload(&caller, batch.into(), end));
    }
    let mut all = Times::new();
    while let Some(worked) = working.join_next().await {
        all.merge(&worked??);
    }
    let took = began.elapsed().as_secs_f64();
    let after = Spent::by(pid);

    let mut report = Report::of("push");
    report.set("batch", batch);
    report.set("people", people);
    report.number("seconds", took);
    report.number("rows_per_s", (all.count() * u64::from(batch)) as f64 / took);
    report.number("uploads_per_s", all.count() as f64 / took);
    report.set("upload_ms", all.json());
    report.spent(&before, &after);
    Ok(report)
}

/// One upload after the other.
fn upload(caller: &Caller, batch: u64, end: Instant) -> Result<Times> {
    let mut times = Times::new();
    while Instant::now() < end {
        let rows: Vec<(Uuid, u64)> = (0..batch).map(|number| (Uuid::new_v4(), number)).collect();
        times.record(caller.push(&rows)?);
    }
    Ok(times)
}
