//! The binary `ryzed`. What it can do is in [`ryzed::cli`].

use std::process::ExitCode;

use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    ryzed::cli::run()
}
