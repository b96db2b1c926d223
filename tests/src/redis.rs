//! A Redis of one's own, on a free port, without files: one server, a Cluster, or a master with a replica and a Sentinel. It ends
//! with the value, and with the test process.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::daemon::put_down;
use crate::ports;

/// How long a start may take.
const START: Duration = Duration::from_secs(10);

/// A running server, unless it was killed.
#[derive(Debug)]
pub struct Redis {
    port: u16,
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
        let port = ports::free();
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        let (server, reaper) = run(port, &arguments);
        Self { port, arguments, server, reaper }
    }

    /// Starts a Sentinel with its file.
    fn sentinel(file: &str) -> Self {
        let port = ports::free();
        let arguments = vec![file.to_owned(), "--sentinel".to_owned()];
        let (server, reaper) = run(port, &arguments);
        Self { port, arguments, server, reaper }
    }

    /// Where it is.
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
        (self.server, self.reaper) = run(self.port, &self.arguments);
    }

    /// Runs a command; its answer as `redis-cli` prints it.
    #[must_use]
    pub fn cli(&self, arguments: &[&str]) -> String {
        let port = self.port.to_string();
        let output = Command::new("redis-cli").args(["-p", &port]).args(arguments).output();
        let output = output.expect("the story needs redis-cli: run scripts/setup");
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }
}

/// A Cluster of three nodes.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<Redis>,
    _folders: Vec<tempfile::TempDir>,
}

impl RedisCluster {
    /// Starts one and waits until its slots are given out.
    #[must_use]
    pub fn start() -> Self {
        let folders: Vec<_> = (0..3).map(|_| tempfile::tempdir().expect("a temporary folder")).collect();
        // The usual port of the nodes' own talk may be in use by somebody's outgoing connection.
        let talks: Vec<String> = folders.iter().map(|_| ports::free().to_string()).collect();
        let begin = |(folder, talk): (&tempfile::TempDir, &String)| {
            let file = folder.path().join("nodes.conf");
            let file = file.to_str().expect("a path in UTF-8");
            let cluster = ["--cluster-enabled", "yes", "--cluster-config-file", file, "--cluster-port", talk];
            Redis::with(&[&cluster[..], &["--cluster-node-timeout", "2000"]].concat())
        };
        let nodes: Vec<Redis> = folders.iter().zip(&talks).map(begin).collect();
        let mut create = Command::new("redis-cli");
        create.args(["--cluster", "create"]);
        create.args(nodes.iter().zip(&talks).map(|(node, talk)| format!("127.0.0.1:{}@{talk}", node.port)));
        let made = create.args(["--cluster-replicas", "0", "--cluster-yes"]).output().expect("redis-cli");
        assert!(made.status.success(), "no Cluster: {}", String::from_utf8_lossy(&made.stdout));
        let cluster = Self { nodes, _folders: folders };
        let is_whole = |node: &Redis| node.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok");
        wait(|| cluster.nodes.iter().all(is_whole), "the Cluster is not whole");
        cluster
    }

    /// Where it is, by two of its nodes.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis+cluster://127.0.0.1:{},127.0.0.1:{}", self.nodes[0].port, self.nodes[1].port)
    }

    /// How many sharded channels somebody is subscribed to.
    #[must_use]
    pub fn shard_channels(&self) -> usize {
        let lines = self.nodes.iter().map(|node| node.cli(&["PUBSUB", "SHARDCHANNELS"]));
        lines.map(|channels| channels.lines().filter(|line| !line.is_empty()).count()).sum()
    }
}

/// A master, a replica, and a Sentinel that makes the replica the master when the master is gone.
#[derive(Debug)]
pub struct Sentinel {
    master: Redis,
    _replica: Redis,
    sentinel: Redis,
    _folder: tempfile::TempDir,
}

impl Sentinel {
    /// Starts them, and waits until the Sentinel knows the replica.
    #[must_use]
    pub fn start() -> Self {
        let master = Redis::start();
        let port = master.port.to_string();
        let replica = Redis::with(&["--replicaof", "127.0.0.1", &port]);
        wait(|| replica.cli(&["INFO", "replication"]).contains("master_link_status:up"), "the replica is not in step");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("sentinel.conf");
        let monitor = format!(
            "sentinel monitor main 127.0.0.1 {port} 1\nsentinel down-after-milliseconds main 1000\n\
             sentinel failover-timeout main 5000\n"
        );
        std::fs::write(&file, monitor).expect("the Sentinel's file");
        let sentinel = Redis::sentinel(file.to_str().expect("a path in UTF-8"));
        let knows = || sentinel.cli(&["SENTINEL", "REPLICAS", "main"]).contains("127.0.0.1");
        wait(knows, "the Sentinel does not know the replica");
        Self { master, _replica: replica, sentinel, _folder: folder }
    }

    /// Where the Sentinel is.
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

fn run(port: u16, arguments: &[String]) -> (Child, Child) {
    let port_text = port.to_string();
    let mut command = Command::new("redis-server");
    // A Sentinel's file comes first.
    let file = usize::from(arguments.first().is_some_and(|first| !first.starts_with("--")));
    command.args(&arguments[..file]);
    command.args(["--port", &port_text, "--bind", "127.0.0.1", "--dir", "/tmp", "--enable-debug-command", "local"]);
    if file == 0 {
        command.args(["--save", "", "--appendonly", "no"]);
    }
    command.args(&arguments[file..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let server = command.spawn().expect("the story needs redis-server: run scripts/setup");
    let reaper = reaper(server.id());
    let started = Instant::now();
    while !answers(port) {
        assert!(started.elapsed() < START, "redis-server is not ready after {START:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
    (server, reaper)
}

fn answers(port: u16) -> bool {
    let ask = || -> std::io::Result<u8> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"PING\r\n")?;
        let mut answer = [0; 1];
        stream.read_exact(&mut answer)?;
        Ok(answer[0])
    };
    // An error is an answer too: a password may be asked for.
    ask().is_ok()
}

/// A process that outlives this one for a moment, to end a server that nobody drops.
fn reaper(pid: u32) -> Child {
    let mut command = Command::new("sh");
    command.args(["-c", r#"read -r _; kill -9 "$1""#, "reaper", &pid.to_string()]);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("a shell")
}
