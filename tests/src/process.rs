//! The processes of daemons: told to stop, and ended for sure.

use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A process that outlives this one for a moment, to end a daemon that nobody drops: values in statics never are.
pub(crate) fn reaper(child: &Child, folder: &Path) -> Child {
    let mut command = Command::new("sh");
    command.args(["-c", r#"read -r _; kill -9 "$1"; rm -rf "$2""#, "reaper"]);
    command.arg(child.id().to_string()).arg(folder);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("a shell")
}

/// Ends a process and waits for that.
pub(crate) fn put_down(child: &mut Child) {
    // Either fails only when the process is gone already, which is what is wanted.
    let _ = child.kill();
    let _ = child.wait();
}

/// Sends a signal.
pub(crate) fn signal(name: &str, pid: u32) {
    let sent = Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status().expect("a shell");
    assert!(sent.success(), "SIG{name} could not be sent to {pid}");
}

/// A figure of a process's memory, in KiB, as the system calls it.
pub(crate) fn memory_kib(pid: u32, name: &str) -> u64 {
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or_else(|error| panic!("{name} {line:?}: {error}"))
}

/// Has the system forget how much memory a process once held.
pub(crate) fn forget_peak(pid: u32) {
    let path = format!("/proc/{pid}/clear_refs");
    std::fs::write(&path, "5").unwrap_or_else(|error| panic!("{path}: {error}"));
}
