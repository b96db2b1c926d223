//! The configuration: what every key means, its default, and what values make sense.
//!
//! Where values come from (file, environment, flags) and how a wrong one is reported is in `load`.
//! `config/ryzed.toml` shows every key; a test holds it to this file.

mod auth;
mod level;
mod limits;
mod load;
mod masked;
mod redis_address;
mod tables;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::private;

pub use auth::{Auth, Hs256};
pub use level::log_filter;
pub use limits::Limits;
pub use load::{ConfigError, Flag, Sources};
pub use masked::has_password;
pub use redis_address::{RedisAddress, RedisKind};
pub use tables::{Reach, TableConfig};

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
    /// How long sending sockets away and ending requests may take when the daemon stops.
    pub drain_seconds: u64,
    /// How long a client may take to send a request's header, or the next part of its body.
    pub header_timeout_seconds: u64,
    /// How long a client may take to read the next part of an answer.
    pub write_timeout_seconds: u64,
    /// How long a part of the daemon may be busy with one thing before it is taken for hung and replaced.
    pub patience_seconds: u64,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8000".into(),
            allowed_origins: Vec::new(),
            drain_seconds: 8,
            header_timeout_seconds: 10,
            write_timeout_seconds: 30,
            patience_seconds: 60,
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
}

impl Default for Sync {
    fn default() -> Self {
        Self { tombstone_days: 90, heartbeat_seconds: 30, sweep_seconds: 30, lease_seconds: 15 }
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
}

/// A key whose value makes no sense, and what to do about it.
type Complaint = (&'static str, String);

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
                .map_err(|error| format!("can't read {} (redis.url_file): {error}", file.display()))?,
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

    /// What the types alone can't say. Nothing is opened or fetched.
    fn check(&self) -> Result<(), Complaint> {
        let positive = [
            ("server.drain_seconds", self.server.drain_seconds),
            ("server.header_timeout_seconds", self.server.header_timeout_seconds),
            ("server.write_timeout_seconds", self.server.write_timeout_seconds),
            ("server.patience_seconds", self.server.patience_seconds),
            ("database.readers", self.database.readers as u64),
            ("database.connections", self.database.connections as u64),
            ("sync.heartbeat_seconds", self.sync.heartbeat_seconds),
            ("sync.sweep_seconds", self.sync.sweep_seconds),
            ("sync.lease_seconds", self.sync.lease_seconds),
        ];
        let zero = positive.into_iter().find_map(|(key, value)| (value == 0).then_some(key));
        if let Some(key) = zero.or(self.limits.first_zero()) {
            return Err((key, "must be at least 1".into()));
        }
        log_filter(&self.log.level).map_err(|complaint| ("log.level", complaint))?;
        self.check_listen()?;
        self.check_database()?;
        self.check_redis()?;
        self.auth.check()?;
        self.check_origins()
    }

    /// Names are looked up at the start.
    fn check_listen(&self) -> Result<(), Complaint> {
        let listen = self.server.listen.as_str();
        let is_named = |(host, port): (&str, &str)| {
            !host.is_empty() && host.bytes().all(is_of_name) && port.parse::<u16>().is_ok()
        };
        if listen.parse::<SocketAddr>().is_ok() || listen.rsplit_once(':').is_some_and(is_named) {
            return Ok(());
        }
        Err((
            "server.listen",
            "must be an address or a name, and a port, such as 127.0.0.1:8000 or localhost:8000".into(),
        ))
    }

    fn check_database(&self) -> Result<(), Complaint> {
        const KEY: &str = "database.url";
        if self.database.password_file.is_some() && self.database_server().is_none() {
            return Err(("database.password_file", "is for a PostgreSQL server; database.url names none".into()));
        }
        match self.database.url.as_deref() {
            Some(url) if is_server(url) => Ok(()),
            Some(url) if url.strip_prefix("sqlite://").is_none_or(str::is_empty) => Err((
                KEY,
                "must be sqlite://<path>, such as sqlite:///var/lib/ryzed/ryzed.db, or postgres://<user>@<host>/<database>"
                    .into(),
            )),
            _ => Ok(()),
        }
    }

    fn check_redis(&self) -> Result<(), Complaint> {
        let redis = &self.redis;
        if redis.url.is_some() && redis.url_file.is_some() {
            return Err(("redis.url", "is given as well as redis.url_file; keep one of them".into()));
        }
        if let Some(url) = &redis.url {
            RedisAddress::parse(url).map_err(|complaint| ("redis.url", complaint))?;
        }
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b':');
        if redis.prefix.is_empty() || !redis.prefix.bytes().all(allowed) {
            return Err(("redis.prefix", "must be of the characters [A-Za-z0-9._:-], such as ryzed".into()));
        }
        Ok(())
    }

    fn check_origins(&self) -> Result<(), Complaint> {
        let an_origin = |origin: &str| {
            let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            origin == "*" || host.is_some_and(|host| !host.is_empty() && host.bytes().all(is_of_authority))
        };
        match self.server.allowed_origins.iter().find(|origin| !an_origin(origin)) {
            Some(origin) => Err((
                "server.allowed_origins",
                format!("{origin:?} is no origin: write scheme, host and port only, such as https://app.example.com"),
            )),
            None => Ok(()),
        }
    }
}

fn is_server(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')
}

fn is_of_authority(byte: u8) -> bool {
    is_of_name(byte) || matches!(byte, b':' | b'[' | b']')
}

#[cfg(test)]
mod tests;
