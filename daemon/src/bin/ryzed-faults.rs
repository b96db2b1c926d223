//! The same binary, built so that stories can break it from inside.

use std::process::ExitCode;

fn main() -> ExitCode {
    ryzed::cli::run()
}
