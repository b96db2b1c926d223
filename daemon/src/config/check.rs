//! The checks that the types of the keys can't make by themselves. Nothing is opened or fetched.

use std::net::SocketAddr;

use super::{Config, RedisAddress, is_server, log_filter};

/// Keys whose values make no sense, each with what to do about it.
pub(super) type Complaints = Vec<(String, String)>;

/// The forms of a database's URL.
const DATABASES: &str =
    "must be sqlite://<path>, such as sqlite:///var/lib/ryzed/ryzed.db, or postgres://<user>@<host>/<database>";

impl Config {
    /// All that makes no sense.
    pub(super) fn complaints(&self) -> Complaints {
        let mut complaints = Complaints::new();
        let positive = [
            ("server.drain_seconds", self.server.drain_seconds),
            ("server.header_timeout_seconds", self.server.header_timeout_seconds),
            ("server.write_timeout_seconds", self.server.write_timeout_seconds),
            ("server.hang_timeout_seconds", self.server.hang_timeout_seconds),
            ("database.readers", self.database.readers as u64),
            ("database.connections", self.database.connections as u64),
            ("sync.heartbeat_seconds", self.sync.heartbeat_seconds),
            ("sync.sweep_seconds", self.sync.sweep_seconds),
            ("sync.lease_seconds", self.sync.lease_seconds),
        ];
        let zero = positive.into_iter().filter(|(_, value)| *value == 0).map(|(key, _)| key);
        for key in zero.chain(self.limits.zeros()) {
            complain(&mut complaints, key, "must be at least 1, and is 0");
        }
        if let Err(complaint) = log_filter(&self.log.level) {
            complain(&mut complaints, "log.level", complaint);
        }
        self.check_limits(&mut complaints);
        self.check_listen(&mut complaints);
        self.check_database(&mut complaints);
        self.check_redis(&mut complaints);
        self.auth.check(&mut complaints);
        self.check_origins(&mut complaints);
        self.check_tables(&mut complaints);
        complaints
    }

    /// Checks the depth of values, since the levels that they are wrapped into must be read as well.
    fn check_limits(&self, complaints: &mut Complaints) {
        const DEEPEST: usize = 110;
        if self.limits.value_depth > DEEPEST {
            let found = self.limits.value_depth;
            let complaint =
                format!("must be at most {DEEPEST}, and is {found}: no reader of JSON follows much further");
            complain(complaints, "limits.value_depth", complaint);
        }
    }

    /// Names are looked up at the start.
    fn check_listen(&self, complaints: &mut Complaints) {
        let listen = self.server.listen.as_str();
        let is_named = |(host, port): (&str, &str)| {
            !host.is_empty() && host.bytes().all(is_of_name) && port.parse::<u16>().is_ok()
        };
        if listen.parse::<SocketAddr>().is_err() && !listen.rsplit_once(':').is_some_and(is_named) {
            let wanted = "must be an address or a name, and a port, such as 127.0.0.1:8000 or localhost:8000";
            complain(complaints, "server.listen", format!("{wanted}, and is {listen:?}"));
        }
    }

    fn check_database(&self, complaints: &mut Complaints) {
        if self.database.password_file.is_some() && self.database_server().is_none() {
            let complaint = "is for a PostgreSQL server; database.url names none";
            complain(complaints, "database.password_file", complaint);
        }
        let complaint = match self.database.url.as_deref() {
            Some(url) if is_server(url) && !names_host(url) => {
                Some("names no host: postgres://<user>@<host>/<database>, or ?host=<folder of its socket> at the end")
            }
            Some(url) if is_server(url) => None,
            Some(url) if url.strip_prefix("sqlite://").is_none_or(str::is_empty) => {
                let scheme = url.split_once("://").map_or("no URL", |(scheme, _)| scheme);
                complain(complaints, "database.url", format!("{DATABASES}, and is {scheme}"));
                None
            }
            _ => None,
        };
        complaint.into_iter().for_each(|complaint| complain(complaints, "database.url", complaint));
    }

    fn check_redis(&self, complaints: &mut Complaints) {
        let redis = &self.redis;
        if redis.url.is_some() && redis.url_file.is_some() {
            complain(complaints, "redis.url", "is given as well as redis.url_file; keep one of them");
        }
        if let Some(Err(complaint)) = redis.url.as_deref().map(RedisAddress::parse) {
            complain(complaints, "redis.url", complaint);
        }
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b':');
        if redis.prefix.is_empty() || !redis.prefix.bytes().all(allowed) {
            let found = &redis.prefix;
            let complaint = format!("must be of the characters [A-Za-z0-9._:-], such as ryzed, and is {found:?}");
            complain(complaints, "redis.prefix", complaint);
        }
    }

    fn check_origins(&self, complaints: &mut Complaints) {
        let an_origin = |origin: &str| {
            let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            origin == "*" || host.is_some_and(|host| !host.is_empty() && host.bytes().all(is_of_authority))
        };
        for origin in self.server.allowed_origins.iter().filter(|origin| !an_origin(origin)) {
            let complaint =
                format!("{origin:?} is no origin: write scheme, host and port only, such as https://app.example.com");
            complain(complaints, "server.allowed_origins", complaint);
        }
    }
}

pub(super) fn complain(complaints: &mut Complaints, key: impl Into<String>, complaint: impl Into<String>) {
    complaints.push((key.into(), complaint.into()));
}

/// True if a URL of PostgreSQL names the server's host. A password may have any character.
fn names_host(url: &str) -> bool {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = place.rsplit_once('@').map_or(place, |(_, place)| place);
    let host = authority.split('/').next().unwrap_or_default();
    let names =
        |pair: &str| pair.strip_prefix("host=").or(pair.strip_prefix("hostaddr=")).is_some_and(|host| !host.is_empty());
    !host.split(':').next().unwrap_or_default().is_empty() || query.split('&').any(names)
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')
}

fn is_of_authority(byte: u8) -> bool {
    is_of_name(byte) || matches!(byte, b':' | b'[' | b']')
}
