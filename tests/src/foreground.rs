//! A daemon as somebody starts it by hand or under a supervisor of their own: its outputs are pipes that the story holds.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::command::command;
use crate::process::{put_down, signal};
use crate::{Account, Person, SECRET};

/// The time that it may take to end.
const END: Duration = Duration::from_secs(12);

/// A daemon whose standard error nobody reads unless the story does. It dies with the value.
#[derive(Debug)]
pub struct Foreground {
    child: Child,
    address: String,
    /// Its standard error; none once it was taken.
    pub stderr: Option<ChildStderr>,
    read: Arc<Mutex<String>>,
}

impl Foreground {
    /// Starts it on the data in `<folder>/data` and waits until it says where it listens.
    #[must_use]
    pub fn start(folder: &Path, env: &[(&str, &str)]) -> Self {
        Self::serve(folder, env, &[])
    }

    /// The same with flags.
    #[must_use]
    pub fn serve(folder: &Path, env: &[(&str, &str)], flags: &[&str]) -> Self {
        let mut serve = command(folder, env, &["serve"]);
        serve.args(flags);
        Self::spawn(serve)
    }

    fn spawn(mut serve: Command) -> Self {
        serve.env("RYZED_AUTH__SECRET", SECRET).env("RYZED_SERVER__LISTEN", "127.0.0.1:0").stdin(Stdio::null());
        let mut child = serve.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a daemon");
        let mut said = String::new();
        BufReader::new(child.stdout.take().expect("its output")).read_line(&mut said).expect("its first line");
        let address = said.split("http://").nth(1).and_then(|rest| rest.split(',').next());
        let address = address.unwrap_or_else(|| panic!("no address in {said:?}")).to_owned();
        let stderr = child.stderr.take();
        Self { child, address, stderr, read: Arc::default() }
    }

    /// The same on a disk of its own, of so many KiB, which only it sees: [`Self::disk`] is where others find it.
    #[must_use]
    pub fn on_small_disk(folder: &Path, kib: u32) -> Self {
        let data = folder.join("data");
        std::fs::create_dir_all(&data).expect("a folder");
        // A mount of its own needs no rights of the machine's, only a namespace.
        let script = format!("mount -t tmpfs -o size={kib}k,mode=700 tmpfs \"$RYZED_DATA_DIR\" && exec \"$0\" serve");
        let serve = command(folder, &[], &[]);
        let mut apart = Command::new("unshare");
        apart.args(["--map-root-user", "--mount", "sh", "-c", &script]).arg(serve.get_program()).current_dir(folder);
        for (name, value) in serve.get_envs() {
            match value {
                Some(value) => apart.env(name, value),
                None => apart.env_remove(name),
            };
        }
        Self::spawn(apart)
    }

    /// The folder `<folder>/data` as the daemon sees it, with a mount of its own.
    #[must_use]
    pub fn disk(&self, folder: &Path) -> PathBuf {
        let inside = folder.join("data");
        Path::new("/proc")
            .join(self.child.id().to_string())
            .join("root")
            .join(inside.strip_prefix("/").expect("a path"))
    }

    /// Bounds its files from now on, in bytes, as a quota does.
    pub fn limit_file_size(&self, bytes: u64) {
        let mut prlimit = Command::new("prlimit");
        prlimit.arg("--pid").arg(self.child.id().to_string()).arg(format!("--fsize={bytes}:"));
        assert!(prlimit.status().expect("prlimit").success());
    }

    /// Everything that it has logged until now. From the first call on it is read all the time.
    pub fn log(&mut self) -> String {
        if let Some(mut stderr) = self.stderr.take() {
            let read = Arc::clone(&self.read);
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(count) = stderr.read(&mut buffer) {
                    if count == 0 {
                        break;
                    }
                    let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
                    read.lock().expect("no reader has failed").push_str(&text);
                }
            });
        }
        self.read.lock().expect("no reader has failed").clone()
    }

    /// Waits for a line of the log that holds all of these, and returns it.
    pub async fn logged(&mut self, words: &[&str]) -> String {
        let asked = Instant::now();
        loop {
            let log = self.log();
            if let Some(line) = log.lines().find(|line| words.iter().all(|word| line.contains(word))) {
                return line.to_owned();
            }
            assert!(asked.elapsed() < END, "no line with {words:?}; the log:\n{log}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// A new person with an account of this daemon.
    #[must_use]
    pub fn account(&self) -> Account {
        Account::new(&self.address, None, Person::new())
    }

    /// The account of a person.
    #[must_use]
    pub fn account_of(&self, person: Person) -> Account {
        Account::new(&self.address, None, person)
    }

    /// Asks it to stop, and waits for its exit code.
    pub async fn stop(&mut self) -> i32 {
        signal("TERM", self.child.id());
        self.exit_code().await
    }

    /// Waits until it has ended.
    pub async fn exit_code(&mut self) -> i32 {
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
