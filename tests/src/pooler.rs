//! pgbouncer between a daemon and a server of PostgreSQL.

use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::ports;
use crate::postgres::{Cluster, SUPERUSER, is_root, own};
use crate::process::put_down;

/// Not on everybody's path.
const PROGRAM: &str = "/usr/sbin/pgbouncer";
/// The time that it may take to start.
const START: Duration = Duration::from_secs(10);

/// A running pooler. It ends with the value.
#[derive(Debug)]
pub struct Pooler {
    child: Child,
    folder: PathBuf,
    port: u16,
}

impl Pooler {
    /// Starts one in front of `cluster`: `mode` is `session`, `transaction` or `statement`, with so many connections.
    #[must_use]
    pub fn before(cluster: &Cluster, mode: &str, connections: u32) -> Self {
        let folder = tempfile::Builder::new().prefix("ryzed-pooler-").tempdir().expect("a temporary folder").keep();
        let (port, server) = (ports::free(), cluster.url(""));
        let place =
            server.rsplit('@').next().unwrap_or_default().trim_end_matches('/').split_once(':').expect("a port");
        let settings = format!(
            "[databases]\n* = host={} port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = trust\nauth_file = {}/users\npool_mode = {mode}\ndefault_pool_size = {connections}\n\
             ignore_startup_parameters = extra_float_digits\nquery_wait_timeout = 30\n",
            place.0,
            place.1,
            folder.display()
        );
        std::fs::write(folder.join("users"), "\"postgres\" \"\"\n").expect("the users");
        std::fs::write(folder.join("pgbouncer.ini"), settings).expect("the settings");
        own(&folder);
        // Like the server it refuses to be run by root. Nothing stands between, which would outlive it.
        let mut command = Command::new(if is_root() { "setpriv" } else { PROGRAM });
        if is_root() {
            command.args(["--reuid", SUPERUSER, "--regid", SUPERUSER, "--clear-groups", PROGRAM]);
        }
        command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.arg(folder.join("pgbouncer.ini")).spawn().expect("the story needs pgbouncer");
        let pooler = Self { child, folder, port };
        let asked = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(asked.elapsed() < START, "pgbouncer does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        pooler
    }

    /// The URL of a database of the server through the pooler.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        put_down(&mut self.child);
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
