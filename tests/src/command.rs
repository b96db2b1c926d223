//! The command line, run to its end.

use std::path::Path;
use std::process::Command;

use crate::daemon::{bare_command, binary};

/// The result of a command.
#[derive(Debug, Clone)]
pub struct Ran {
    /// The exit code.
    pub code: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// Runs `ryzed` in `folder`, with its data in `<folder>/data`.
#[must_use]
pub fn ryzed(folder: &Path, env: &[(&str, &str)], arguments: &[&str]) -> Ran {
    Ran::of(&mut command(folder, env, arguments))
}

/// The same command, not run yet.
#[must_use]
pub fn command(folder: &Path, env: &[(&str, &str)], arguments: &[&str]) -> Command {
    let env: Vec<_> = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let mut command = bare_command(&binary(), folder, &env);
    command.args(arguments);
    command
}

impl Ran {
    /// Runs a command to its end.
    #[must_use]
    pub fn of(command: &mut Command) -> Self {
        let output = command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        Self {
            code: output.status.code().unwrap_or_else(|| panic!("{command:?} was killed: {}", output.status)),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The standard output, after checking that it ended well.
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.stdout, self.stderr);
        self.stdout
    }

    /// Both outputs.
    #[must_use]
    pub fn said(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// A text as one line, however it was laid out.
#[must_use]
pub fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The lines for the configuration that a report proposes, each with its section.
#[must_use]
pub fn proposed(report: &str) -> Vec<String> {
    let lines: Vec<&str> = report.lines().collect();
    let pairs = lines.windows(2).filter(|pair| pair[0].trim_start().starts_with("[tables."));
    pairs.map(|pair| format!("{}\n{}\n", pair[0], pair[1])).collect()
}
