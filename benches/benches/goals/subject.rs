//! The subjects: a daemon, or two, or the yardstick, each new and on a new database, and the generator beside them.

use std::process::Command;

use ryzed_benches::relay::{Place, Relay};
use ryzed_benches::release;
use ryzed_tests::daemon::Builder;
use ryzed_tests::postgres::Cluster;
use ryzed_tests::{Daemon, Redis, SECRET};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::{Builder as RuntimeBuilder, Runtime};

/// Limits that a generator with few addresses and few people would meet.
const LIMITS: [&str; 6] = [
    "MESSAGES_PER_SECOND",
    "MESSAGE_BURST",
    "REQUESTS_PER_SECOND",
    "REQUEST_BURST",
    "CONNECTIONS",
    "CONNECTIONS_PER_ADDRESS",
];
const FREE: u32 = 1_000_000;
/// The threads of the yardstick: as many as the machine's that all the figures are from.
const THREADS: usize = 2;

/// The place of a measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A daemon on SQLite.
    Sqlite,
    /// A daemon on PostgreSQL.
    Postgres,
    /// Two daemons on PostgreSQL with Redis between them: one is written to, the other is listened to.
    Pair,
}

impl Kind {
    /// The place of this name.
    pub fn of(name: &str) -> Self {
        match name.trim() {
            "sqlite" => Self::Sqlite,
            "postgres" => Self::Postgres,
            "pair" => Self::Pair,
            other => panic!("RYZED_BENCH_PLACES names sqlite, postgres and pair, not {other}"),
        }
    }

    /// The name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
            Self::Pair => "two instances, Redis",
        }
    }
}

/// The servers of databases, which stay while subjects come and go.
pub struct Places {
    cluster: Option<Cluster>,
    redis: Option<Redis>,
}

impl Places {
    /// Starts what these kinds need. PostgreSQL writes to the disk, as in production.
    pub fn open(kinds: &[Kind]) -> Self {
        let needs = |wanted: &[Kind]| kinds.iter().any(|kind| wanted.contains(kind));
        Self {
            cluster: needs(&[Kind::Postgres, Kind::Pair]).then(Cluster::durable),
            redis: needs(&[Kind::Pair]).then(Redis::start),
        }
    }

    /// The URL of a new database of PostgreSQL.
    pub fn new_database(&self) -> String {
        self.cluster.as_ref().expect("PostgreSQL was started for this kind").new_database()
    }

    /// A new daemon, or two.
    pub fn daemon(&self, kind: Kind) -> Subject {
        let daemons = match kind {
            Kind::Sqlite => vec![free(release()).start()],
            Kind::Postgres => vec![free(release()).env("RYZED_DATABASE__URL", self.new_database()).start()],
            Kind::Pair => {
                let url = self.new_database();
                let redis = self.redis.as_ref().expect("Redis was started for this kind");
                let prefix = url.rsplit('/').next().unwrap_or_default().to_owned();
                let both = free(release())
                    .env("RYZED_DATABASE__URL", url)
                    .env("RYZED_REDIS__URL", redis.url())
                    .env("RYZED_REDIS__PREFIX", prefix);
                vec![both.clone().start(), both.start()]
            }
        };
        let urls: Vec<String> = daemons.iter().map(|daemon| format!("http://{}", daemon.address())).collect();
        Subject { urls: urls.join(","), daemons, _relay: None }
    }

    /// A new yardstick.
    pub fn relay(&self, kind: Kind) -> Subject {
        let folder = tempfile::Builder::new().prefix("ryzed-relay-").tempdir().expect("a folder");
        let place = match kind {
            Kind::Sqlite => Place::Sqlite { file: folder.path().join("relay.db").display().to_string(), is_full: true },
            Kind::Postgres | Kind::Pair => Place::Postgres(self.new_database()),
        };
        let runtime = RuntimeBuilder::new_multi_thread().worker_threads(THREADS).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let relay = runtime.block_on(Relay::open("127.0.0.1:0", SECRET, &place, None)).expect("a relay");
        let urls = format!("http://{}", relay.address().expect("its address"));
        runtime.spawn(relay.serve());
        Subject { urls, daemons: Vec::new(), _relay: Some((runtime, folder)) }
    }
}

/// A daemon without limits that a measurement would meet.
fn free(builder: Builder) -> Builder {
    LIMITS.iter().fold(builder.alone(), |builder, limit| builder.env(&format!("RYZED_LIMITS__{limit}"), FREE))
}

/// A running server. It ends with the value.
pub struct Subject {
    urls: String,
    daemons: Vec<Daemon>,
    /// The folder goes after the runtime that writes into it.
    _relay: Option<(Runtime, TempDir)>,
}

impl Subject {
    /// The first daemon.
    pub fn first(&mut self) -> &mut Daemon {
        self.daemons.first_mut().expect("a daemon is measured here")
    }

    /// Runs the generator against it; the result. What it finds wrong is added to the faults.
    pub fn load(&self, arguments: &[&str], faults: &mut Vec<String>) -> Value {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ryzed-load"));
        command.args(arguments).args(["--json", "--url", &self.urls]).env("RYZED_AUTH__SECRET", SECRET);
        let pids: Vec<String> = self.daemons.iter().map(|daemon| daemon.pid().to_string()).collect();
        if !pids.is_empty() {
            command.args(["--pid", &pids.join(",")]);
        }
        let output = command.output().expect("the generator runs");
        let result: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        if !output.status.success() {
            let error = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            let of = if self.daemons.is_empty() { "the yardstick" } else { "ryzed" };
            faults.push(format!("{of}, {}: {error}{result}", arguments.join(" ")));
        }
        result
    }
}

/// A figure of a result, such as `delivery_ms/p99`; not a number where there is none.
pub fn figure(result: &Value, path: &str) -> f64 {
    path.split('/').fold(result, |value, member| &value[member]).as_f64().unwrap_or(f64::NAN)
}
