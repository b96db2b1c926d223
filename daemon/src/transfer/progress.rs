//! What a person sees while rows are read: a bar on a terminal, else a line now and then. All of it on stderr.

use std::io::{IsTerminal, stderr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::source::Input;
use super::{Refusal, Summary, Watch};

/// The pause between lines where there is no terminal.
const EVERY: Duration = Duration::from_secs(3);
const BAR: &str = "{bar:30} {bytes}/{total_bytes} {msg} ({eta} left)";
const SPINNER: &str = "{spinner} {bytes} {msg}";

/// Shows how far an import is.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    bytes: Arc<AtomicU64>,
    said: Instant,
}

impl Progress {
    /// Of the reading of `input`.
    pub(super) fn new(input: &Input) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let bar = input.length().map_or_else(ProgressBar::new_spinner, ProgressBar::new);
            let style = ProgressStyle::with_template(if input.length().is_some() { BAR } else { SPINNER });
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self { bar, bytes: input.counter(), said: Instant::now() }
    }

    /// Takes the bar away.
    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Watch for Progress {
    fn refused(&mut self, refusal: &Refusal) {
        match &self.bar {
            Some(bar) => bar.suspend(|| aside!("{refusal}")),
            None => aside!("{refusal}"),
        }
    }

    fn moved(&mut self, summary: &Summary) {
        if let Some(bar) = &self.bar {
            bar.set_position(self.bytes.load(Ordering::Relaxed));
            bar.set_message(format!("{} rows", summary.read));
        } else if self.said.elapsed() >= EVERY {
            self.said = Instant::now();
            aside!("{summary} so far");
        }
    }
}

const STEPS: &str = "{msg} {bar:30} {human_pos}/{human_len} records ({eta} left)";

/// Shows how many records of a known number are done.
pub(super) struct Steps {
    bar: Option<ProgressBar>,
    what: &'static str,
    total: u64,
    done: u64,
    said: Instant,
}

impl Steps {
    /// None of `total` yet.
    pub(super) fn new(what: &'static str, total: u64) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template(STEPS).unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(total).with_style(style).with_message(what)
        });
        Self { bar, what, total, done: 0, said: Instant::now() }
    }

    /// So many more are done.
    pub(super) fn made(&mut self, count: u64) {
        self.done += count;
        if let Some(bar) = &self.bar {
            bar.set_position(self.done);
        } else if self.said.elapsed() >= EVERY {
            self.said = Instant::now();
            aside!("{}: {} of {} records so far", self.what, self.done, self.total);
        }
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
