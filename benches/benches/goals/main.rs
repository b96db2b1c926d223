//! The goals of the daemon's speed (`docs/performance.md`): the daemon and the yardstick take turns on the same database with
//! the same durability, on SQLite, on PostgreSQL, and as two instances with Redis. The result is a table, and a page with plots
//! in `target/bench/report.html`.
//!
//! Environment: `RYZED_BENCH_ROUNDS` (3), `RYZED_BENCH_SECONDS` of each measurement (6), `RYZED_BENCH_ROWS` of large copies
//! (100000), `RYZED_BENCH_PLACES` (`sqlite,postgres,pair`).

mod alone;
mod sql;
mod subject;
mod turns;

use std::path::PathBuf;

use chrono::Utc;
use ryzed_benches::goals::{Row, page, table};
use ryzed_benches::{load, requested};

use subject::{Kind, Places};

/// Everything that a run may choose.
#[derive(Debug, Clone)]
pub struct Plan {
    rounds: usize,
    seconds: u32,
    rows: u32,
    places: Vec<Kind>,
}

impl Plan {
    fn of_environment() -> Self {
        let number = |name: &str, usual: u32| match std::env::var(name) {
            Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text}")),
            Err(_) => usual,
        };
        let places = std::env::var("RYZED_BENCH_PLACES").unwrap_or_else(|_| "sqlite,postgres,pair".to_owned());
        Self {
            rounds: number("RYZED_BENCH_ROUNDS", 3).max(1) as usize,
            seconds: number("RYZED_BENCH_SECONDS", 6).max(1),
            rows: number("RYZED_BENCH_ROWS", 100_000).max(1000),
            places: places.split(',').map(Kind::of).collect(),
        }
    }
}

fn main() {
    if !requested() {
        return;
    }
    let plan = Plan::of_environment();
    let notes = vec![
        format!("{}, {} rounds of {} s each", Utc::now().format("%Y-%m-%d %H:%M UTC"), plan.rounds, plan.seconds),
        load(),
    ];
    println!("goals: {}", notes.join("; "));
    let places = Places::open(&plan.places);
    let (mut rows, mut faults) = (Vec::new(), Vec::new());
    for kind in &plan.places {
        let mut of_kind = turns::rows(*kind);
        let mut of_daemon = alone::rows(*kind, &plan);
        let mut of_sql = sql::rows(*kind);
        for round in 0..plan.rounds {
            eprintln!("{}: round {} of {}", kind.name(), round + 1, plan.rounds);
            turns::round(&places, *kind, round, &plan, &mut of_kind, &mut faults);
            alone::round(&places, *kind, &plan, &mut of_daemon, &mut faults);
            sql::round(&places, *kind, &plan, &mut of_sql);
        }
        rows.extend(of_kind.into_iter().chain(of_daemon).chain(of_sql));
    }
    report(&rows, notes, &faults);
    if !faults.is_empty() {
        std::process::exit(1);
    }
}

fn report(rows: &[Row], mut notes: Vec<String>, faults: &[String]) {
    notes.push(format!("at the end: {}", load()));
    notes.extend(faults.iter().map(|fault| format!("fault: {fault}")));
    println!("{}\n\n{}", notes.join("\n"), table(rows));
    let file = folder().join("report.html");
    match std::fs::write(&file, page(rows, &notes)) {
        Ok(()) => println!("{}", file.display()),
        Err(error) => eprintln!("{} was not written: {error}", file.display()),
    }
}

/// `<target>/bench`, seen from `<target>/<profile>/deps/<bench>`.
fn folder() -> PathBuf {
    let bench = std::env::current_exe().expect("the bench knows its own path");
    let target = bench.ancestors().nth(3).expect("the bench lies in a target folder");
    let folder = target.join("bench");
    std::fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    folder
}
