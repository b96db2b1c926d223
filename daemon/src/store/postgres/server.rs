//! Connects to the server by libpq's URL, with TLS as it asks for, and judges failed attempts.

use std::fmt;
use std::time::Duration;

use diesel::ConnectionError;
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use tokio::time::Instant;
use tokio_postgres::config::{Config, SslMode};
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::sql_text::{execute, texts};
use super::tls::{Roots, Trust, connector};
use crate::backoff::Backoff;
use crate::store::StoreError;

/// The time that an attempt to connect may take.
const CONNECT: Duration = Duration::from_secs(5);
/// The time that a connection may be silent before the system checks that the other side is still there.
const SILENCE: Duration = Duration::from_secs(30);
/// The pause between two such checks, and their number.
const PROBES: (Duration, u32) = (Duration::from_secs(10), 3);
/// The library's default.
const USUAL_SILENCE: Duration = Duration::from_secs(2 * 60 * 60);
/// The pauses of a start that waits for the server.
const PAUSES: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
/// The time between two log lines of a start that still waits.
const STILL_WAITING: Duration = Duration::from_secs(10);

/// A connection string that makes no sense. Never holds the password.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct AddressError(String);

/// A failed attempt to connect.
#[derive(Debug)]
pub(super) struct Unreachable {
    message: String,
    /// True if the same attempt may succeed later.
    is_passing: bool,
}

impl fmt::Display for Unreachable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

/// The parts of a URL.
#[derive(Debug, Clone)]
struct Address {
    config: Config,
    trust: Trust,
}

/// Checks a URL and reads the certificates that it names. Nothing is connected to.
///
/// # Errors
/// When it can't be understood, or a file can't be read.
pub fn check_url(url: &str) -> Result<(), AddressError> {
    let address = Address::of(url)?;
    connector(&address.trust).map(|_| ()).map_err(AddressError)
}

/// The URL with a password, which must not have one yet.
///
/// # Errors
/// When it has.
pub fn with_password(url: &str, password: &str) -> Result<String, AddressError> {
    if Address::of(url)?.config.get_password().is_some() {
        return Err(AddressError("the URL has a password as well".into()));
    }
    let password: String = form_urlencoded::byte_serialize(password.as_bytes()).collect();
    let joint = if url.contains('?') { '&' } else { '?' };
    Ok(format!("{url}{joint}password={}", password.replace('+', "%20")))
}

/// Waits until the server takes connections, with a word in the log.
///
/// # Errors
/// At once when waiting would not help; [`StoreError::Unavailable`] when it did not come within `patience`.
pub async fn wait_until_there(url: &str, patience: Duration) -> Result<(), StoreError> {
    let start = Instant::now();
    let (mut backoff, mut told) = (PAUSES, None::<Instant>);
    loop {
        // Nothing is set before it is known who listens there.
        let Unreachable { message, is_passing } = match opened(url).await {
            Ok(_) => return Ok(()),
            Err(unreachable) => unreachable,
        };
        if !is_passing {
            return Err(StoreError::Failed(message));
        }
        let left = patience.saturating_sub(start.elapsed());
        if left.is_zero() {
            return Err(StoreError::Unavailable(message));
        }
        if told.is_none_or(|told| told.elapsed() >= STILL_WAITING) {
            told = Some(Instant::now());
            tracing::warn!(
                reason = message,
                seconds = left.as_secs(),
                "waiting for the database (database.wait_seconds)"
            );
        }
        tokio::time::sleep(backoff.pause().min(left)).await;
    }
}

/// Opens a connection as all sides use it.
pub(super) async fn connect(url: &str) -> diesel::ConnectionResult<AsyncPgConnection> {
    let mut connection = reach(url).await.map_err(|unreachable| ConnectionError::BadConnection(unreachable.message))?;
    connection.batch_execute(SETTINGS).await.map_err(ConnectionError::CouldntSetupConfiguration)?;
    Ok(connection)
}

/// True if the server's errors come in English, so that their texts can be told apart. Tested with a real error, since
/// the server's environment has a say as well.
pub(super) async fn speaks_english(connection: &mut AsyncPgConnection) -> Result<bool, StoreError> {
    let ask = "DO $$ BEGIN PERFORM 1 / 0; \
        EXCEPTION WHEN division_by_zero THEN PERFORM set_config('ryzed.words', SQLERRM, false); END $$";
    execute(connection, ask).await?;
    let words = texts(connection, "SELECT current_setting('ryzed.words')").await?;
    Ok(words == ["division by zero"])
}

