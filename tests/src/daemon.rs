//! A real daemon in a folder of its own: start it, kill it, start it again on the same data.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::process::{forget_peak, memory_kib, put_down, reaper, signal};
use crate::{Account, Database, Person, Redis, SECRET, ports, postgres};

/// The time that a start may take, migrations and catalogue included.
const START: Duration = Duration::from_secs(30);
/// The time that a stop may take, by the operator's manual.
const STOP: Duration = Duration::from_secs(10);
/// The number of lines of the log that are shown when it ends instead of starting.
const LAST_LINES: usize = 40;
/// The number of times that a start is tried when another process took the port.
const TRIES: usize = 5;
/// The environment variable with the URL of the daemon's database.
const DATABASE_URL: &str = "RYZED_DATABASE__URL";

/// A running daemon. It dies with the value, and with the test process.
#[derive(Debug)]
pub struct Daemon {
    binary: PathBuf,
    folder: TempDir,
    host: &'static str,
    port: u16,
    env: Vec<(String, String)>,
    child: Child,
    reaper: Child,
    /// A second daemon on the same database, at which everything is checked when the stories run on pairs.
    twin: Option<Box<Daemon>>,
}

/// The Redis server between the daemons of all pairs.
static BETWEEN: LazyLock<Redis> = LazyLock::new(Redis::start);

/// The settings of a daemon that is to be started.
#[derive(Debug, Clone)]
pub struct Builder {
    binary: &'static str,
    env: Vec<(String, String)>,
    host: &'static str,
    is_alone: bool,
}

impl Builder {
    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl ToString) -> Self {
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.to_owned(), value.to_string()));
        self
    }

    /// Leaves an environment variable unset.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.env.retain(|(known, _)| known != name);
        self
    }

    /// Takes the build that can be broken from inside.
    #[must_use]
    pub fn with_faults(mut self) -> Self {
        self.binary = "ryzed-faults";
        self
    }

    /// Works on a new database of PostgreSQL, whichever the stories run on.
    #[must_use]
    pub fn on_postgres(self) -> Self {
        self.env(DATABASE_URL, postgres::new_database())
    }

    /// Listens under another name of this machine.
    #[must_use]
    pub fn host(mut self, name: &'static str) -> Self {
        self.host = name;
        self
    }

    /// Is never a pair, for stories that have several of their own, or that are about one process.
    #[must_use]
    pub fn alone(mut self) -> Self {
        self.is_alone = true;
        self
    }

    /// Starts the daemon and waits until it is ready.
    #[must_use]
    pub fn start(mut self) -> Daemon {
        if !postgres::is_pair() || self.is_alone {
            return self.start_one();
        }
        if !self.env.iter().any(|(name, _)| name == DATABASE_URL) {
            self.env.push((DATABASE_URL.to_owned(), postgres::new_database()));
        }
        let database = self.env.iter().find(|(name, _)| name == DATABASE_URL).map(|(_, url)| url.clone());
        let Some(database) = database.filter(|url| url.starts_with("postgres")) else { return self.start_one() };
        // Databases that share a Redis are told apart by their names.
        let prefix = database.rsplit('/').next().unwrap_or_default().to_owned();
        let both = self.env("RYZED_REDIS__URL", BETWEEN.url()).env("RYZED_REDIS__PREFIX", prefix);
        let mut daemon = both.clone().start_one();
        daemon.twin = Some(Box::new(both.start_one()));
        daemon
    }

    fn start_one(self) -> Daemon {
        let binary = built(self.binary);
        for _ in 1..TRIES {
            if let Some(daemon) = Daemon::try_start(&binary, self.host, self.env.clone()) {
                return daemon;
            }
        }
        Daemon::try_start(&binary, self.host, self.env).expect("the daemon ended before it was ready; its log is above")
    }
}

impl Daemon {
    /// Says how the daemon differs from the usual one.
    #[must_use]
    pub fn builder() -> Builder {
        Builder { binary: "ryzed", env: Vec::new(), host: "127.0.0.1", is_alone: false }
            .env("RYZED_AUTH__SECRET", SECRET)
    }

