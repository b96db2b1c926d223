//! `ryzed completions`: what a shell needs to complete commands and flags.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, Outcome, print};

/// Print a completion script for a shell.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ryzed completions bash > ~/.local/share/bash-completion/completions/ryzed
  ryzed completions zsh > ~/.zfunc/_ryzed
  ryzed completions fish > ~/.config/fish/completions/ryzed.fish")]
pub(super) struct Options {
    /// The shell
    shell: Shell,
}

pub(super) fn run(options: &Options) -> Outcome {
    // Not straight to the standard output: the library panics when nobody reads on.
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut Cli::command(), "ryzed", &mut script);
    print(&String::from_utf8_lossy(&script))
}
