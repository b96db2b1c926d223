//! Progress for the person at the terminal, on stderr: a bar, or where that is no terminal a line now and then.

use std::fmt::Display;
use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// The pause between lines where there is no terminal.
const EVERY: Duration = Duration::from_secs(3);

/// Shows how far something is, until it is dropped.
pub struct Progress {
    bar: Option<ProgressBar>,
    said: Instant,
}

impl Progress {
    /// A bar drawn like this, of so much in all where that is known.
    #[must_use]
    pub fn new(template: &str, total: Option<u64>) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
            bar.with_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self { bar, said: Instant::now() }
    }

    /// Says something beside it.
    pub fn say(&self, what: impl Display) {
        match &self.bar {
            Some(bar) => bar.suspend(|| aside!("{what}")),
            None => aside!("{what}"),
        }
    }

    /// Shows where it is and what is being done, or says `line` when it is time for one.
    pub fn at(&mut self, position: u64, doing: impl Into<String>, line: impl FnOnce() -> String) {
        self.show(position, doing);
        if self.said.elapsed() >= EVERY {
            self.line(line);
        }
    }

    /// Shows where it is and what is being done, on a bar alone.
    pub fn show(&self, position: u64, doing: impl Into<String>) {
        if let Some(bar) = &self.bar {
            bar.set_message(doing.into());
            bar.set_position(position);
        }
    }

    /// Shows that there are so many in all; the time that is left is reckoned anew where they are others than before.
    pub fn of(&self, total: u64) {
        if let Some(bar) = self.bar.as_ref().filter(|bar| bar.length() != Some(total)) {
            bar.set_length(total);
            bar.reset_eta();
        }
    }

    /// Says `line`, whenever the last one was, where there is no bar.
    pub fn line(&mut self, line: impl FnOnce() -> String) {
        if self.bar.is_none() {
            self.said = Instant::now();
            aside!("{}", line());
        }
    }

    /// Takes the bar away; what comes later draws it anew.
    pub fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
