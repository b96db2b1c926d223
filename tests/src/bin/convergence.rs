//! Runs the convergence harness: see `--help`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use ryzed_tests::convergence::{self, Options};

/// Devices edit and sync while daemons, databases and lines break; then all is made quiet, and every copy must be the
/// server's and every edit must have counted exactly once.
///
/// Devices are simulated clients with a copy and an offline queue of their own. Daemons, PostgreSQL and Redis are real
/// processes that this program starts from the installed binaries, on free ports, and ends. `RYZED_BIN` names the daemon,
/// else it is the one that was built beside this program.
///
/// The seed decides who edits what and what breaks when. What these plans meet depends on the machine, so a seed that
/// failed fails again often, not always. A failure is written to a folder: what was wrong, a timeline of everybody
/// concerned, and the daemons' logs. The exit code is then 1.
#[derive(Parser)]
#[command(name = "convergence")]
struct Arguments {
    /// The first seed; each run takes the next one
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The number of seeds that are run, one after the other
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The minutes for which things break in each run; coming to rest takes up to two more
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
    /// The number of devices
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u16).range(1..=60))]
    devices: u16,
    /// The number of people who have them; at most 20 devices each
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=20))]
    people: u16,
    /// The number of daemons that serve them
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=8))]
    daemons: u16,
    /// One daemon on SQLite: nobody writes with SQL, and no database server breaks
    #[arg(long)]
    sqlite: bool,
    /// The daemons are not joined by Redis, so that they hear of each other by notices and sweeps of the database
    #[arg(long)]
    without_redis: bool,
    /// The daemons' log level, as in RYZED_LOG
    #[arg(long, default_value = "info")]
    log: String,
    /// The folder for reports of failures
    #[arg(long, default_value = "target/convergence")]
    reports: PathBuf,
}

impl Arguments {
    fn run(&self, seed: u64) -> anyhow::Result<Options> {
        anyhow::ensure!(
            self.minutes.is_finite() && self.minutes > 0.0 && self.minutes <= 24.0 * 60.0,
            "--minutes is more than 0 and at most 1440"
        );
        anyhow::ensure!(
            self.devices.div_ceil(self.people) < 20,
            "--devices: one person may have 20 devices, and one is the judge's; take more --people"
        );
        Ok(Options {
            seed,
            lasts: Duration::from_secs_f64(self.minutes * 60.0),
            devices: self.devices.into(),
            people: self.people.into(),
            daemons: if self.sqlite { 1 } else { self.daemons.into() },
            sqlite: self.sqlite,
            redis: !self.sqlite && !self.without_redis,
            log: self.log.clone(),
            reports: self.reports.clone(),
        })
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut failed = false;
    for seed in arguments.seed..arguments.seed.saturating_add(arguments.seeds) {
        let options = match arguments.run(seed) {
            Ok(options) => options,
            Err(error) => {
                eprintln!("{error:#}");
                return ExitCode::from(2);
            }
        };
        let database = if options.sqlite { "SQLite" } else { "PostgreSQL" };
        let (joined, lasts) = (if options.redis { " and Redis" } else { "" }, options.lasts);
        eprintln!(
            "seed {seed}: {} devices, {} daemons, {database}{joined}, {lasts:?}",
            options.devices, options.daemons
        );
        match convergence::run(&options).await {
            Ok(of) => {
                let verdict = of
                    .report
                    .as_ref()
                    .map_or("converged".to_owned(), |report| format!("FAILED, see {}", report.display()));
                failed |= of.report.is_some();
                println!(
                    "seed {seed}: {verdict}; {} faults, {} broken lines, {} edits, {} settled; {}",
                    of.faults, of.weather, of.edits, of.settled, of.tallied
                );
            }
            Err(error) => {
                failed = true;
                println!("seed {seed}: could not run: {error:#}");
            }
        }
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
