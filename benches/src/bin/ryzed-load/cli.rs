//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, value_parser};

/// The environment variable of the secret; the daemon's own.
pub const SECRET: &str = "RYZED_AUTH__SECRET";

/// Loads a `ryzed` daemon (or `ryzed-relay`) over its public interface and measures it.
///
/// Each run makes new people, writes rows of `food_entries` as their devices, and keeps a ledger of what every device should
/// have had. It fails when an accepted change is lost, comes twice, comes to somebody else, or comes out of order.
///
/// The rows stay in the database: load a daemon that was started for it.
#[derive(Parser)]
#[command(after_help = AFTER)]
pub struct Arguments {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub test: Test,
}

const AFTER: &str = "\
Exit codes: 0 all is well; 1 changes were lost, doubled, misdelivered or out of order, or the run failed; 2 wrong use.

The secret is that of the daemon (auth.secret, HS256), from RYZED_AUTH__SECRET or --secret-file; it is never an argument, \
which everybody on the machine could read.

A daemon limits what one person and one address may do (docs/operating.md, Limits). For a measurement start it with
  RYZED_LIMITS__MESSAGES_PER_SECOND=1000000 RYZED_LIMITS__MESSAGE_BURST=1000000 and what else its refusals name.

Examples:
  ryzed-load throughput --secret-file data/secret --pid $(pidof ryzed)
  ryzed-load latency --rate 1000 --seconds 30 --json >> runs.jsonl
  ryzed-load storm --connections 5000
  ryzed-load latency --url https://sync.example.org --allow-host sync.example.org --rate 20";

#[derive(Args)]
pub struct Common {
    /// Address of the daemon; several, apart by commas, of daemons on one database: a person's devices take turns
    #[arg(long, global = true, value_delimiter = ',', default_value = "http://127.0.0.1:8000")]
    pub url: Vec<String>,
    /// Host that may be loaded although it is not this machine; only if it is yours
    #[arg(long, global = true, value_name = "HOST")]
    pub allow_host: Option<String>,
    /// File that holds the secret, instead of RYZED_AUTH__SECRET
    #[arg(long, global = true, value_name = "FILE")]
    pub secret_file: Option<PathBuf>,
    /// Processes of the server on this machine whose memory and processor time are told
    #[arg(long, global = true, value_delimiter = ',')]
    pub pid: Vec<u32>,
    /// Threads of the generator
    #[arg(long, global = true, default_value_t = 1, value_parser = value_parser!(u8).range(1..=16))]
    pub threads: u8,
    /// Prints one line of JSON instead of a table
    #[arg(long, global = true)]
    pub json: bool,
    /// Text that comes along in the result as `label`
    #[arg(long, global = true)]
    pub label: Option<String>,
}

/// People with devices that write and listen for a time.
#[derive(Args, Clone)]
pub struct Crowded {
    /// People
    #[arg(long, default_value_t = 50, value_parser = value_parser!(u32).range(1..=20_000))]
    pub people: u32,
    /// Devices of each: the first writes, the others listen
    #[arg(long, default_value_t = 2, value_parser = value_parser!(u32).range(1..=63))]
    pub devices: u32,
    #[command(flatten)]
    pub span: Span,
}

/// The same with more devices.
#[derive(Args, Clone)]
pub struct Fanned {
    /// People
    #[arg(long, default_value_t = 50, value_parser = value_parser!(u32).range(1..=20_000))]
    pub people: u32,
    /// Devices of each: the first writes, the others listen
    #[arg(long, default_value_t = 8, value_parser = value_parser!(u32).range(2..=63))]
    pub devices: u32,
    #[command(flatten)]
    pub span: Span,
}

#[derive(Args, Clone)]
pub struct Span {
    /// Seconds that are measured
    #[arg(long, default_value_t = 8, value_parser = value_parser!(u32).range(1..=600))]
    pub seconds: u32,
    /// Seconds before them
    #[arg(long, default_value_t = 2, value_parser = value_parser!(u32).range(0..=120))]
    pub warm_up: u32,
}

/// Devices that connect and do nothing.
#[derive(Args, Clone)]
pub struct Connected {
    /// Devices in all
    #[arg(long, default_value_t = 1000, value_parser = value_parser!(u32).range(1..=25_000))]
    pub connections: u32,
    /// Devices of each person
    #[arg(long, default_value_t = 2, value_parser = value_parser!(u32).range(1..=63))]
    pub devices: u32,
}

impl Fanned {
    pub fn crowd(&self) -> Crowded {
        Crowded { people: self.people, devices: self.devices, span: self.span.clone() }
    }
}

impl Span {
    pub fn warm_up(&self) -> Duration {
        Duration::from_secs(self.warm_up.into())
    }

    pub fn measured(&self) -> Duration {
        Duration::from_secs(self.seconds.into())
    }

    fn whole(&self) -> Duration {
        self.warm_up() + self.measured()
    }
}

