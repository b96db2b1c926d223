//! The real things: daemons, a database server, Redis, and a line to and from each daemon that can be broken.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use uuid::Uuid;

use super::Options;
use super::proxy::Proxy;
use crate::postgres::Cluster;
use crate::{Daemon, Database, Person, Redis};

/// A daemon says that it stops, and is gone.
const DRAIN_SECONDS: u32 = 1;
/// Sockets that are silent for two of these are closed.
const HEARTBEAT_SECONDS: u32 = 5;
/// A reader that is a little slow already has to pull.
const OUTBOX_BYTES: u32 = 16 << 10;
/// The time for which a daemon that does nothing counts as alive; most pauses are longer.
const LEASE_SECONDS: u32 = 3;
/// The time for which a change can go unnoticed when all hints are lost.
pub const SWEEP: Duration = Duration::from_secs(2);

/// The processes.
#[derive(Debug)]
pub struct Processes {
    /// The daemons.
    pub daemons: Vec<Daemon>,
    /// The database server; none on SQLite.
    pub cluster: Option<Arc<Cluster>>,
    /// Redis, if it takes part.
    pub redis: Option<Redis>,
    /// The ids of the people.
    pub people: Vec<Uuid>,
    /// The number of faults so far.
    pub faults: usize,
    url: Option<String>,
}

impl Processes {
    /// The database's URL for a client with SQL, past all lines; none on SQLite.
    #[must_use]
    pub fn sql(&self) -> Option<String> {
        self.url.clone()
    }

    /// The database, past all lines.
    #[must_use]
    pub fn database(&self) -> Database {
        match &self.url {
            Some(url) => Database::Postgres(url.clone()),
            None => self.daemons[0].database(),
        }
    }
}

/// The lines that can be broken.
#[derive(Debug)]
pub struct Lines {
    lines: Vec<(String, Proxy)>,
    fronts: Vec<String>,
}

impl Lines {
    /// A line for any number.
    #[must_use]
    pub fn pick(&self, number: usize) -> (&str, &Proxy) {
        let (name, proxy) = &self.lines[number % self.lines.len()];
        (name, proxy)
    }

    /// The addresses of the daemons for devices.
    #[must_use]
    pub fn fronts(&self) -> &[String] {
        &self.fronts
    }
}

/// Starts everything.
///
/// # Errors
/// When there is no port for a line.
pub async fn begin(options: &Options, people: &[Person]) -> anyhow::Result<(Processes, Lines)> {
    let cluster = (!options.sqlite).then(|| Arc::new(tokio::task::block_in_place(Cluster::start)));
    let url = cluster.as_ref().map(|cluster| cluster.new_database());
    let redis = options.redis.then(|| tokio::task::block_in_place(Redis::start));
    let mut lines = Vec::new();
    let mut daemons = Vec::new();
    for number in 0..options.daemons {
        let mut builder = Daemon::builder()
            .env("RYZED_SYNC__SWEEP_SECONDS", SWEEP.as_secs())
            .env("RYZED_SYNC__HEARTBEAT_SECONDS", HEARTBEAT_SECONDS)
            .env("RYZED_SYNC__LEASE_SECONDS", LEASE_SECONDS)
            .env("RYZED_SERVER__DRAIN_SECONDS", DRAIN_SECONDS)
            .env("RYZED_LIMITS__OUTBOX_BYTES", OUTBOX_BYTES)
            // Its devices are busier than people are.
            .env("RYZED_LIMITS__REQUESTS_PER_SECOND", 10_000)
            .env("RYZED_LIMITS__REQUEST_BURST", 100_000)
            .env("RYZED_LOG", &options.log);
        if let (Some(cluster), Some(url)) = (&cluster, &url) {
            let proxy = Proxy::to(local(cluster.port())).await?;
            let through = url.replace(&cluster.port().to_string(), &proxy.address().port().to_string());
            builder = builder.env("RYZED_DATABASE__URL", through);
            lines.push((format!("daemon {number} to PostgreSQL"), proxy));
        } else {
            builder = builder.without("RYZED_DATABASE__URL");
        }
        if let Some(redis) = &redis {
            let proxy = Proxy::to(local(redis.port())).await?;
            builder = builder.env("RYZED_REDIS__URL", format!("redis://{}", proxy.address()));
            lines.push((format!("daemon {number} to Redis"), proxy));
        }
        daemons.push(tokio::task::block_in_place(|| builder.start()));
    }
    let mut fronts = Vec::new();
    for (number, daemon) in daemons.iter().enumerate() {
        let proxy = Proxy::to(daemon.address().parse().context("a daemon's address")?).await?;
        fronts.push(proxy.address().to_string());
        lines.push((format!("devices to daemon {number}"), proxy));
    }
    let people = people.iter().map(|person| person.id).collect();
    Ok((Processes { daemons, cluster, redis, people, faults: 0, url }, Lines { lines, fronts }))
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}
