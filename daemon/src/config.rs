//! The configuration: the keys, their meanings, defaults and valid values.
//!
//! Where values come from (file, environment, flags) and how a wrong one is reported is in `load`.
//! `config/ryzed.toml` shows every key; a test holds it to this file.

mod auth;
mod check;
mod demo_people;
mod file;
mod level;
mod limits;
mod load;
mod masked;
mod redis_address;
mod table_rules;
mod trusted_proxy;
mod value;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::private;

pub use auth::{Auth, Hs256};
pub use demo_people::DemoPeople;
pub use level::log_filter;
pub use limits::Limits;
pub use load::{ConfigError, Flag, Loaded, Sources};
pub use masked::has_password;
pub use redis_address::{RedisAddress, RedisKind};
pub use table_rules::{Reach, TableConfig};
pub use trusted_proxy::TrustedProxy;

/// Everything an operator can set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The folder of the database and the secret, unless they are named.
    pub data_dir: PathBuf,
    /// The HTTP server.
    pub server: Server,
    /// The storage of rows.
    pub database: Database,
    /// The connection between several instances.
    pub redis: Redis,
    /// The tokens that are accepted.
    pub auth: Auth,
    /// The synchronisation of devices.
    pub sync: Sync,
    /// The bounds on what one client can use.
    pub limits: Limits,
    /// The content and form of the log.
    pub log: Log,
    /// Help for the development of an app.
    pub dev: Dev,
    /// Settings of single tables, by their names on the wire.
    pub tables: BTreeMap<String, TableConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: "./data".into(),
            server: Server::default(),
            database: Database::default(),
            redis: Redis::default(),
            auth: Auth::default(),
            sync: Sync::default(),
            limits: Limits::default(),
            log: Log::default(),
            dev: Dev::default(),
            tables: BTreeMap::new(),
        }
    }
}

/// `[server]`: the address, and the patience with clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// The address or name, and the port.
    pub listen: String,
    /// Web origins whose pages may call from a browser; `*` is all of them.
    pub allowed_origins: Vec<String>,
    /// Proxies that are believed when they say for whom they ask. What is limited by address is not limited for them.
    pub trusted_proxies: Vec<TrustedProxy>,
    /// The time that closing sockets and ending requests may take when the daemon stops.
    pub drain_seconds: u64,
    /// The time that a client may take to send a request's header, or the next part of its body.
    pub header_timeout_seconds: u64,
    /// The time that a client may take to read the next part of an answer.
    pub write_timeout_seconds: u64,
    /// How long a part of the daemon may be busy with one thing before it is taken for hung and replaced.
    pub hang_timeout_seconds: u64,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8000".into(),
            allowed_origins: Vec::new(),
            trusted_proxies: ["127.0.0.1", "::1"].iter().filter_map(|address| address.parse().ok()).collect(),
            drain_seconds: 8,
            header_timeout_seconds: 10,
            write_timeout_seconds: 30,
            hang_timeout_seconds: 60,
        }
    }
}

/// `[database]`: the storage of rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Database {
    /// `sqlite://<path>` or `postgres://…`; none means the file `ryzed.db` in the data directory.
    pub url: Option<String>,
    /// A file with the password for a PostgreSQL server, which then is not in the URL.
    pub password_file: Option<PathBuf>,
    /// The time that a start waits for a PostgreSQL server that is not there yet; 0 does not wait.
    pub wait_seconds: u64,
    /// The durability of a commit.
    pub synchronous: Synchronous,
    /// The number of connections that read a SQLite database at once.
    pub readers: usize,
    /// The most connections to a PostgreSQL server that work at once; one more listens.
    pub connections: usize,
}

impl Default for Database {
    fn default() -> Self {
        Self {
            url: None,
            password_file: None,
            wait_seconds: 30,
            synchronous: Synchronous::default(),
            readers: 4,
            connections: 10,
        }
    }
}

/// The durability of a commit: what it waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Synchronous {
    /// The disk: an acknowledged change survives a power cut.
    #[default]
    Full,
    /// The operating system: it survives a crash of the daemon, but a power cut may take the last moments.
    Normal,
}

/// `[redis]`: a faster connection between several instances.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Redis {
    /// Its URL: see [`RedisAddress`].
    pub url: Option<String>,
    /// The file that holds it.
    pub url_file: Option<PathBuf>,
    /// The prefix of every channel's name.
    pub prefix: String,
}

impl Default for Redis {
    fn default() -> Self {
        Self { url: None, url_file: None, prefix: "ryzed".into() }
    }
}

/// `[sync]`: the synchronisation of devices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sync {
    /// The days that deletions are remembered for devices that stay away.
    pub tombstone_days: u32,
    /// The interval in which a socket must show a sign of life; silent for two of these, it is closed.
    pub heartbeat_seconds: u64,
    /// The interval of the sweep, which asks the database for changes that went unnoticed.
    pub sweep_seconds: u64,
    /// The time that an instance, and with it its devices, counts as alive after its last renewal.
    pub lease_seconds: u64,
    /// The hours ahead of the server's clock that a row's times may lie, where its table does not allow more.
    pub future_hours: u32,
}

impl Default for Sync {
    fn default() -> Self {
        Self { tombstone_days: 90, heartbeat_seconds: 30, sweep_seconds: 30, lease_seconds: 15, future_hours: 24 }
    }
}

/// `[log]`: the content and form of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// The form of a line.
    pub format: LogFormat,
    /// `error`, `warn`, `info`, `debug`, or a list such as `warn,ryzed=debug`.
    pub level: String,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::default(), level: "info".into() }
    }
}

/// The form of the log's lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines.
    Json,
}

/// `[dev]`: help for the development of an app.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dev {
    /// True if `POST /test-broadcast` exists.
    pub test_broadcast: bool,
    /// Switch for throw-away people on the demo page.
    pub demo_people: DemoPeople,
}

impl Config {
    /// The URL of the PostgreSQL server, when the database is not a file.
    #[must_use]
    pub fn database_server(&self) -> Option<&str> {
        self.database.url.as_deref().filter(|url| is_server(url))
    }

    /// True if Redis is named for nothing: a SQLite database has one instance, with no other to talk to.
    #[must_use]
    pub fn redis_is_idle(&self) -> bool {
        self.database_server().is_none() && (self.redis.url.is_some() || self.redis.url_file.is_some())
    }

    /// The address of Redis, when it is used. Reads the file that holds the URL.
    ///
    /// # Errors
    /// What is wrong with the file or what it says.
    pub fn redis_address(&self) -> Result<Option<RedisAddress>, String> {
        if self.redis_is_idle() {
            return Ok(None);
        }
        let url = match (&self.redis.url, &self.redis.url_file) {
            (Some(url), _) => url.clone(),
            (None, Some(file)) => private::read_text(file)
                .map_err(|error| format!("can't read {} (redis.url_file): {}", file.display(), private::why(&error)))?,
            (None, None) => return Ok(None),
        };
        RedisAddress::parse(&url).map(Some).map_err(|complaint| format!("the URL of Redis (redis.url) {complaint}"))
    }

    /// The database's file.
    #[must_use]
    pub fn database_path(&self) -> PathBuf {
        match self.database.url.as_deref().and_then(|url| url.strip_prefix("sqlite://")) {
            Some(path) => path.into(),
            None => self.data_dir.join("ryzed.db"),
        }
    }
}

fn is_server(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

#[cfg(test)]
mod tests;
