//! The metrics of a daemon, as Prometheus would read them.

use crate::Api;

/// The answer of `/metrics` at one moment.
#[derive(Debug, Clone)]
pub struct Metrics(String);

impl Metrics {
    /// Asks the daemon at this address.
    pub async fn of(address: &str) -> Self {
        let answer = Api::new(address, None).get("//metrics").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(answer.header("content-type").starts_with("application/openmetrics-text"), "{:?}", answer.headers);
        Self(answer.text())
    }

    /// The value of one series, written as in the answer; 0 when it is not there.
    #[must_use]
    pub fn value(&self, series: &str) -> f64 {
        let line = self.0.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap_or_else(|error| panic!("{series} {value:?}: {error}")))
    }

    /// The whole.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }
}
