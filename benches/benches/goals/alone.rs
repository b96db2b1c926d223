//! Measurements that the yardstick can't do: the daemon's figures are held against a bound, or against themselves.

use std::time::{Duration, Instant};

use ryzed_benches::Spread;
use ryzed_benches::goals::{Goal, Row};

use crate::Plan;
use crate::subject::{Kind, Places, Subject, figure};

/// The rows of a small history, and the times that it is copied to know what a page of it takes.
const FEW: &str = "1000";
const COPIES: usize = 5;
/// Until a daemon has ended.
const STOP: Duration = Duration::from_secs(15);

/// The rows of a kind, without figures. Two instances are measured only for what two instances change.
pub fn rows(kind: Kind, plan: &Plan) -> Vec<Row> {
    if kind == Kind::Pair {
        return Vec::new();
    }
    let row = |what: &str, unit, goal| Row::of(format!("{}: {what}", kind.name()), unit, goal);
    let many = plan.rows;
    // The goal is for 100,000 rows.
    let copy = if many == 100_000 { Goal::AtMost(2.0) } else { Goal::None };
    vec![
        row("5,000 devices come for the first time", "s", Goal::None),
        row("5,000 devices come again", "s", Goal::AtMost(0.8)),
        row("processor time of each", "ms", Goal::AtMost(0.3)),
        row("memory of an idle device", "KiB", Goal::AtMost(12.0)),
        row("share of the best rate at twice the load", "", Goal::AtLeast(0.8)),
        row("p99 of a device added meanwhile", "ms", Goal::AtMost(1000.0)),
        row(&format!("first copy of {many} rows"), "s", copy),
        row(&format!("a page of {many} rows, to one of 1,000"), "ms", Goal::Times(1.3)),
        row(&format!("start with {many} rows"), "s", Goal::AtMost(1.0)),
    ]
}

/// One round, each on a new daemon.
pub fn round(places: &Places, kind: Kind, plan: &Plan, rows: &mut [Row], faults: &mut Vec<String>) {
    let [first, again, each, idle, share, added, copy, page, start] = rows else { return };
    let storm = places.daemon(kind).load(&["storm", "--connections", "5000", "--again", "1"], faults);
    first.ours(figure(&storm, "first_all_s"));
    again.ours(figure(&storm, "again_all_s"));
    each.ours(figure(&storm, "again_cpu_ms_each"));
    idle.ours(figure(&places.daemon(kind).load(&["idle", "--connections", "5000"], faults), "kib_each"));

    let seconds = plan.seconds.to_string();
    let overload = places.daemon(kind).load(&["overload", "--seconds", &seconds], faults);
    share.ours(figure(&overload, "share_of_best"));
    added.ours(figure(&overload, "added_delivery_ms/p99"));

    let mut subject = places.daemon(kind);
    let few = [(); COPIES].map(|()| figure(&subject.load(&["first-copy", "--rows", FEW], faults), "page_ms/p50"));
    page.yardstick(Spread::of(few.to_vec()).middle());
    let large = subject.load(&["first-copy", "--rows", &plan.rows.to_string()], faults);
    copy.ours(figure(&large, "copy_s"));
    page.ours(figure(&large, "page_ms/p50"));
    start.ours(restart(&mut subject).as_secs_f64());
}

/// The time until a daemon that has ended is ready again.
fn restart(subject: &mut Subject) -> Duration {
    let daemon = subject.first();
    daemon.terminate();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let code = runtime.block_on(async { tokio::time::timeout(STOP, daemon.exit_code()).await });
    assert_eq!(code.ok(), Some(0), "the daemon did not end well");
    let began = Instant::now();
    daemon.restart();
    began.elapsed()
}