#[derive(Subcommand)]
pub enum Test {
    /// Time from a write to the other device, at a fixed rate
    ///
    /// An open loop: each change is due at its time whatever has come back, and its time runs from then (no coordinated
    /// omission). `send_late_ms` tells how late the generator itself was; figures below it mean nothing.
    Latency {
        #[command(flatten)]
        crowd: Crowded,
        /// Changes a second in all
        #[arg(long, default_value_t = 200, value_parser = value_parser!(u32).range(1..=100_000))]
        rate: u32,
    },
    /// The most changes a second
    ///
    /// A closed loop: each person sends the next change when one has been answered and has come to all other devices.
    Throughput {
        #[command(flatten)]
        crowd: Crowded,
        /// Changes of each person under way
        #[arg(long, default_value_t = 4, value_parser = value_parser!(u32).range(1..=1000))]
        in_flight: u32,
    },
    /// The most deliveries a second, to many devices of each person
    Fanout {
        #[command(flatten)]
        crowd: Fanned,
        /// Changes of each person under way
        #[arg(long, default_value_t = 4, value_parser = value_parser!(u32).range(1..=1000))]
        in_flight: u32,
    },
    /// Memory of devices that are connected while nothing happens (needs --pid)
    Idle {
        #[command(flatten)]
        connected: Connected,
        /// Seconds until memory is read
        #[arg(long, default_value_t = 5, value_parser = value_parser!(u32).range(1..=600))]
        hold: u32,
    },
    /// All devices connect at once, with a current cursor
    Storm {
        #[command(flatten)]
        connected: Connected,
        /// Times that they all come again after the first
        #[arg(long, default_value_t = 1, value_parser = value_parser!(u32).range(0..=20))]
        again: u32,
    },
    /// An empty device of a person with many rows downloads them all
    FirstCopy {
        /// Rows, which are uploaded first
        #[arg(long, default_value_t = 10_000, value_parser = value_parser!(u32).range(1..=1_000_000))]
        rows: u32,
    },
    /// Uploads by `POST /sync`, as fast as they are taken
    Push {
        /// Rows of each upload
        #[arg(long, default_value_t = 1000, value_parser = value_parser!(u32).range(1..=1000))]
        batch: u32,
        /// People who upload at the same time
        #[arg(long, default_value_t = 4, value_parser = value_parser!(u32).range(1..=200))]
        people: u32,
        /// Seconds
        #[arg(long, default_value_t = 8, value_parser = value_parser!(u32).range(1..=600))]
        seconds: u32,
    },
    /// One device stops reading: the others must not feel it, and it must miss nothing in the end
    Slow {
        /// Changes a second
        #[arg(long, default_value_t = 200, value_parser = value_parser!(u32).range(1..=10_000))]
        rate: u32,
        /// Seconds for which it does not read
        #[arg(long, default_value_t = 8, value_parser = value_parser!(u32).range(1..=50))]
        seconds: u32,
    },
    /// Twice what the daemon can do: it must go on at its best rate, and serve one who comes along
    Overload {
        #[command(flatten)]
        crowd: Crowded,
        /// Changes of each person under way while its best rate is found
        #[arg(long, default_value_t = 4, value_parser = value_parser!(u32).range(1..=1000))]
        in_flight: u32,
    },
}

impl Test {
    /// The sockets that it opens.
    pub fn sockets(&self) -> u64 {
        match self {
            Self::Latency { crowd, .. } | Self::Throughput { crowd, .. } => sockets(crowd.people, crowd.devices),
            Self::Fanout { crowd, .. } => sockets(crowd.people, crowd.devices),
            Self::Idle { connected, .. } | Self::Storm { connected, .. } => connected.connections.into(),
            Self::FirstCopy { .. } => 1,
            Self::Push { people, .. } => (*people).into(),
            Self::Slow { .. } => 3,
            Self::Overload { crowd, .. } => 2 * sockets(crowd.people, crowd.devices),
        }
    }

    /// The time that is asked for.
    pub fn length(&self) -> Duration {
        match self {
            Self::Latency { crowd, .. } | Self::Throughput { crowd, .. } => crowd.span.whole(),
            Self::Fanout { crowd, .. } => crowd.span.whole(),
            Self::Overload { crowd, .. } => 3 * crowd.span.whole(),
            Self::Idle { hold, .. } => Duration::from_secs((*hold).into()),
            Self::Push { seconds, .. } | Self::Slow { seconds, .. } => Duration::from_secs((*seconds).into()),
            Self::Storm { .. } | Self::FirstCopy { .. } => Duration::ZERO,
        }
    }
}

fn sockets(people: u32, devices: u32) -> u64 {
    u64::from(people) * u64::from(devices)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn no_argument_takes_a_secret() {
        let arguments: Vec<String> =
            Arguments::command().get_arguments().filter_map(|one| one.get_long().map(str::to_owned)).collect();
        assert!(arguments.contains(&"secret-file".to_owned()));
        assert!(!arguments.contains(&"secret".to_owned()));
    }
}
