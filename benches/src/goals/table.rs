//! Rows of the table of goals: measured values of several rounds, their ratio to a yardstick, and the verdict.

use std::fmt::Write as _;

use crate::Spread;

/// The bound that a row is held against.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Goal {
    /// At least this share of the yardstick.
    Share(f64),
    /// At most so many times the yardstick.
    Times(f64),
    /// At most so much.
    AtMost(f64),
    /// At least so much.
    AtLeast(f64),
    /// No goal: a figure to know.
    None,
}

/// One row, measured in rounds in which the daemon and the yardstick took turns.
#[derive(Debug, Clone)]
pub struct Row {
    what: String,
    unit: &'static str,
    goal: Goal,
    ours: Vec<f64>,
    yardstick: Vec<f64>,
}

impl Row {
    /// A row without figures.
    #[must_use]
    pub fn of(what: impl Into<String>, unit: &'static str, goal: Goal) -> Self {
        Self { what: what.into(), unit, goal, ours: Vec::new(), yardstick: Vec::new() }
    }

    /// Adds a figure of the daemon.
    pub fn ours(&mut self, figure: f64) {
        self.ours.push(figure);
    }

    /// Adds a figure of the yardstick.
    pub fn yardstick(&mut self, figure: f64) {
        self.yardstick.push(figure);
    }

    /// The name of the measurement.
    #[must_use]
    pub fn what(&self) -> &str {
        &self.what
    }

    /// The goal.
    #[must_use]
    pub fn goal(&self) -> Goal {
        self.goal
    }

    /// The figures that the goal speaks of, by round: the ratio to the yardstick, or the daemon's figure where there is no yardstick or the
    /// goal is a bound of its own.
    #[must_use]
    pub fn rounds(&self) -> Vec<f64> {
        if self.is_ratio() {
            return self.ours.iter().zip(&self.yardstick).map(|(ours, yardstick)| ours / yardstick).collect();
        }
        self.ours.clone()
    }

    fn is_ratio(&self) -> bool {
        match self.goal {
            Goal::Share(_) | Goal::Times(_) => true,
            Goal::AtMost(_) | Goal::AtLeast(_) => false,
            Goal::None => !self.yardstick.is_empty(),
        }
    }

    /// Minimum, median and maximum of that. None where a round lacks it.
    #[must_use]
    pub fn judged(&self) -> Option<Spread> {
        let rounds = self.rounds();
        let is_whole = !rounds.is_empty() && rounds.iter().all(|figure| figure.is_finite());
        is_whole.then(|| Spread::of(rounds))
    }

    /// The verdict on the median; none without a goal or figures.
    #[must_use]
    pub fn is_met(&self) -> Option<bool> {
        let middle = self.judged()?.middle();
        match self.goal {
            Goal::Share(least) | Goal::AtLeast(least) => Some(middle >= least),
            Goal::Times(most) | Goal::AtMost(most) => Some(middle <= most),
            Goal::None => None,
        }
    }

    /// The cells of the row as text: what, yardstick, daemon, ratio, goal, verdict.
    #[must_use]
    pub fn cells(&self) -> [String; 6] {
        let figure = |figures: &[f64]| {
            let is_whole = !figures.is_empty() && figures.iter().all(|figure| figure.is_finite());
            let whole = is_whole.then(|| format!("{} {}", Spread::of(figures.to_vec()), self.unit));
            whole.unwrap_or_else(|| "–".to_owned())
        };
        let judged = self.judged().filter(|_| self.is_ratio()).map_or("–".to_owned(), |spread| spread.to_string());
        let goal = match self.goal {
            Goal::Share(least) => format!("≥ {least} ×"),
            Goal::Times(most) => format!("≤ {most} ×"),
            Goal::AtMost(most) => format!("≤ {most} {}", self.unit),
            Goal::AtLeast(least) => format!("≥ {least} {}", self.unit),
            Goal::None => "–".to_owned(),
        };
        let verdict = match self.is_met() {
            Some(true) => "met",
            Some(false) => "missed",
            None if self.goal == Goal::None => "",
            None => "not measured",
        };
        [self.what.clone(), figure(&self.yardstick), figure(&self.ours), judged, goal, verdict.to_owned()]
    }
}

/// The names of the columns.
pub(super) const HEAD: [&str; 6] = ["what", "yardstick", "ryzed", "ratio", "goal", ""];

/// All rows as a Markdown table; figures are minimum/median/maximum over the rounds.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let mut text = format!("| {} |\n|{}\n", HEAD.join(" | "), "---|".repeat(HEAD.len()));
    for row in rows {
        let _ = writeln!(text, "| {} |", row.cells().join(" | "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(goal: Goal, ours: &[f64], yardstick: &[f64]) -> Row {
        Row { what: "changes".to_owned(), unit: "/s", goal, ours: ours.to_vec(), yardstick: yardstick.to_vec() }
    }

    #[test]
    fn the_ratio_is_that_of_the_rounds() {
        // The machine was half as fast in the second round, for both.
        let row = row(Goal::Share(0.4), &[50.0, 25.0, 45.0], &[100.0, 50.0, 100.0]);
        assert_eq!(row.judged().map(|spread| spread.to_string()).as_deref(), Some("0.45/0.50/0.50"));
        assert_eq!(row.is_met(), Some(true));
    }

    #[test]
    fn the_median_is_judged() {
        assert_eq!(row(Goal::Times(2.0), &[1.0, 9.0, 3.0], &[1.0, 1.0, 2.0]).is_met(), Some(true));
        assert_eq!(row(Goal::Times(2.0), &[1.0, 9.0, 5.0], &[1.0, 1.0, 2.0]).is_met(), Some(false));
        assert_eq!(row(Goal::AtMost(0.8), &[0.9, 0.7, 0.6], &[]).is_met(), Some(true));
        assert_eq!(row(Goal::AtLeast(0.8), &[0.9, 0.7, 0.6], &[]).is_met(), Some(false));
        assert_eq!(row(Goal::None, &[1.0], &[]).is_met(), None);
    }

    #[test]
    fn what_was_not_measured_is_not_met() {
        let nothing = row(Goal::Share(0.4), &[], &[]);
        assert_eq!((nothing.is_met(), nothing.cells()[5].as_str()), (None, "not measured"));
        assert_eq!(row(Goal::Share(0.4), &[1.0], &[0.0]).is_met(), None);
        assert_eq!(row(Goal::AtMost(0.4), &[f64::NAN, 0.1], &[]).cells()[2], "–");
    }

    #[test]
    fn the_table_has_a_line_a_row() {
        let text = table(&[row(Goal::Share(0.4), &[50.0], &[100.0]), row(Goal::None, &[3.0], &[])]);
        assert_eq!(text.lines().count(), 4);
        assert!(
            text.contains("| changes | 100/100/100 /s | 50.00/50.00/50.00 /s | 0.50/0.50/0.50 | ≥ 0.4 × | met |"),
            "{text}"
        );
    }
}
