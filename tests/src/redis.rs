//! A Redis of one's own, on a free port, without files. It ends with the value, and with the test process.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

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

impl Drop for Redis {
    fn drop(&mut self) {
        put_down(&mut self.reaper);
        put_down(&mut self.server);
    }
}

fn run(port: u16, arguments: &[String]) -> (Child, Child) {
    let port_text = port.to_string();
    let mut command = Command::new("redis-server");
    command.args(["--port", &port_text, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", "/tmp"]);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
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

fn put_down(child: &mut Child) {
    // Either fails only when the process is gone already, which is what is wanted.
    let _ = child.kill();
    let _ = child.wait();
}
