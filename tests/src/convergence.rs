//! The convergence harness: simulated devices against real daemons on a real database, while processes and lines break.
//! After quiet every copy must be the server's and every edit must have counted exactly once. What is done is drawn from a
//! seed ([`plan`]); what it meets depends on the machine.

mod altering;
mod device;
mod edits;
pub mod hostile;
mod line;
mod nemesis;
mod oracle;
mod outside;
pub mod plan;
mod presence;
mod proxy;
mod replica;
mod report;
mod sync;
mod timeline;
mod verdict;
mod world;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::Person;
use device::{Device, Identity};
use hostile::{Hostile, Seat};
use oracle::Oracle;
use plan::{DevicePlan, Dice, FaultPlan, Kind, WeatherPlan};

/// The time between two progress lines.
const PROGRESS: Duration = Duration::from_secs(5);
/// The time between two checks for violations.
const GLANCE: Duration = Duration::from_millis(200);
/// Writers with SQL.
const OUTSIDERS: usize = 2;

/// The options of a run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The seed of all decisions.
    pub seed: u64,
    /// The time for which things break.
    pub lasts: Duration,
    /// The number of devices.
    pub devices: usize,
    /// The number of people who have them.
    pub people: usize,
    /// The number of daemons that serve them.
    pub daemons: usize,
    /// On SQLite instead of PostgreSQL; one daemon, and nobody writes with SQL.
    pub sqlite: bool,
    /// True if Redis joins the daemons.
    pub redis: bool,
    /// The daemons' log level.
    pub log: String,
    /// The folder for the report of a failure.
    pub reports: PathBuf,
}

/// The result of a run.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The number of faults of the processes.
    pub faults: usize,
    /// The number of faults of the lines.
    pub weather: usize,
    /// Edits that were made.
    pub edits: usize,
    /// Edits that have a result.
    pub settled: usize,
    /// The events that the devices have met, counted.
    pub tallied: String,
    /// The path of the report, when something was wrong.
    pub report: Option<PathBuf>,
}

/// Runs to the end.
///
/// # Errors
/// When it can't begin, or the report can't be written.
pub async fn run(options: &Options) -> anyhow::Result<Outcome> {
    let people: Vec<Person> = (0..options.people).map(|_| Person::new()).collect();
    let ids: Vec<_> = people.iter().map(|person| person.id).collect();
    let (processes, lines) = world::begin(options, &people).await?;
    let lines = Arc::new(lines);
    let oracle = Arc::new(Oracle::of(options.people));
    verdict::know_catalogue(&processes, &oracle).await;
    let (stop, stopped) = watch::channel(false);
    let mut devices = tokio::task::JoinSet::new();
    for number in 0..options.devices {
        let id = identity(options, number, &people);
        let plan = DevicePlan::of(options.seed, &id.name);
        let device = Device::new(id.clone(), &people[id.person], lines.fronts(), &oracle, options.seed);
        devices.spawn(device.run(plan, stopped.clone()));
    }
    let mut others = tokio::task::JoinSet::new();
    for number in 0..OUTSIDERS {
        if let Some(url) = processes.sql() {
            let name = format!("sql-{number}");
            others.spawn(outside::Outside::new(&name, &url, &ids, &oracle, options.seed).run(stopped.clone()));
        }
    }
    let seats = processes.sql().map(Seat::Database).into_iter();
    let seats = seats.chain(processes.redis.as_ref().map(|redis| Seat::Redis(redis.port())));
    for seat in seats {
        others.spawn(Hostile::new(seat, &ids, &oracle).run(options.seed, stopped.clone()));
    }
    let weather =
        nemesis::break_lines(Arc::clone(&lines), WeatherPlan::of(options.seed), Arc::clone(&oracle), stopped.clone());
    let weather = tokio::spawn(weather);
    let faults = FaultPlan::of(options.seed, options.daemons, options.people, options.redis);
    let faults = tokio::spawn(nemesis::break_processes(processes, faults, Arc::clone(&oracle), stopped.clone()));

    watch_over(options, &oracle).await;
    stop.send_replace(true);
    let weather = weather.await?;
    let mut processes = faults.await?;
    others.join_all().await;
    let mut devices = devices.join_all().await;
    eprintln!("{:6.0}s quiet", oracle.timeline.elapsed().as_secs_f64());
    if oracle.violations().is_empty() {
        devices = verdict::come_to_rest(devices, &oracle).await;
        for (number, person) in people.iter().enumerate() {
            verdict::judge(number, person, &mut devices, &processes, &oracle).await;
        }
        presence::judge(&people, &mut devices, &processes, &oracle).await;
        if !tokio::task::block_in_place(|| processes.database().is_sound()) {
            oracle.violated("verdict", "the index and the tables do not fit");
        }
    }
    let (edits, settled) = oracle.counted();
    let report = report::write(options, &oracle, &mut processes)?;
    Ok(Outcome { faults: processes.faults, weather, edits, settled, tallied: oracle.tallied(), report })
}

/// Tells how it goes until the time is over or something is wrong.
async fn watch_over(options: &Options, oracle: &Oracle) {
    let mut next = Instant::now() + PROGRESS;
    while oracle.timeline.elapsed() < options.lasts && oracle.violations().is_empty() {
        sleep(GLANCE).await;
        if Instant::now() >= next {
            next += PROGRESS;
            let (edits, settled) = oracle.counted();
            let last = oracle.timeline.of(|actor| actor == "nemesis");
            let last = last.lines().last().map(str::trim).unwrap_or_default().to_owned();
            eprintln!("{:6.0}s {edits} edits, {settled} settled; {last}", oracle.timeline.elapsed().as_secs_f64());
        }
    }
}

/// Devices are dealt to the people; the clock of one in seven is days ahead, others are hours off.
fn identity(options: &Options, number: usize, people: &[Person]) -> Identity {
    let person = number % people.len();
    let mut dice = Dice::of(options.seed, &format!("identity {number}"));
    let skew = if number % 7 == 6 {
        TimeDelta::days(3)
    } else {
        TimeDelta::minutes(dice.between(0, 40 * 60) as i64) - TimeDelta::hours(20)
    };
    Identity { name: format!("device-{number:02}"), person, user: people[person].id, kind: Kind::of(number), skew }
}
