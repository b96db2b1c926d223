//! The configuration: what every key means, its default, and what values make sense.
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
    /// Where the database and the secret live, unless they are named.
    pub data_dir: PathBuf,
    /// How it is reached.
    pub server: Server,
    /// Where rows are kept.
    pub database: Database,
    /// How several instances find each other.
    pub redis: Redis,
    /// Whose tokens are believed.
    pub auth: Auth,
    /// How devices are kept in step.
    pub sync: Sync,
    /// What one client can use.
    pub limits: Limits,
    /// What is written to the log, and how.
    pub log: Log,
    /// What helps while an app is being written.
    pub dev: Dev,
    /// What is said of tables, by their names on the wire.
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

/// `[server]`: how it is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// The address or name, and the port.
    pub listen: String,
    /// Web origins whose pages may call from a browser; `*` is all of them.
    pub allowed_origins: Vec<String>,
    /// Proxies that are believed when they say for whom they ask. What is limited by address is not limited for them.
    pub trusted_proxies: Vec<TrustedProxy>,
    /// How long sending sockets away and ending requests may take when the daemon stops.
    pub drain_seconds: u64,
    /// How long a client may take to send a request's header, or the next part of its body.
    pub header_timeout_seconds: u64,
    /// How long a client may take to read the next part of an answer.
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

/// `[database]`: where rows are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Database {
    /// `sqlite://<path>` or `postgres://…`; none means the file `ryzed.db` in the data directory.
    pub url: Option<String>,
    /// A file with the password for a PostgreSQL server, which then is not in the URL.
    pub password_file: Option<PathBuf>,
    /// How long a start waits for a PostgreSQL server that is not there yet; 0 does not wait.
    pub wait_seconds: u64,
    /// What a commit waits for.
    pub synchronous: Synchronous,
    /// How many connections read a SQLite database at once.
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

/// What a commit waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Synchronous {
    /// The disk: an acknowledged change survives a power cut.
    #[default]
    Full,
    /// The operating system: it survives a crash of the daemon, but a power cut may take the last moments.
    Normal,
}

/// `[redis]`: how several instances find each other faster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Redis {
    /// Where it is: see [`RedisAddress`].
    pub url: Option<String>,
    /// The file that holds it.
    pub url_file: Option<PathBuf>,
    /// What the name of every channel begins with.
    pub prefix: String,
}

impl Default for Redis {
    fn default() -> Self {
        Self { url: None, url_file: None, prefix: "ryzed".into() }
    }
}

/// `[sync]`: how devices are kept in step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sync {
    /// How long deletions are remembered for devices that stay away.
    pub tombstone_days: u32,
    /// How often a socket must be heard of; silent for two of these, it is closed.
    pub heartbeat_seconds: u64,
    /// How often the database is asked whether a change went unnoticed.
    pub sweep_seconds: u64,
    /// How long an instance counts as alive after it was last heard of, and with it its devices.
    pub lease_seconds: u64,
    /// How many hours ahead of the server's clock a row's times may lie, where its table does not allow more.
    pub future_hours: u32,
}

impl Default for Sync {
    fn default() -> Self {
        Self { tombstone_days: 90, heartbeat_seconds: 30, sweep_seconds: 30, lease_seconds: 15, future_hours: 24 }
    }
}

/// `[log]`: what is written to the log, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// How a line looks.
    pub format: LogFormat,
    /// `error`, `warn`, `info`, `debug`, or a list such as `warn,ryzed=debug`.
    pub level: String,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::default(), level: "info".into() }
    }
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For machines.
    Json,
}

/// `[dev]`: what helps while an app is being written.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dev {
    /// Whether `POST /test-broadcast` exists.
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

    /// Whether Redis is named for nothing: a SQLite database has one instance, and nobody to be told.
    #[must_use]
    pub fn redis_is_idle(&self) -> bool {
        self.database_server().is_none() && (self.redis.url.is_some() || self.redis.url_file.is_some())
    }

    /// Where Redis is, when it is used. Reads the file that holds the URL.
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
