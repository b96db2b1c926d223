//! What a person sees while a database is adopted: a bar on a terminal, else a line now and then. All of it on stderr.

use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::store::postgres::adopt::Watch;

/// The pause between lines where there is no terminal.
const EVERY: Duration = Duration::from_secs(3);
const BAR: &str = "{bar:30} {human_pos}/{human_len} rows of {msg} ({eta} left)";

/// Shows how far it is.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    said: Instant,
    /// The table that was said to be done.
    done: String,
}

impl Progress {
    pub(super) fn new() -> Self {
        let bar = stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template(BAR).unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(0).with_style(style)
        });
        Self { bar, said: Instant::now(), done: String::new() }
    }

    /// Takes the bar away.
    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Watch for Progress {
    fn step(&mut self, what: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| aside!("{what}")),
            None => aside!("{what}"),
        }
    }

    fn entered(&mut self, table: &str, rows: u64, of: u64) {
        if let Some(bar) = &self.bar {
            if bar.message() != table {
                bar.set_message(table.to_owned());
                bar.reset_eta();
            }
            bar.set_length(of);
            bar.set_position(rows);
        } else if (self.said.elapsed() >= EVERY || rows == of) && self.done != table {
            self.said = Instant::now();
            if rows == of {
                table.clone_into(&mut self.done);
            }
            aside!("{table}: {rows} of {of} rows entered");
        }
    }
}