/// A statement that takes longer is given up, and so is a transaction whose client has fallen silent, as one that stands
/// still: others wait for what it has locked. Plans are short-lived and cheap: compiling them costs more than it saves. Policies
/// filter, also where a database has them fail instead. Errors are to come in English, from whoever lets us say so.
const SETTINGS: &str = "SET application_name = 'ryzed'; SET statement_timeout = '30s'; \
    SET idle_in_transaction_session_timeout = '15s'; SET jit = off; SET plan_cache_mode = force_generic_plan; SET client_min_messages = warning; \
    SET standard_conforming_strings = on; SET row_security = on; \
    DO $$ BEGIN PERFORM set_config('lc_messages', 'C', false); EXCEPTION WHEN insufficient_privilege THEN NULL; END $$";

/// Opens a connection on which nothing is set and nothing prepared.
pub(super) async fn plain(url: &str) -> Result<Client, StoreError> {
    let (client, connection) = opened(url).await.map_err(|Unreachable { message, is_passing }| {
        if is_passing { StoreError::Unavailable(message) } else { StoreError::Failed(message) }
    })?;
    // It ends with the client.
    tokio::spawn(connection);
    Ok(client)
}

async fn reach(url: &str) -> Result<AsyncPgConnection, Unreachable> {
    let (client, connection) = opened(url).await?;
    let made = AsyncPgConnection::try_from_client_and_connection(client, connection).await;
    made.map_err(|error| Unreachable { message: error.to_string(), is_passing: true })
}

/// A connection, and what moves its bytes.
type Opened = (Client, tokio_postgres::Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>);

async fn opened(url: &str) -> Result<Opened, Unreachable> {
    let lasting = |message: String| Unreachable { message, is_passing: false };
    let address = Address::of(url).map_err(|error| lasting(error.0))?;
    let tls = connector(&address.trust).map_err(lasting)?;
    let within = address.patience();
    let Ok(connected) = tokio::time::timeout(within, address.config.connect(tls)).await else {
        let message = format!("what listens there did not answer as a PostgreSQL server within {} s", within.as_secs());
        return Err(Unreachable { message, is_passing: true });
    };
    connected.map_err(|error| Unreachable::of(&error))
}

impl Address {
    /// Reads a URL of libpq's form. The names of TLS that the library does not know are taken out of it.
    fn of(url: &str) -> Result<Self, AddressError> {
        let (place, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut mode, mut roots, mut rest) = (None, None, Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            // A plus sign is itself here.
            let plain = pair.replace('+', "%2B");
            match form_urlencoded::parse(plain.as_bytes()).next() {
                Some((name, value)) if name == "sslmode" => mode = Some(value.into_owned()),
                Some((name, value)) if name == "sslrootcert" => roots = Some(value.into_owned()),
                _ => rest.push(pair),
            }
        }
        let (mode, trust) = security(mode.as_deref(), roots.as_deref())?;
        let joint = if rest.is_empty() { "" } else { "?" };
        let plain = format!("{place}{joint}{}", rest.join("&"));
        let mut config: Config = plain.parse().map_err(|error| AddressError(senseless(&chain(&error))))?;
        config.ssl_mode(mode);
        limit(&mut config);
        Ok(Self { config, trust })
    }

    /// The time that connecting may take in all. The library's own limit is for each host and ends once the connection
    /// stands: a host that accepts it and says nothing would be waited for without an end.
    fn patience(&self) -> Duration {
        let hosts = u32::try_from(self.config.get_hosts().len()).unwrap_or(u32::MAX);
        self.config.get_connect_timeout().copied().unwrap_or(CONNECT).saturating_mul(hosts.saturating_add(1))
    }
}

/// A server that vanishes without a word is noticed, unless the URL says otherwise.
fn limit(config: &mut Config) {
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT);
    }
    if config.get_keepalives_idle() == USUAL_SILENCE {
        config.keepalives_idle(SILENCE).keepalives_interval(PROBES.0).keepalives_retries(PROBES.1);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(SILENCE);
    }
}

