//! A Redis of one's own, on a free port, in a temporary folder: one server, a Cluster, or a master with a replica and a Sentinel.
//! It ends with the value, and with the test process.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::certificates::Authority;
use crate::ports;
use crate::process::put_down;

/// The file of a Sentinel, which it writes to.
const SENTINEL_FILE: &str = "sentinel.conf";
/// The time that a start may take.
const START: Duration = Duration::from_secs(10);

/// A running server, unless it was killed.
#[derive(Debug)]
pub struct Redis {
    port: u16,
    folder: TempDir,
    arguments: Vec<String>,
    server: Child,
    reaper: Child,
}

impl Redis {
    /// Starts one.
    #[must_use]
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// Starts one with further arguments of `redis-server`.
    #[must_use]
    pub fn with(arguments: &[&str]) -> Self {
        let local = ["--bind", "127.0.0.1", "--enable-debug-command", "local", "--save", "", "--appendonly", "no"];
        Self::begin(folder(), ports::free(), &[&local[..], arguments].concat())
    }

    /// Starts one that speaks only TLS, as `localhost`.
    #[must_use]
    pub fn encrypted(authority: &Authority, arguments: &[&str]) -> Self {
        let (certificate, key) = authority.sign();
        let port = ports::free();
        let files = [&certificate, &key, &authority.pem()].map(|path| path.display().to_string());
        let tls = ["--port", "0", "--tls-port", &port.to_string(), "--tls-auth-clients", "no"].map(str::to_owned);
        let names = ["--tls-cert-file", "--tls-key-file", "--tls-ca-cert-file"];
        let named = names.iter().zip(&files).flat_map(|(name, file)| [(*name).to_owned(), file.clone()]);
        let all: Vec<String> = tls.into_iter().chain(named).collect();
        let all: Vec<&str> = all.iter().map(String::as_str).chain(arguments.iter().copied()).collect();
        Self::begin(folder(), port, &[&["--bind", "127.0.0.1", "--save", ""][..], &all].concat())
    }

    /// Starts a Sentinel with what its file says, and further arguments.
    fn sentinel(file: &str, arguments: &[&str]) -> Self {
        let folder = folder();
        std::fs::write(folder.path().join(SENTINEL_FILE), file).expect("the Sentinel's file");
        Self::begin(folder, ports::free(), &[&[SENTINEL_FILE, "--sentinel"], arguments].concat())
    }

    fn begin(folder: TempDir, port: u16, arguments: &[&str]) -> Self {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let (server, reaper) = run(&folder, port, &arguments);
        Self { port, folder, arguments, server, reaper }
    }

    /// The server's URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The port it listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.server.id()
    }

    /// Ends it as a crash would; what it held is gone.
    pub fn kill9(&mut self) {
        self.server.kill().expect("SIGKILL is sent");
        self.server.wait().expect("the server is gone");
    }

    /// Starts it again on the same port, empty.
    pub fn start_again(&mut self) {
        put_down(&mut self.reaper);
        (self.server, self.reaper) = run(&self.folder, self.port, &self.arguments);
    }

    /// Runs a command; its answer as `redis-cli` prints it.
    #[must_use]
    pub fn cli(&self, arguments: &[&str]) -> String {
        let port = self.port.to_string();
        let mut command = Command::new("redis-cli");
        if let Some(at) = self.arguments.iter().position(|argument| argument == "--requirepass") {
            command.env("REDISCLI_AUTH", &self.arguments[at + 1]);
        }
        let output = command.args(["-p", &port]).args(arguments).output();
        let output = output.expect("the story needs redis-cli: run scripts/setup");
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }
}

/// A Cluster of three nodes.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<Redis>,
}

impl RedisCluster {
    /// Starts one and waits until its slots are given out.
    #[must_use]
    pub fn start() -> Self {
        // The usual port of the nodes' own talk may be in use by somebody's outgoing connection.
        let talks: Vec<String> = (0..3).map(|_| ports::free().to_string()).collect();
        let begin = |talk: &String| {
            let cluster = ["--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-port", talk];
            Redis::with(&[&cluster[..], &["--cluster-node-timeout", "2000"]].concat())
        };
        let nodes: Vec<Redis> = talks.iter().map(begin).collect();
        let mut create = Command::new("redis-cli");
        create.args(["--cluster", "create"]);
        create.args(nodes.iter().zip(&talks).map(|(node, talk)| format!("127.0.0.1:{}@{talk}", node.port)));
        let made = create.args(["--cluster-replicas", "0", "--cluster-yes"]).output().expect("redis-cli");
        assert!(made.status.success(), "no Cluster: {}", String::from_utf8_lossy(&made.stdout));
        let cluster = Self { nodes };
        let is_whole = |node: &Redis| node.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok");
        wait(|| cluster.nodes.iter().all(is_whole), "the Cluster is not whole");
        cluster
    }

