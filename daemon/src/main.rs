//! The binary `ryzed`. What it can do is in [`ryzed::cli`].

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    ryzed::cli::run()
}
