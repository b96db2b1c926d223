//! The command line, run to its end.

use std::path::Path;
use std::process::Command;

use crate::daemon::{bare_command, binary};

/// What a command came to.
#[derive(Debug, Clone)]
pub struct Ran {
    /// The exit code.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it said beside that.
    pub stderr: String,
}

/// Runs `ryzed` in `folder`, with its data in `<folder>/data`.
#[must_use]
pub fn ryzed(folder: &Path, env: &[(&str, &str)], arguments: &[&str]) -> Ran {
    Ran::of(&mut command(folder, env, arguments))
}

/// The same, not run yet.
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

    /// What it printed, after checking that it ended well.
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
