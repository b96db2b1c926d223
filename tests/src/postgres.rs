//! PostgreSQL servers of this test process: made from the installed binaries in temporary folders, on free ports, as a user
//! that is not root, and gone with the process. One is shared by all stories, made when the first asks.

use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::ports;

/// The folder in which distributions keep the server's programs, a folder a version.
const INSTALLED: &str = "/usr/lib/postgresql";
/// The superuser.
pub(crate) const SUPERUSER: &str = "postgres";
/// In a story a lost machine is no matter, and nobody waits for the disk.
const FORGETFUL: &str = "-c fsync=off -c full_page_writes=off";
const SETTINGS: &str =
    "-c max_connections=400 -c shared_buffers=64MB -c jit=off -c autovacuum_naptime=10s -c log_lock_waits=on";

static CLUSTER: LazyLock<Cluster> = LazyLock::new(Cluster::start);
static MADE: AtomicU32 = AtomicU32::new(0);

/// True if the stories run on PostgreSQL: `RYZED_TEST_DATABASE`.
#[must_use]
pub fn is_wanted() -> bool {
    match std::env::var("RYZED_TEST_DATABASE").as_deref() {
        Err(_) | Ok("" | "sqlite") => false,
        Ok("postgres" | "pair") => true,
        Ok(other) => panic!("RYZED_TEST_DATABASE is sqlite, postgres or pair, not {other}"),
    }
}

/// True if every daemon of the stories is two on one database, one to write to and one to read from.
#[must_use]
pub fn is_pair() -> bool {
    std::env::var("RYZED_TEST_DATABASE").is_ok_and(|wanted| wanted == "pair")
}

/// The URL of a new, empty database on the server that all stories share.
#[must_use]
pub fn new_database() -> String {
    CLUSTER.new_database()
}

/// Runs statements, each in a transaction of its own, and psql's own commands; what they print, a line a row, columns
/// parted by `|`.
///
/// # Errors
/// What the server complains of.
pub fn psql(url: &str, sql: &str) -> Result<String, String> {
    let mut shell = Command::new("psql")
        .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", url])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the story needs psql: apt-get install postgresql");
    let mut input = shell.stdin.take().expect("psql's input");
    let written = writeln!(input, "{sql};");
    drop(input);
    let output = shell.wait_with_output().map_err(|error| error.to_string())?;
    written.map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned());
    }
    Err(format!("{sql}\n{}", String::from_utf8_lossy(&output.stderr)))
}

/// Runs the statements of a file of `tests/adopted`, with psql's variables.
///
/// # Errors
/// What the server complains of.
pub fn psql_file(url: &str, file: &str, variables: &[(&str, u32)]) -> Result<String, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("adopted").join(file);
    let sets: String = variables.iter().map(|(name, value)| format!("\\set {name} {value}\n")).collect();
    psql(url, &format!("{sets}\\i {}\n", path.display()))
}

/// The whole database as SQL, or a part of it; of a server that is newer than pg_dump, what its catalogue says.
#[must_use]
pub fn dump(url: &str, arguments: &[&str]) -> String {
    let output = Command::new("pg_dump").args(arguments).args(["-d", url]).output().expect("the story needs pg_dump");
    if is_too_old(&output) {
        let wants = |without: &str| u32::from(!arguments.contains(&without));
        let wanted = [
            ("schema", wants("--data-only")),
            ("data", wants("--schema-only")),
            ("sidecar", wants("--exclude-schema=ryzed")),
        ];
        return psql_file(url, "catalogue.sql", &wanted).unwrap_or_else(|error| panic!("{error}"));
    }
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    without_keys(&output.stdout)
}

fn is_too_old(output: &Output) -> bool {
    !output.status.success() && String::from_utf8_lossy(&output.stderr).contains("server version mismatch")
}

/// Newer releases bracket a dump with a key that is another one each time. How far sequences have come is no part of what is
/// compared: nothing takes that back.
fn without_keys(dump: &[u8]) -> String {
    const PASSING: [&str; 3] = ["\\restrict", "\\unrestrict", "SELECT pg_catalog.setval("];
    let text = String::from_utf8_lossy(dump);
    let lines = text.lines().filter(|line| !PASSING.iter().any(|passing| line.starts_with(passing)));
    lines.map(|line| format!("{line}\n")).collect()
}

/// A server of one's own, for stories in which it is stopped, killed or slow. It ends with the value, and with the test
/// process.
#[derive(Debug)]
pub struct Cluster {
    programs: PathBuf,
    folder: PathBuf,
    port: u16,
    manner: Manner,
    reaper: Child,
}

/// In which way servers differ.
#[derive(Debug, Clone, Copy)]
struct Manner {
    durability: &'static str,
    language: &'static str,
}

impl Cluster {
    /// Makes the files of a server and starts it.
    #[must_use]
    pub fn start() -> Self {
        Self::with(programs(), Manner { durability: FORGETFUL, language: "" })
    }

    /// The same with a server that waits for the disk, as in production.
    #[must_use]
    pub fn durable() -> Self {
        Self::with(programs(), Manner { durability: "", language: "" })
    }

    /// The installed one, with messages in a language: `de`.
    #[must_use]
    pub fn start_speaking(language: &'static str) -> Self {
        // Others come without translations.
        Self::with(installed(), Manner { durability: FORGETFUL, language })
    }

