//! The clock: the only place that reads the time; everything else gets it as an argument.

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

/// True if the system says that its clock was synchronised since it was started. The lack of that sign proves nothing.
#[must_use]
pub fn is_set_by_others() -> bool {
    // systemd-timesyncd leaves it there once it has heard of a server.
    std::path::Path::new("/run/systemd/timesync/synchronized").exists()
}
