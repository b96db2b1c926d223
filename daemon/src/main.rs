//! The binary `ryzed`. What it can do is in [`ryzed::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    ryzed::cli::run()
}
