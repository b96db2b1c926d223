//! `ryzed-relay`: the yardstick as a server of its own. See `ryzed_benches::relay`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{ArgGroup, Parser, ValueEnum};
use ryzed_benches::relay::{Place, Relay};

/// The environment variable of the secret; the daemon's own.
const SECRET: &str = "RYZED_AUTH__SECRET";
/// The environment variable of the database's URL; the daemon's own.
const DATABASE: &str = "RYZED_DATABASE__URL";
/// Open files that thousands of devices need.
const FILES: u64 = 200_000;

/// A yardstick for `ryzed`: the least that a server of its sockets could do.
///
/// It checks the token (HS256), stores each change in one table, each in a transaction, and hands it to the person's other
/// devices in the frames of the protocol. It has no REST, no index, no rules, no resuming. Measure it beside the daemon, on
/// the same database with the same durability, with `ryzed-load latency`, `throughput`, `fanout`, `idle` and `storm`; the
/// ratio is what everything else costs.
///
/// The database must be new or the relay's own: the relay refuses one with other tables, and empties its own at each start.
#[derive(Parser)]
#[command(group = ArgGroup::new("database").required(true), after_help = AFTER)]
struct Arguments {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1:8437")]
    listen: String,
    /// File of a SQLite database
    #[arg(long, group = "database")]
    sqlite: Option<String>,
    /// Takes the PostgreSQL database whose URL is in RYZED_DATABASE__URL
    #[arg(long, group = "database")]
    postgres: bool,
    /// Waits of a SQLite commit: `full` for the disk, as the daemon does
    #[arg(long, value_enum, default_value_t = Synchronous::Full)]
    synchronous: Synchronous,
    /// File that holds the secret of the tokens, instead of RYZED_AUTH__SECRET
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// Threads
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: u16,
}

const AFTER: &str = "Exit codes: 1 it failed, 2 wrong use.\n\nExample:\n  export RYZED_AUTH__SECRET=at-least-thirty-two-bytes-of-secret\n  \
    ryzed-relay --sqlite /tmp/relay.db & ryzed-load throughput --url http://127.0.0.1:8437 --pid $!";

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Synchronous {
    Full,
    Normal,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ryzed-relay: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let secret = match &arguments.secret_file {
        Some(file) => std::fs::read_to_string(file).with_context(|| format!("{} can't be read", file.display()))?,
        None => std::env::var(SECRET).with_context(|| format!("set {SECRET}, or name a --secret-file"))?,
    };
    let place = match &arguments.sqlite {
        Some(file) => Place::Sqlite { file: file.clone(), is_full: arguments.synchronous == Synchronous::Full },
        None => Place::Postgres(std::env::var(DATABASE).with_context(|| format!("set {DATABASE}"))?),
    };
    // The limit that there is does for fewer devices.
    let _ = rlimit::increase_nofile_limit(FILES);
    let threads = usize::from(arguments.threads);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    runtime.block_on(async {
        let relay = Relay::open(&arguments.listen, secret.trim(), &place, None).await?;
        println!("ryzed-relay: listening on http://{}, process {}", relay.address()?, std::process::id());
        relay.serve().await;
        Ok(())
    })
}