    /// Moves the slot of a channel to another node, as somebody who adds one does. What it is subscribed to there ends.
    pub fn migrate(&self, channel: &str) {
        let slot = self.nodes[0].cli(&["CLUSTER", "KEYSLOT", channel]);
        let ids: Vec<String> = self.nodes.iter().map(|node| node.cli(&["CLUSTER", "MYID"])).collect();
        let holds = |node: &Redis| node.cli(&["PUBSUB", "SHARDNUMSUB", channel]).lines().last() != Some("0");
        let from = self.nodes.iter().position(holds).expect("somebody is subscribed to the channel");
        let to = (from + 1) % self.nodes.len();
        let set = |node: usize, how: &[&str]| {
            let answer = self.nodes[node].cli(&[&["CLUSTER", "SETSLOT", &slot][..], how].concat());
            assert_eq!(answer, "OK", "slot {slot} on node {node}: {how:?}");
        };
        set(to, &["IMPORTING", &ids[from]]);
        set(from, &["MIGRATING", &ids[to]]);
        for node in [to, from, (to + 1) % self.nodes.len()] {
            set(node, &["NODE", &ids[to]]);
        }
    }

    /// The cluster's URL, by two of its nodes.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis+cluster://127.0.0.1:{},127.0.0.1:{}", self.nodes[0].port, self.nodes[1].port)
    }

    /// The sharded channels that somebody is subscribed to.
    #[must_use]
    pub fn channels(&self) -> Vec<String> {
        let lines: Vec<String> = self.nodes.iter().map(|node| node.cli(&["PUBSUB", "SHARDCHANNELS"])).collect();
        lines.iter().flat_map(|lines| lines.lines()).filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }
}

/// A master, a replica, and a Sentinel that makes the replica the master when the master is gone.
#[derive(Debug)]
pub struct Sentinel {
    master: Redis,
    _replica: Redis,
    sentinel: Redis,
}

impl Sentinel {
    /// Starts them, and waits until the Sentinel knows the replica.
    #[must_use]
    pub fn start() -> Self {
        Self::with(None)
    }

    /// All three ask for this password.
    #[must_use]
    pub fn guarded(password: &str) -> Self {
        Self::with(Some(password))
    }

    fn with(password: Option<&str>) -> Self {
        let asks: Vec<&str> = password.iter().flat_map(|password| ["--requirepass", password]).collect();
        let knows: Vec<&str> = password.iter().flat_map(|password| ["--masterauth", password]).collect();
        let further = password.map(|password| format!("sentinel auth-pass main {password}\n")).unwrap_or_default();
        let master = Redis::with(&[&asks[..], &knows].concat());
        let port = master.port.to_string();
        let replica = Redis::with(&[&["--replicaof", "127.0.0.1", &port][..], &asks, &knows].concat());
        let in_step = || replica.cli(&["INFO", "replication"]).contains("master_link_status:up");
        wait(in_step, "the replica is not in step");
        let file = format!(
            "sentinel monitor main 127.0.0.1 {port} 1\nsentinel down-after-milliseconds main 1000\n\
             sentinel failover-timeout main 5000\n{further}"
        );
        let sentinel = Redis::sentinel(&file, &asks);
        let knows = || sentinel.cli(&["SENTINEL", "REPLICAS", "main"]).contains("127.0.0.1");
        wait(knows, "the Sentinel does not know the replica");
        Self { master, _replica: replica, sentinel }
    }

    /// The Sentinel's URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis+sentinel://127.0.0.1:{}/main", self.sentinel.port)
    }

    /// Ends the master as a crash would.
    pub fn kill_master(&mut self) {
        self.master.kill9();
    }
}

fn wait(until: impl Fn() -> bool, otherwise: &str) {
    let started = Instant::now();
    while !until() {
        assert!(started.elapsed() < 2 * START, "{otherwise}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        put_down(&mut self.reaper);
        put_down(&mut self.server);
    }
}

fn folder() -> TempDir {
    tempfile::Builder::new().prefix("ryzed-redis-").tempdir().expect("a temporary folder")
}

fn run(folder: &TempDir, port: u16, arguments: &[String]) -> (Child, Child) {
    let mut command = Command::new("redis-server");
    // A Sentinel's file comes first; what is said later wins.
    let file = usize::from(arguments.first().is_some_and(|first| !first.starts_with("--")));
    command.args(&arguments[..file]).args(["--port", &port.to_string()]).args(&arguments[file..]);
    command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut server = command.spawn().expect("the story needs redis-server: run scripts/setup");
    let reaper = reaper(server.id(), folder.path());
    let started = Instant::now();
    while !answers(port) {
        assert!(matches!(server.try_wait(), Ok(None)), "redis-server does not start with {arguments:?}");
        assert!(started.elapsed() < START, "redis-server is not ready after {START:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
    (server, reaper)
}

fn answers(port: u16) -> bool {
    let ask = || -> std::io::Result<usize> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"PING\r\n")?;
        stream.read(&mut [0; 1])
    };
    // An error is an answer too, and so is an end: a password may be asked for, or TLS.
    ask().map_or_else(|error| error.kind() == ErrorKind::ConnectionReset, |_| true)
}

/// A process that outlives this one for a moment, to end a server that nobody drops and to remove its folder.
fn reaper(pid: u32, folder: &Path) -> Child {
    let mut command = Command::new("sh");
    command.args(["-c", r#"read -r _; kill -9 "$1"; rm -rf "$2""#, "reaper", &pid.to_string()]).arg(folder);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("a shell")
}
