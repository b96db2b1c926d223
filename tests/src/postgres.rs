//! A PostgreSQL of this test process: made from the installed binaries in a temporary folder when the first story asks,
//! on a free port, as a user that is not root, and gone with the process.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::ports;

/// Where distributions keep the server's programs, a folder a version.
const INSTALLED: &str = "/usr/lib/postgresql";
/// The superuser.
const SUPERUSER: &str = "postgres";
/// A lost machine is no matter here, and nobody waits for the disk.
const SETTINGS: &str = "-c fsync=off -c full_page_writes=off -c max_connections=400 -c shared_buffers=64MB -c jit=off \
    -c autovacuum_naptime=10s -c log_lock_waits=on";

static CLUSTER: LazyLock<Cluster> = LazyLock::new(Cluster::start);
static MADE: AtomicU32 = AtomicU32::new(0);

/// Whether the stories are to be told on PostgreSQL: `RYZED_TEST_DATABASE`.
#[must_use]
pub fn is_wanted() -> bool {
    match std::env::var("RYZED_TEST_DATABASE").as_deref() {
        Err(_) | Ok("" | "sqlite") => false,
        Ok("postgres") => true,
        Ok(other) => panic!("RYZED_TEST_DATABASE is sqlite or postgres, not {other}"),
    }
}

/// The URL of a new, empty database.
#[must_use]
pub fn new_database() -> String {
    let name = format!("story_{}", MADE.fetch_add(1, Ordering::Relaxed));
    let made = psql(&CLUSTER.url("postgres"), &format!("CREATE DATABASE {name}"));
    made.unwrap_or_else(|error| panic!("no new database: {error}"));
    CLUSTER.url(&name)
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

struct Cluster {
    port: u16,
    /// Ends the server when this process has ended, however.
    _reaper: Child,
}

impl Cluster {
    fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("ryzed-pg-").tempdir().expect("a temporary folder").keep();
        let (programs, port) = (programs(), ports::free());
        own(&folder);
        let data = folder.join("data");
        done(as_nobody_special(&programs.join("initdb")).arg("-D").arg(&data).args([
            "-U",
            SUPERUSER,
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale",
            "C.UTF-8",
            "--no-sync",
        ]));
        let options = format!("-p {port} -h 127.0.0.1 -k {} {SETTINGS}", folder.display());
        let mut start = as_nobody_special(&programs.join("pg_ctl"));
        start.arg("-D").arg(&data).arg("-l").arg(folder.join("log")).args(["-w", "-o", &options, "start"]);
        done(&mut start);
        let pid = std::fs::read_to_string(data.join("postmaster.pid")).expect("the server's pid");
        let pid = pid.lines().next().expect("a line").to_owned();
        Self { port, _reaper: reaper(&pid, &folder) }
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://{SUPERUSER}@127.0.0.1:{}/{database}", self.port)
    }
}

/// The newest server that is installed.
fn programs() -> PathBuf {
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

fn own(folder: &Path) {
    if is_root() {
        done(Command::new("chown").arg(SUPERUSER).arg(folder).stderr(Stdio::piped()));
    }
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().expect("id");
    output.stdout.trim_ascii() == b"0"
}

fn done(command: &mut Command) {
    // The server inherits what pg_ctl has; an output that is a pipe would keep us waiting for the server's end.
    let status = command.stderr(Stdio::null()).status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?} ended with {status}");
}

/// A process that outlives this one for a moment, to end the server at once and to remove its folder.
fn reaper(pid: &str, folder: &Path) -> Child {
    let mut command = Command::new("sh");
    let script = r#"read -r _; kill -QUIT "$1"; while kill -0 "$1" 2>/dev/null; do sleep 0.05; done; rm -rf "$2""#;
    command.args(["-c", script, "reaper", pid]).arg(folder);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("a shell")
}
