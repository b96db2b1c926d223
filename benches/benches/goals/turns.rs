//! Measurements that the yardstick does as well: daemon and yardstick take turns.

use ryzed_benches::goals::{Goal, Row};

use crate::Plan;
use crate::subject::{Kind, Places, figure};

/// One measurement: its words, the generator's arguments, and the figures that are read, each with its unit and goal.
struct Measurement {
    arguments: &'static [&'static str],
    figures: &'static [(&'static str, &'static str, &'static str)],
}

const ALL: [Measurement; 5] = [
    Measurement {
        arguments: &["throughput", "--people", "50", "--devices", "2"],
        figures: &[("changes, 50 × 2", "changes_per_s", "/s")],
    },
    Measurement {
        arguments: &["throughput", "--people", "500", "--devices", "2"],
        figures: &[("changes, 500 × 2", "changes_per_s", "/s")],
    },
    Measurement {
        arguments: &["fanout", "--people", "50", "--devices", "8"],
        figures: &[("deliveries, 50 × 8", "deliveries_per_s", "/s")],
    },
    Measurement {
        arguments: &["latency", "--people", "50", "--devices", "2", "--rate", "200"],
        figures: &[
            ("delivery at 200/s, p50", "delivery_ms/p50", "ms"),
            ("delivery at 200/s, p99", "delivery_ms/p99", "ms"),
        ],
    },
    Measurement {
        arguments: &["latency", "--people", "50", "--devices", "2", "--rate", "1000"],
        figures: &[
            ("delivery at 1,000/s, p50", "delivery_ms/p50", "ms"),
            ("delivery at 1,000/s, p99", "delivery_ms/p99", "ms"),
        ],
    },
];

fn goal(kind: Kind, what: &str) -> Goal {
    match (kind, what) {
        // Their yardstick is one relay without anything between.
        (Kind::Pair, _) | (_, "delivery at 200/s, p50" | "delivery at 1,000/s, p50") => Goal::None,
        (_, "deliveries, 50 × 8") => Goal::Share(0.6),
        (_, "delivery at 200/s, p99") => Goal::Times(2.0),
        (_, "delivery at 1,000/s, p99") => Goal::Times(3.0),
        (Kind::Sqlite, _) => Goal::Share(0.4),
        (Kind::Postgres, _) => Goal::Share(0.35),
    }
}

/// The rows of a kind, without figures.
pub fn rows(kind: Kind) -> Vec<Row> {
    let figures = ALL.iter().flat_map(|measurement| measurement.figures);
    figures.map(|(what, _, unit)| Row::of(format!("{}: {what}", kind.name()), unit, goal(kind, what))).collect()
}

/// One round of all measurements; who begins changes from round to round.
pub fn round(places: &Places, kind: Kind, round: usize, plan: &Plan, rows: &mut [Row], faults: &mut Vec<String>) {
    let seconds = plan.seconds.to_string();
    let mut at = 0;
    for measurement in &ALL {
        let arguments = [measurement.arguments, &["--seconds", &seconds]].concat();
        for turn in 0..2 {
            let is_daemon = (turn + round).is_multiple_of(2);
            let subject = if is_daemon { places.daemon(kind) } else { places.relay(kind) };
            let result = subject.load(&arguments, faults);
            for (row, (_, path, _)) in rows[at..].iter_mut().zip(measurement.figures) {
                let figure = figure(&result, path);
                if is_daemon { row.ours(figure) } else { row.yardstick(figure) }
            }
        }
        at += measurement.figures.len();
    }
}