    /// Starts the usual one.
    #[must_use]
    pub fn start() -> Self {
        Self::builder().start()
    }

    fn try_start(binary: &Path, host: &'static str, mut env: Vec<(String, String)>) -> Option<Self> {
        if postgres::is_wanted() && !env.iter().any(|(name, _)| name == DATABASE_URL) {
            env.push((DATABASE_URL.to_owned(), postgres::new_database()));
        }
        let folder = tempfile::Builder::new().prefix("ryzed-story-").tempdir().expect("a temporary folder");
        let port = ports::free();
        let child = spawn(binary, folder.path(), (host, port), &env);
        let reaper = reaper(&child, folder.path());
        let mut daemon = Self { binary: binary.to_owned(), folder, host, port, env, child, reaper, twin: None };
        daemon.wait_until_ready().then_some(daemon)
    }

    /// The address, `127.0.0.1:<port>`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// A new person with an account of this daemon.
    #[must_use]
    pub fn account(&self) -> Account {
        self.account_of(Person::new())
    }

    /// The account of a person.
    #[must_use]
    pub fn account_of(&self, person: Person) -> Account {
        Account::new(&self.address(), self.twin.as_ref().map(|twin| twin.address()), person)
    }

    /// The folder that the daemon was started in; its data is in `data`.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The database, as somebody with SQL sees it.
    #[must_use]
    pub fn database(&self) -> Database {
        match self.env.iter().find(|(name, _)| name == DATABASE_URL) {
            Some((_, url)) => match url.strip_prefix("sqlite://") {
                Some(file) => Database::Sqlite(file.into()),
                None => Database::Postgres(url.clone()),
            },
            None => Database::Sqlite(self.folder.path().join("data/ryzed.db")),
        }
    }

    /// The URL of its PostgreSQL database.
    #[must_use]
    pub fn database_url(&self) -> &str {
        let url = self.env.iter().find(|(name, _)| name == DATABASE_URL).map(|(_, url)| url.as_str());
        url.expect("a daemon on PostgreSQL")
    }

    /// A command of the same binary on the same data.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = bare_command(&self.binary, self.folder.path(), &self.env);
        command.args(arguments);
        command
    }

    /// Everything that it has written to its outputs.
    #[must_use]
    pub fn log(&self) -> String {
        ["stdout.log", "stderr.log"]
            .map(|name| std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default())
            .into_iter()
            .chain(self.twin.as_ref().map(|twin| twin.log()))
            .collect()
    }

    /// The process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its resident memory, in KiB.
    #[must_use]
    pub fn resident_kib(&self) -> u64 {
        memory_kib(self.pid(), "VmRSS:")
    }

    /// The most that its resident memory was since the start or [`Self::forget_peak`], in KiB.
    #[must_use]
    pub fn peak_kib(&self) -> u64 {
        memory_kib(self.pid(), "VmHWM:")
    }

    /// Has the system forget how much memory it once held.
    pub fn forget_peak(&self) {
        forget_peak(self.pid());
    }

    /// Kills it as a power cut would.
    pub fn kill9(&mut self) {
        if let Some(twin) = &mut self.twin {
            twin.kill9();
        }
        self.child.kill().expect("SIGKILL is sent");
        self.child.wait().expect("the daemon is gone");
        put_down(&mut self.reaper);
    }

    /// Asks it to stop; [`Self::exit_code`] waits for the end.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Asks it to stop as a person at a terminal does.
    pub fn interrupt(&self) {
        self.signal("INT");
    }

    /// Has it stand still, as a machine that is put to sleep does, until [`Self::wake`].
    pub fn pause(&self) {
        self.signal("STOP");
    }

    /// Lets it go on.
    pub fn wake(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        signal(name, self.pid());
        if let Some(twin) = &self.twin {
            twin.signal(name);
        }
    }

    /// Waits until it has stopped, at most as long as a stop may take.
    pub async fn exit_code(&mut self) -> i32 {
        if let Some(twin) = &mut self.twin {
            assert_eq!(Box::pin(twin.exit_code()).await, 0, "its twin did not end well");
        }
        let asked = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("the daemon can be waited for") {
                put_down(&mut self.reaper);
                return status.code().unwrap_or_else(|| panic!("the daemon was killed: {status}"));
            }
            assert!(asked.elapsed() < STOP, "it still runs after {STOP:?}; its log:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Starts it again, after it ended, on the same data and port.
    pub fn restart(&mut self) {
        assert!(self.try_restart(), "it does not come back; its log:\n{}", self.log());
    }

    /// The same where it may end instead of getting ready; `false` then.
    pub fn try_restart(&mut self) -> bool {
        assert!(matches!(self.child.try_wait(), Ok(Some(_))), "it still runs");
        // One of an earlier try would take the folder along.
        put_down(&mut self.reaper);
        self.child = spawn(&self.binary, self.folder.path(), (self.host, self.port), &self.env);
        self.reaper = reaper(&self.child, self.folder.path());
        self.wait_until_ready() && self.twin.as_mut().is_none_or(|twin| twin.try_restart())
    }

    /// Sets an environment variable for the next [`Self::restart`].
    pub fn set_env(&mut self, name: &str, value: &str) {
        if let Some(twin) = &mut self.twin {
            twin.set_env(name, value);
        }
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.to_owned(), value.to_owned()));
    }

    /// `false` when it ended instead.
    fn wait_until_ready(&mut self) -> bool {
        let started = Instant::now();
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                let log = self.log();
                let last: Vec<&str> = log.lines().rev().take(LAST_LINES).collect();
                let last: Vec<&str> = last.into_iter().rev().collect();
                eprintln!("the daemon ended with {status}; its log ends:\n{}", last.join("\n"));
                return false;
            }
            if is_ready(self.port) {
                return true;
            }
            assert!(started.elapsed() < START, "not ready after {START:?}; its log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        put_down(&mut self.reaper);
        put_down(&mut self.child);
    }
}

