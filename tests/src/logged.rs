//! Waits for lines of a daemon's log.

use std::time::{Duration, Instant};

use crate::Daemon;
use crate::process::signal;

/// The time that a line may take to be written.
const PATIENCE: Duration = Duration::from_secs(15);

impl Daemon {
    /// Asks it to read its configuration again.
    pub fn hang_up(&self) {
        signal("HUP", self.pid());
    }

    /// The lines that it has logged.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.log().lines().map(str::to_owned).collect()
    }

    /// Waits for a line that holds all of these, and returns it.
    pub async fn logged(&self, words: &[&str]) -> String {
        self.logged_after(0, words).await
    }

    /// The same behind the first `lines` lines.
    pub async fn logged_after(&self, lines: usize, words: &[&str]) -> String {
        let asked = Instant::now();
        loop {
            let found = self.lines().into_iter().skip(lines).find(|line| words.iter().all(|word| line.contains(word)));
            if let Some(line) = found {
                return line;
            }
            assert!(asked.elapsed() < PATIENCE, "no line with {words:?}; the log:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
