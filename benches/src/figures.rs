//! Times taken in several rounds, reported as percentiles with their spread from round to round.

use std::fmt::Write;
use std::time::Duration;

/// Times, by round.
#[derive(Debug, Default)]
pub struct Figures {
    rounds: Vec<Vec<Duration>>,
}

impl Figures {
    /// Adds the times of one round; their 99th percentile.
    pub fn round(&mut self, mut times: Vec<Duration>) -> Duration {
        times.sort_unstable();
        let slow = percentile(&times, 0.99);
        if !times.is_empty() {
            self.rounds.push(times);
        }
        slow
    }

    /// One line: the percentiles of all times, and how `p50` and `p99` of the rounds differ.
    #[must_use]
    pub fn line(&self, what: &str) -> String {
        let mut all: Vec<Duration> = self.rounds.iter().flatten().copied().collect();
        all.sort_unstable();
        let mut line = format!("{what:<28}");
        if all.is_empty() {
            return line + " nothing was measured";
        }
        for (name, share) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
            let _ = write!(line, " {name} {}", shown(percentile(&all, share)));
        }
        let _ = write!(line, "  n={} in {} rounds;", all.len(), self.rounds.len());
        for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
            let [low, middle, high] = self.spread(share);
            let _ = write!(line, " {name} by round {}/{}/{}", shown(low), shown(middle), shown(high));
        }
        line
    }

    /// Minimum, median and maximum of a percentile of the rounds.
    #[must_use]
    pub fn spread(&self, share: f64) -> [Duration; 3] {
        let mut of_rounds: Vec<Duration> = self.rounds.iter().map(|round| percentile(round, share)).collect();
        of_rounds.sort_unstable();
        [0.0, 0.5, 1.0].map(|share| percentile(&of_rounds, share))
    }
}

/// The nearest rank: a time that was really measured.
fn percentile(sorted: &[Duration], share: f64) -> Duration {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

fn shown(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_time_that_was_measured() {
        let times: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        let at = |share| percentile(&times, share).as_millis();
        assert_eq!([at(0.0), at(0.5), at(0.99), at(1.0)], [1, 100, 198, 200]);
        assert_eq!(percentile(&times[..1], 0.99).as_millis(), 1);
    }

    #[test]
    fn the_spread_is_that_of_the_rounds() {
        let mut figures = Figures::default();
        for slowest in [9, 3, 5] {
            figures.round(vec![Duration::from_millis(1), Duration::from_millis(slowest)]);
        }
        assert_eq!(figures.spread(1.0).map(|time| time.as_millis()), [3, 5, 9]);
        assert!(figures.line("x").contains("p99 9.00 ms max 9.00 ms  n=6 in 3 rounds;"));
    }
}
