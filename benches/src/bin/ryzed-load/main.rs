//! `ryzed-load`: loads a daemon from outside, measures it, and counts what is lost, doubled, misdelivered or out of order.

mod cli;
mod closed;
mod copy;
mod idle;
mod latency;
mod overload;
mod push;
mod slow;
mod storm;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Parser as _;
use ryzed_benches::generator::{Report, Server};
use tokio::runtime::{Builder, Runtime};

use cli::{Arguments, SECRET, Test};

/// Open files besides those of the devices.
const OTHER_FILES: u64 = 100;
/// The time beside the measured one that no run exceeds.
const PATIENCE: Duration = Duration::from_secs(600);
const WRONG_USE: u8 = 2;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (server, runtime) = match prepared(&arguments) {
        Ok(prepared) => prepared,
        Err(error) => {
            eprintln!("ryzed-load: {error:#}");
            return ExitCode::from(WRONG_USE);
        }
    };
    let limit = PATIENCE + arguments.test.length();
    let done = runtime.block_on(async { tokio::time::timeout(limit, run(&arguments, server)).await });
    runtime.shutdown_background();
    match done.unwrap_or_else(|_| bail_after(limit)) {
        Ok(report) => {
            if arguments.common.json {
                println!("{}", report.json());
            } else {
                println!("{report}");
            }
            if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("ryzed-load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn bail_after(limit: Duration) -> Result<Report> {
    bail!("the run was given up after {} s", limit.as_secs())
}

/// Everything that can be wrong before the first connection.
fn prepared(arguments: &Arguments) -> Result<(Server, Runtime)> {
    let common = &arguments.common;
    let secret = match &common.secret_file {
        Some(file) => std::fs::read_to_string(file).with_context(|| format!("{} can't be read", file.display()))?,
        None => std::env::var(SECRET).with_context(|| format!("set {SECRET}, or name a --secret-file"))?,
    };
    let server = Server::at(&common.url, common.allow_host.as_deref(), secret.trim())?;
    if let Some(gone) = common.pid.iter().find(|pid| !std::path::Path::new(&format!("/proc/{pid}")).exists()) {
        bail!("--pid {gone}: there is no such process");
    }
    let wanted = arguments.test.sockets() + OTHER_FILES;
    let files = rlimit::increase_nofile_limit(wanted).unwrap_or_default();
    if files < wanted {
        bail!("{wanted} files would be open, but only {files} may be: raise ulimit -n, or take fewer devices");
    }
    // One thread leaves the other processors to the server.
    let runtime = match common.threads {
        1 => Builder::new_current_thread().enable_all().build()?,
        threads => Builder::new_multi_thread().worker_threads(threads.into()).enable_all().build()?,
    };
    Ok((server, runtime))
}

async fn run(arguments: &Arguments, server: Server) -> Result<Report> {
    let pid = &arguments.common.pid;
    let mut report = match &arguments.test {
        Test::Latency { crowd, rate } => latency::run(&server, pid, crowd, *rate).await?,
        Test::Throughput { crowd, in_flight } => closed::run("throughput", &server, pid, crowd, *in_flight).await?,
        Test::Fanout { crowd, in_flight } => closed::run("fanout", &server, pid, &crowd.crowd(), *in_flight).await?,
        Test::Idle { connected, hold } => idle::run(&server, pid, connected, *hold).await?,
        Test::Storm { connected, again } => storm::run(&server, pid, connected, *again).await?,
        Test::FirstCopy { rows } => copy::run(&server, pid, *rows).await?,
        Test::Push { batch, people, seconds } => push::run(&server, pid, *batch, *people, *seconds).await?,
        Test::Slow { rate, seconds } => slow::run(&server, pid, *rate, *seconds).await?,
        Test::Overload { crowd, in_flight } => overload::run(&server, pid, crowd, *in_flight).await?,
    };
    if let Some(label) = &arguments.common.label {
        report.set("label", label);
    }
    Ok(report)
}
