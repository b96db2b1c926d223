//! An empty device downloads everything that its person has.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::Result;
use ryzed_benches::generator::machine::Spent;
use ryzed_benches::generator::rest::{Caller, PAGE};
use ryzed_benches::generator::{Counts, Report, Server, Times};
use uuid::Uuid;

pub async fn run(server: &Server, pid: &[u32], rows: u32) -> Result<Report> {
    let (server, pid) = (server.clone(), pid.to_vec());
    tokio::task::spawn_blocking(move || copy(&server, &pid, rows as usize)).await?
}

fn copy(server: &Server, pid: &[u32], rows: usize) -> Result<Report> {
    let person = Uuid::new_v4();
    let began = Instant::now();
    let ids = seed(&Caller::new(server, person, "load-0"), rows)?;
    let upload = began.elapsed();

    let before = Spent::by(pid);
    let copy = download(&Caller::new(server, person, "load-1"))?;
    let after = Spent::by(pid);

    let mut report = Report::of("first-copy");
    report.set("rows", rows);
    report.number("upload_s", upload.as_secs_f64());
    report.number("copy_s", copy.took.as_secs_f64());
    report.number("rows_per_s", rows as f64 / copy.took.as_secs_f64());
    report.number("mib", copy.bytes as f64 / f64::from(1 << 20));
    report.set("page_ms", copy.pages.json());
    report.counts(&balance(&ids, &copy));
    report.spent(&before, &after);
    if !pid.is_empty() {
        report.number("server_peak_mib", after.peak_kib as f64 / 1024.0);
    }
    Ok(report)
}

/// Uploads new rows of a person.
fn seed(caller: &Caller, rows: usize) -> Result<HashSet<Uuid>> {
    let ids: Vec<(Uuid, u64)> = (0..rows as u64).map(|number| (Uuid::new_v4(), number)).collect();
    ids.chunks(PAGE).try_for_each(|chunk| caller.push(chunk).map(|_| ()))?;
    Ok(ids.into_iter().map(|(id, _)| id).collect())
}

/// Everything that one device got.
struct Copy {
    rows: Vec<(Uuid, i64)>,
    pages: Times,
    took: Duration,
    bytes: usize,
}

fn download(caller: &Caller) -> Result<Copy> {
    let mut copy = Copy { rows: Vec::new(), pages: Times::new(), took: Duration::ZERO, bytes: 0 };
    let mut cursor = None;
    let began = Instant::now();
    loop {
        let page = caller.pull(cursor.as_deref(), PAGE)?;
        copy.pages.record(page.took);
        copy.bytes += page.bytes;
        copy.rows.extend(page.rows);
        if !page.has_more {
            copy.took = began.elapsed();
            return Ok(copy);
        }
        cursor = Some(page.cursor);
    }
}

/// The balance of a copy: the rows that came, held against those that there are.
fn balance(ids: &HashSet<Uuid>, copy: &Copy) -> Counts {
    let mut counts = Counts { sent: ids.len() as u64, accepted: ids.len() as u64, ..Counts::default() };
    let (mut seen, mut newest) = (HashSet::with_capacity(ids.len()), 0);
    for (id, version) in &copy.rows {
        match (ids.contains(id), seen.insert(*id)) {
            (false, _) => counts.misdelivered += 1,
            (true, false) => counts.doubled += 1,
            (true, true) => counts.delivered += 1,
        }
        counts.out_of_order += u64::from(*version <= newest);
        newest = newest.max(*version);
    }
    counts.lost = counts.sent - counts.delivered;
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_held_against_what_there_is() {
        let id = Uuid::from_u128;
        let ids = HashSet::from([id(1), id(2), id(3)]);
        let of = |rows: &[(u128, i64)]| {
            let rows = rows.iter().map(|(row, version)| (id(*row), *version)).collect();
            balance(&ids, &Copy { rows, pages: Times::new(), took: Duration::ZERO, bytes: 0 })
        };
        assert!(of(&[(1, 1), (2, 2), (3, 5)]).is_exact());
        let counts = of(&[(1, 4), (1, 5), (9, 6), (2, 3)]);
        let faults = [counts.lost, counts.doubled, counts.misdelivered, counts.out_of_order];
        assert_eq!(faults, [1, 1, 1, 1]);
    }
}
