//! The forms of `redis.url`: one server, a master that Sentinels know, or a Cluster. Nothing is opened here.

use std::fmt;

use percent_encoding::percent_decode_str;

/// The port of a server, and of a Sentinel, that names none.
const SERVER_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// The forms of a good URL, for people.
const FORMS: &str = "must be redis://[<user>:<password>@]<host>[:<port>][/<database>], \
    redis+sentinel://<host>,<host>/<master> or redis+cluster://<host>,<host>; rediss instead of redis for TLS";

/// The address of Redis. Shown without its password.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisAddress {
    /// The kind of server there.
    pub kind: RedisKind,
    /// True if connections are encrypted.
    pub tls: bool,
    /// The daemon's user there.
    pub user: Option<String>,
    /// The user's password.
    pub password: Option<String>,
    /// Hosts and ports: of the server, of the Sentinels, or of some nodes of the Cluster.
    pub hosts: Vec<(String, u16)>,
    /// The database's number.
    pub database: i64,
}

/// The kind of server at an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedisKind {
    /// One server.
    Single,
    /// Sentinels, which know where the master of this name is.
    Sentinel(String),
    /// A Cluster.
    Cluster,
}

impl RedisAddress {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong with it, without the URL itself: a password may be in it.
    pub fn parse(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url.trim().split_once("://").ok_or(FORMS)?;
        let (tls, kind) = match scheme.split_once('+').unwrap_or((scheme, "")) {
            ("redis", kind) => (false, kind),
            ("rediss", kind) => (true, kind),
            _ => return Err(FORMS.into()),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, hosts) = match authority.rsplit_once('@') {
            Some((login, hosts)) => (Some(login), hosts),
            None => (None, authority),
        };
        let (user, password) = login.map_or(Ok((None, None)), credentials)?;
        let (kind, database) = match (kind, path) {
            ("", path) => (RedisKind::Single, number(path)?),
            ("cluster", "") => (RedisKind::Cluster, 0),
            ("cluster", _) => return Err("a Cluster has only one database; end the URL after its hosts".into()),
            ("sentinel", path) => {
                let (master, database) = path.split_once('/').unwrap_or((path, ""));
                if master.is_empty() {
                    return Err("the name of the master is missing: redis+sentinel://<host>,<host>/<master>".into());
                }
                (RedisKind::Sentinel(decoded(master)?), number(database)?)
            }
            _ => return Err(FORMS.into()),
        };
        let port = if matches!(kind, RedisKind::Sentinel(_)) { SENTINEL_PORT } else { SERVER_PORT };
        let hosts = hosts.split(',').map(|place| host(place, port)).collect::<Result<Vec<_>, _>>()?;
        if kind == RedisKind::Single && hosts.len() > 1 {
            return Err("names several hosts; say redis+sentinel:// or redis+cluster:// for them".into());
        }
        Ok(Self { kind, tls, user, password, hosts, database })
    }
}

impl fmt::Debug for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<String> = self.hosts.iter().map(|(host, port)| format!("{host}:{port}")).collect();
        let hosts = hosts.join(", ");
        match &self.kind {
            RedisKind::Single => f.write_str(&hosts),
            RedisKind::Sentinel(master) => write!(f, "the master {master} of the Sentinels {hosts}"),
            RedisKind::Cluster => write!(f, "the Cluster of {hosts}"),
        }
    }
}

/// User and password.
type Login = (Option<String>, Option<String>);

fn credentials(login: &str) -> Result<Login, String> {
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let given = |text: &str| if text.is_empty() { Ok(None) } else { decoded(text).map(Some) };
    Ok((given(user)?, given(password)?))
}

fn decoded(text: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| "holds percent signs that encode no UTF-8")?;
    Ok(decoded.into_owned())
}

fn number(text: &str) -> Result<i64, String> {
    if text.is_empty() {
        return Ok(0);
    }
    let number = text.parse().ok().filter(|number| *number >= 0);
    number.ok_or_else(|| "what stands behind the last / is the number of a database".into())
}

fn host(place: &str, usual: u16) -> Result<(String, u16), String> {
    let (name, port) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((name, port)) => (name, port.strip_prefix(':')),
        None => match place.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (place, None),
        },
    };
    let port = port.map_or(Ok(usual), str::parse).map_err(|_| "has a port that is no port".to_owned())?;
    if name.is_empty() { Err(FORMS.into()) } else { Ok((name.to_owned(), port)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_understood() {
        let one = RedisAddress::parse("redis://localhost").unwrap();
        assert_eq!((one.kind, one.tls, one.hosts), (RedisKind::Single, false, vec![("localhost".into(), 6379)]));
        let one = RedisAddress::parse("rediss://me:s%40fe@[::1]:7000/3").unwrap();
        assert_eq!((one.tls, one.database, &one.hosts[0]), (true, 3, &("::1".to_owned(), 7000)));
        assert_eq!((one.user.as_deref(), one.password.as_deref()), (Some("me"), Some("s@fe")));
        let many = RedisAddress::parse("redis+sentinel://:secret@a,b:5/main/1").unwrap();
        assert_eq!(many.kind, RedisKind::Sentinel("main".into()));
        assert_eq!(many.hosts, [("a".to_owned(), 26379), ("b".to_owned(), 5)]);
        assert_eq!((many.user, many.password.as_deref(), many.database), (None, Some("secret"), 1));
        let cluster = RedisAddress::parse("redis+cluster://a:1,b:2").unwrap();
        assert_eq!((cluster.kind, cluster.hosts.len()), (RedisKind::Cluster, 2));
    }

    #[test]
    fn a_wrong_one_is_refused_without_showing_it() {
        for url in [
            "localhost:6379",
            "http://a",
            "redis://",
            "redis://a,b",
            "redis://a:port",
            "redis://a/x",
            "redis+sentinel://a",
            "redis+cluster://a/1",
            "redis+other://a",
        ] {
            let error = RedisAddress::parse(&url.replace("://", "://:hunter2@")).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
        let shown = format!("{:?}", RedisAddress::parse("redis://me:hunter2@a").unwrap());
        assert_eq!(shown, "a:6379");
    }
}