/// The binary under test.
#[must_use]
pub fn binary() -> PathBuf {
    built("ryzed")
}

/// The build that can be broken from inside.
#[must_use]
pub fn binary_with_faults() -> PathBuf {
    built("ryzed-faults")
}

/// A program of this workspace. `RYZED_BIN` names another `ryzed`.
fn built(name: &str) -> PathBuf {
    if let Some(path) = std::env::var_os("RYZED_BIN").filter(|_| name == "ryzed") {
        return path.into();
    }
    let test = std::env::current_exe().expect("the test knows its own path");
    // <target>/<profile>/deps/<test>, or <target>/<profile>/<program>.
    let path = test.ancestors().skip(1).take(2).map(|folder| folder.join(name)).find(|path| path.is_file());
    let faults = if name == "ryzed" { String::new() } else { format!(" --features faults --bin {name}") };
    path.unwrap_or_else(|| {
        panic!("there is no `{name}` near {}; build it first: cargo build -p ryzed{faults}", test.display())
    })
}

/// The binary with its data in `<folder>/data` and nothing of the caller's own settings.
pub(crate) fn bare_command(binary: &Path, folder: &Path, env: &[(String, String)]) -> Command {
    let mut command = Command::new(binary);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("RYZED_") || name == "RUST_LOG" {
            command.env_remove(name);
        }
    }
    command.current_dir(folder).env("RYZED_DATA_DIR", folder.join("data"));
    command.envs(env.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null());
    command
}

fn spawn(binary: &Path, folder: &Path, (host, port): (&str, u16), env: &[(String, String)]) -> Child {
    let output = |name: &str| -> File {
        OpenOptions::new().create(true).append(true).open(folder.join(name)).expect("a log file")
    };
    let mut command = bare_command(binary, folder, env);
    command.arg("serve").env("RYZED_SERVER__LISTEN", format!("{host}:{port}"));
    command.stdout(output("stdout.log")).stderr(output("stderr.log"));
    command.spawn().unwrap_or_else(|error| panic!("{} does not start: {error}", binary.display()))
}

fn is_ready(port: u16) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: story\r\nConnection: close\r\n\r\n")?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    ask().is_ok_and(|answer| answer.ends_with(" 200"))
}