/// Reads these two parameters as libpq does.
fn security(mode: Option<&str>, roots: Option<&str>) -> Result<(SslMode, Trust), AddressError> {
    let refused = |text: &str| Err(AddressError(text.to_owned()));
    let file = roots.filter(|roots| *roots != "system").map(|path| Roots::File(path.into()));
    let is_public = roots == Some("system");
    Ok(match (mode.unwrap_or("prefer"), file) {
        ("verify-full", file) => (SslMode::Require, Trust::Host(file.unwrap_or(Roots::Public))),
        (_, _) if is_public => return refused("sslrootcert=system needs sslmode=verify-full"),
        ("disable", _) => (SslMode::Disable, Trust::Anybody),
        ("prefer", _) => (SslMode::Prefer, Trust::Anybody),
        ("require" | "verify-ca", Some(file)) => (SslMode::Require, Trust::Signed(file)),
        ("require", None) => (SslMode::Require, Trust::Anybody),
        ("verify-ca", None) => return refused("sslmode=verify-ca needs sslrootcert=<file>"),
        _ => return refused("sslmode must be disable, prefer, require, verify-ca or verify-full"),
    })
}

impl Unreachable {
    fn of(error: &tokio_postgres::Error) -> Self {
        Self { message: chain(error), is_passing: is_passing(error) }
    }
}

fn is_passing(error: &tokio_postgres::Error) -> bool {
    if let Some(code) = error.code() {
        // Starting, stopping, or full; anything else is about who we are and what we want.
        return *code == SqlState::CANNOT_CONNECT_NOW
            || *code == SqlState::ADMIN_SHUTDOWN
            || *code == SqlState::CRASH_SHUTDOWN
            || code.code().starts_with("53");
    }
    let io = std::error::Error::source(error).and_then(|source| source.downcast_ref::<std::io::Error>());
    // A certificate that is refused arrives as an error of the network, too.
    io.map_or(error.is_closed(), |io| !io.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()))
}

/// Words the complaint about a connection string for the person who wrote it.
fn senseless(message: &str) -> String {
    let option = message.split('`').nth(1).unwrap_or_default();
    match option {
        "" => "must be postgres://<user>@<host>:<port>/<database>, with what else there is behind a ?".into(),
        "port" => "its port must be a number from 1 to 65535".into(),
        name if message.contains("unknown option") => {
            format!("there is no setting {name}; behind the ? stand those of libpq, such as sslmode")
        }
        name => format!("what it says of {name} can't be used"),
    }
}

fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_is_asked_for_in_libpqs_words() {
        let of = |query: &str| Address::of(&format!("postgres://me@db.example.com:5433/app{query}")).unwrap();
        for (query, mode, trust) in [
            ("", SslMode::Prefer, Trust::Anybody),
            ("?sslmode=disable", SslMode::Disable, Trust::Anybody),
            ("?sslmode=require", SslMode::Require, Trust::Anybody),
            ("?sslmode=require&sslrootcert=/a", SslMode::Require, Trust::Signed(Roots::File("/a".into()))),
            ("?sslrootcert=/a%20b+c&sslmode=verify-ca", SslMode::Require, Trust::Signed(Roots::File("/a b+c".into()))),
            ("?sslmode=verify-full", SslMode::Require, Trust::Host(Roots::Public)),
            ("?sslmode=verify-full&sslrootcert=system", SslMode::Require, Trust::Host(Roots::Public)),
            ("?sslmode=verify-full&sslrootcert=/a", SslMode::Require, Trust::Host(Roots::File("/a".into()))),
        ] {
            let address = of(query);
            assert_eq!((address.config.get_ssl_mode(), address.trust), (mode, trust), "{query}");
        }
        let address = of("?sslmode=require&connect_timeout=9&application_name=x");
        assert_eq!(address.config.get_connect_timeout(), Some(&Duration::from_secs(9)));
        assert_eq!(address.config.get_application_name(), Some("x"));
    }

    #[test]
    fn what_makes_no_sense_is_refused_without_the_password() {
        for query in
            ["sslmode=allow", "sslmode=verify-ca", "sslmode=require&sslrootcert=system", "sslcert=/a", "port=x"]
        {
            let error = check_url(&format!("postgres://me:hush@db/app?{query}")).unwrap_err().to_string();
            assert!(!error.is_empty() && !error.contains("hush"), "{error}");
        }
        let missing = check_url("postgres://db/app?sslmode=verify-full&sslrootcert=/nowhere.pem").unwrap_err();
        assert!(missing.to_string().contains("/nowhere.pem"), "{missing}");
    }

    #[test]
    fn a_password_from_elsewhere_is_added_as_it_is() {
        for url in ["postgres://me@db/app", "postgres://me@db/app?sslmode=disable"] {
            let whole = with_password(url, "a+b &%é=").unwrap();
            let config = Address::of(&whole).unwrap().config;
            assert_eq!(config.get_password(), Some("a+b &%é=".as_bytes()), "{whole}");
            assert_eq!(config.get_dbname(), Some("app"));
        }
        assert!(with_password("postgres://me:one@db/app", "two").is_err());
    }
}
