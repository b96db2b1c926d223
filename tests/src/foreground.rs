//! A daemon as somebody starts it by hand or under a supervisor of their own: its outputs are pipes that the story holds.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStderr, Stdio};
use std::time::{Duration, Instant};

use crate::command::command;
use crate::process::{put_down, signal};
use crate::{Account, Person, SECRET};

/// How long it may take to end.
const END: Duration = Duration::from_secs(12);

/// A daemon whose standard error nobody reads unless the story does. It dies with the value.
#[derive(Debug)]
pub struct Foreground {
    child: Child,
    address: String,
    /// What it logs; none once it was taken.
    pub stderr: Option<ChildStderr>,
}

impl Foreground {
    /// Starts it on the data in `<folder>/data` and waits until it says where it listens.
    #[must_use]
    pub fn start(folder: &Path, env: &[(&str, &str)]) -> Self {
        let mut serve = command(folder, env, &["serve"]);
        serve.env("RYZED_AUTH__SECRET", SECRET).env("RYZED_SERVER__LISTEN", "127.0.0.1:0");
        let mut child = serve.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a daemon");
        let mut said = String::new();
        BufReader::new(child.stdout.take().expect("its output")).read_line(&mut said).expect("its first line");
        let address = said.split("http://").nth(1).and_then(|rest| rest.split(',').next());
        let address = address.unwrap_or_else(|| panic!("no address in {said:?}")).to_owned();
        let stderr = child.stderr.take();
        Self { child, address, stderr }
    }

    /// A new person with an account of this daemon.
    #[must_use]
    pub fn account(&self) -> Account {
        Account::new(&self.address, None, Person::new())
    }

    /// Asks it to stop, and waits for its exit code.
    pub async fn stop(&mut self) -> i32 {
        signal("TERM", self.child.id());
        let asked = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                return status.code().unwrap_or_else(|| panic!("it was killed: {status}"));
            }
            assert!(asked.elapsed() < END, "it still runs after {END:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Foreground {
    fn drop(&mut self) {
        put_down(&mut self.child);
    }
}
