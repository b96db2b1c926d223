//! The subject of the benches: a release build of the daemon on its default database, and the machine that it runs on.

use std::path::PathBuf;

use ryzed_tests::Daemon;
use ryzed_tests::daemon::Builder;

/// The command that makes what the benches measure.
const BUILD: &str = "cargo build --release -p ryzed";

/// The daemon to be started: a release build, beside the benches, or `RYZED_BIN`. Ends the bench when there is none, since
/// figures of a debug build would mislead.
#[must_use]
pub fn release() -> Builder {
    if std::env::var_os("RYZED_BIN").is_none() && !beside().is_some_and(|path| path.is_file()) {
        eprintln!("there is no release build of the daemon; build it first: {BUILD}");
        std::process::exit(1);
    }
    Daemon::builder()
}

/// True in `cargo bench`; false in a test run that happens to touch the benches.
#[must_use]
pub fn requested() -> bool {
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    if !is_bench {
        println!("nothing is measured: run `{BUILD} && cargo bench -p ryzed-benches`");
    }
    is_bench
}

/// The load of the machine, in words: the figures beside it are worth as much as it is idle.
#[must_use]
pub fn load() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    format!("{cores} cores, load {} over the last minute", load.split(' ').next().unwrap_or("unknown"))
}

/// `<target>/release/ryzed`, seen from `<target>/release/deps/<bench>`.
fn beside() -> Option<PathBuf> {
    let bench = std::env::current_exe().ok()?;
    let folder = bench.parent()?.parent()?;
    folder.ends_with("release").then(|| folder.join("ryzed"))
}