    fn with(programs: PathBuf, manner: Manner) -> Self {
        let folder = tempfile::Builder::new().prefix("ryzed-pg-").tempdir().expect("a temporary folder").keep();
        let port = ports::free();
        own(&folder);
        let mut make = as_nobody_special(&programs.join("initdb"));
        make.arg("-D").arg(folder.join("data"));
        done(make.args(["-U", SUPERUSER, "-A", "trust", "-E", "UTF8", "--locale", "C.UTF-8", "--no-sync"]));
        start_server(&programs, &folder, port, manner);
        let reaper = reaper(&folder);
        Self { programs, folder, port, manner, reaper }
    }

    /// The URL of a database of this server.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{SUPERUSER}@127.0.0.1:{}/{database}", self.port)
    }

    /// Makes a new, empty database and tells where it is.
    #[must_use]
    pub fn new_database(&self) -> String {
        let name = format!("story_{}", MADE.fetch_add(1, Ordering::Relaxed));
        let made = psql(&self.url("postgres"), &format!("CREATE DATABASE {name}"));
        made.unwrap_or_else(|error| panic!("no new database: {error}"));
        self.url(&name)
    }

    /// Its roles, and who belongs to which, as SQL.
    #[must_use]
    pub fn roles(&self) -> String {
        let url = self.url("postgres");
        let output = Command::new("pg_dumpall").args(["--roles-only", "-d", &url]).output().expect("pg_dumpall");
        if is_too_old(&output) {
            let roles = "SELECT r.rolname, to_jsonb(r) - 'oid', (SELECT jsonb_agg(to_jsonb(m) - 'oid' ORDER BY m.roleid, m.grantor) \
                         FROM pg_auth_members m WHERE m.member = r.oid) FROM pg_authid r WHERE r.rolname !~ '^pg_' ORDER BY 1";
            return psql(&url, roles).unwrap_or_else(|error| panic!("{error}"));
        }
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        without_keys(&output.stdout)
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Puts a file into the server's data folder that only the server can read; where it is.
    #[must_use]
    pub fn put(&self, name: &str, contents: &[u8]) -> PathBuf {
        let path = self.folder.join("data").join(name);
        std::fs::write(&path, contents).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("its mode");
        own(&path);
        path
    }

    /// Sets settings that need no restart, `name = value` each.
    pub fn set(&self, settings: &[&str]) {
        let statements: Vec<String> = settings.iter().map(|setting| format!("ALTER SYSTEM SET {setting};")).collect();
        let sql = format!("{} SELECT pg_reload_conf()", statements.concat());
        psql(&self.url("postgres"), &sql).unwrap_or_else(|error| panic!("{error}"));
    }

    /// Stops it at once, as a crash would: what was not committed is lost, connections are cut.
    pub fn crash(&self) {
        self.stop("immediate");
    }

    /// Stops it as an operator does who does not wait for clients.
    pub fn shut_down(&self) {
        self.stop("fast");
    }

    /// Starts it again on the same files and port.
    pub fn start_again(&self) {
        start_server(&self.programs, &self.folder, self.port, self.manner);
    }

    fn stop(&self, mode: &str) {
        let mut stop = as_nobody_special(&self.programs.join("pg_ctl"));
        done(stop.arg("-D").arg(self.folder.join("data")).args(["-w", "-m", mode, "stop"]));
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // The reaper ends the server when its input ends.
        drop(self.reaper.stdin.take());
        let _ = self.reaper.wait();
    }
}

fn start_server(programs: &Path, folder: &Path, port: u16, manner: Manner) {
    let options = format!("-p {port} -h 127.0.0.1 -k {} {SETTINGS} {}", folder.display(), manner.durability);
    let mut start = as_nobody_special(&programs.join("pg_ctl"));
    start.env("LANGUAGE", manner.language);
    start.arg("-D").arg(folder.join("data")).arg("-l").arg(folder.join("log")).args(["-w", "-o", &options, "start"]);
    done(&mut start);
}

/// The programs of the server: those in the folder that `RYZED_TEST_POSTGRES` names, else the newest that are installed.
fn programs() -> PathBuf {
    if let Some(folder) = std::env::var_os("RYZED_TEST_POSTGRES").filter(|folder| !folder.is_empty()) {
        let folder = PathBuf::from(folder);
        assert!(folder.join("initdb").is_file(), "RYZED_TEST_POSTGRES: there is no initdb in {}", folder.display());
        return folder;
    }
    installed()
}

fn installed() -> PathBuf {
    let versions = std::fs::read_dir(INSTALLED).into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, programs)| programs.join("initdb").is_file())
        .collect();
    found.sort();
    found.pop().map(|(_, programs)| programs).expect("no PostgreSQL server is installed: run scripts/setup")
}

/// PostgreSQL refuses to be run by root.
fn as_nobody_special(program: &Path) -> Command {
    let mut command = if is_root() {
        let mut command = Command::new("runuser");
        command.args(["-u", SUPERUSER, "--"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

pub(crate) fn own(folder: &Path) {
    if is_root() {
        done(Command::new("chown").arg(SUPERUSER).arg(folder).stderr(Stdio::piped()));
    }
}

pub(crate) fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().expect("id");
    output.stdout.trim_ascii() == b"0"
}

fn done(command: &mut Command) {
    // The server inherits what pg_ctl has; an output that is a pipe would keep us waiting for the server's end.
    let status = command.stderr(Stdio::null()).status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?} ended with {status}");
}

/// A process that outlives this one for a moment, to end the server at once and to remove its folder.
fn reaper(folder: &Path) -> Child {
    let mut command = Command::new("sh");
    let script = r#"read -r _; pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null) && kill -QUIT "$pid" &&
        while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done; rm -rf "$1""#;
    command.args(["-c", script, "reaper"]).arg(folder);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("a shell")
}
