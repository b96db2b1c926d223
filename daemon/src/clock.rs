//! The clock: the only place that reads the time; everything else gets it as an argument.

use std::process::Stdio;
use std::time::Duration;

use chrono::{DateTime, Utc};

/// Tells the time. Tests bring their own.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> DateTime<Utc>;

    /// The time since the machine was started, sleep included; it goes on whatever the clock is set to.
    fn uptime(&self) -> Duration {
        let since = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Duration::new(since.tv_sec.unsigned_abs(), u32::try_from(since.tv_nsec).unwrap_or(0))
    }
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}

/// How long the system may take to tell who sets its clock.
const ASKED_FOR: Duration = Duration::from_secs(3);

/// Whether the system says that its clock is set by a time server; none where nobody can tell.
pub async fn is_set_by_others() -> Option<bool> {
    // systemd-timesyncd leaves it there once it has heard of a server.
    if std::path::Path::new("/run/systemd/timesync/synchronized").exists() {
        return Some(true);
    }
    // Asks the kernel, to which chronyd, ntpd and the others report as well.
    let mut ask = tokio::process::Command::new("timedatectl");
    ask.args(["show", "--property=NTPSynchronized", "--value"]).stdin(Stdio::null()).kill_on_drop(true);
    let answer = tokio::time::timeout(ASKED_FOR, ask.output()).await.ok()?.ok()?;
    match answer.stdout.trim_ascii() {
        b"yes" => Some(true),
        b"no" => Some(false),
        _ => None,
    }
}
