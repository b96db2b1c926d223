//! The result of one run: a line of JSON for programs, a table for people.

use std::fmt::{Display, Formatter};

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::hub::Hub;
use super::ledger::Counts;
use super::machine::Spent;

/// Named figures in the order in which they were entered.
#[derive(Debug, Default)]
pub struct Report {
    figures: Vec<(String, Value)>,
    is_good: bool,
}

impl Report {
    /// The report of a test that has found no fault yet.
    #[must_use]
    pub fn of(test: &str) -> Self {
        Self { figures: vec![("test".to_owned(), json!(test))], is_good: true }
    }

    /// Enters a figure.
    pub fn set(&mut self, name: &str, value: impl Serialize) {
        self.figures.push((name.to_owned(), json!(value)));
    }

    /// Enters a number with three decimals.
    pub fn number(&mut self, name: &str, value: f64) {
        self.set(name, (value * 1000.0).round() / 1000.0);
    }

    /// Enters a fault, when there is one; the run fails then.
    pub fn fault(&mut self, name: &str, is_fault: bool) {
        if is_fault {
            self.is_good = false;
            self.set("fault", name);
        }
    }

    /// Enters a balance; the run fails unless everything came to everybody once and in order.
    pub fn counts(&mut self, counts: &Counts) {
        if let Value::Object(members) = json!(counts) {
            self.figures.extend(members);
        }
        self.is_good &= counts.is_exact();
    }

    /// Enters what went wrong on the way.
    pub fn troubles(&mut self, hub: &Hub) {
        let troubles = hub.troubles();
        if !troubles.is_empty() {
            self.set("troubles", troubles);
        }
    }

    /// Enters what the server's processes used between two moments, if any were named.
    pub fn spent(&mut self, before: &Spent, after: &Spent) {
        if after.resident_kib > 0 {
            self.number("server_cpu_s", after.cpu - before.cpu);
            self.number("server_mib", after.resident_kib as f64 / 1024.0);
        }
    }

    /// True when the run found no fault.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.is_good
    }

    /// As one object.
    #[must_use]
    pub fn json(&self) -> Value {
        let mut members: Map<String, Value> = self.figures.iter().cloned().collect();
        members.insert("good".to_owned(), self.is_good.into());
        Value::Object(members)
    }
}

/// As a table of two columns.
impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        for (name, value) in &self.figures {
            match value {
                Value::Object(members) => {
                    writeln!(f, "{name}")?;
                    for (name, value) in members {
                        writeln!(f, "    {name:<24}{value:>14}")?;
                    }
                }
                Value::String(text) => writeln!(f, "{name:<28}{text:>14}")?,
                other => writeln!(f, "{name:<28}{other:>14}")?,
            }
        }
        write!(f, "{:<28}{:>14}", "good", self.is_good)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_good_until_something_is_missing() {
        let mut report = Report::of("latency");
        report.number("rate", 1.0 / 3.0);
        report.counts(&Counts { sent: 1, accepted: 1, delivered: 1, ..Counts::default() });
        assert_eq!((report.is_good(), &report.json()["rate"]), (true, &json!(0.333)));
        report.counts(&Counts { lost: 1, ..Counts::default() });
        assert_eq!((report.is_good(), &report.json()["good"]), (false, &json!(false)));
    }

    #[test]
    fn a_fault_is_named() {
        let mut report = Report::of("slow");
        report.fault("nothing of it happened", false);
        assert!(report.is_good());
        report.fault("it was not told", true);
        assert!(!report.is_good());
        assert!(report.to_string().contains("it was not told"), "{report}");
    }
}
