//! The costs of the server's processes: memory and processor time, as the system counts them.

use std::fs;

/// The sum over some processes at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spent {
    /// Resident memory, in KiB.
    pub resident_kib: u64,
    /// The most that it was, in KiB.
    pub peak_kib: u64,
    /// Processor time, in seconds.
    pub cpu: f64,
}

impl Spent {
    /// The sum over these processes by now. A process that is gone counts nothing.
    #[must_use]
    pub fn by(processes: &[u32]) -> Self {
        let mut spent = Self::default();
        for process in processes {
            let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
            spent.resident_kib += kib(&status, "VmRSS:");
            spent.peak_kib += kib(&status, "VmHWM:");
            let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
            spent.cpu += ticks(&stat) as f64 / rustix::param::clock_ticks_per_second() as f64;
        }
        spent
    }
}

fn kib(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse().unwrap_or_default()
}

/// User and system time. The name in parentheses may hold anything.
fn ticks(stat: &str) -> u64 {
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_words_are_read() {
        assert_eq!(kib("VmHWM:\t  200 kB\nVmRSS:\t    1234 kB\n", "VmRSS:"), 1234);
        assert_eq!(ticks("7 (a) b) S 1 2 3 4 5 6 7 8 9 10 30 12 13 14"), 42);
        assert!(Spent::by(&[std::process::id()]).resident_kib > 0);
        assert_eq!(Spent::by(&[]).resident_kib, 0);
    }
}
