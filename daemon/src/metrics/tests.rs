//! The counters as they are shown, and the manual, which names every one of them.

use std::collections::BTreeSet;

use super::*;

/// Every series that is shown, by the name that a query gives its family.
fn families(text: &str) -> BTreeSet<String> {
    let declared = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let named = declared.map(|(name, kind)| match kind {
        "counter" => format!("{name}_total"),
        "info" => format!("{name}_info"),
        _ => name.to_owned(),
    });
    named.collect()
}

#[test]
fn the_manual_names_every_metric_and_no_other() {
    let metrics = Metrics::new();
    // What has labels that are not known beforehand is not shown before it has a value.
    metrics.closed(1012);
    metrics.request(&RequestLabels { route: "/livez", method: "GET", status: 200 }, Duration::from_millis(3));
    let text = metrics.text(Now::default());
    let manual = include_str!("../../../docs/operating.md");
    let (_, section) = manual.split_once("## Metrics").expect("the section Metrics");
    let section = section.split("\n## ").next().unwrap_or_default();
    let named = section.lines().filter_map(|line| line.strip_prefix("| `")?.split(['`', '{']).next());
    assert_eq!(families(&text), named.map(str::to_owned).collect());
}

#[test]
fn known_labels_are_there_from_the_start() {
    let metrics = Metrics::new();
    metrics.restarted(ActorKind::Feed, true);
    metrics.restarted(ActorKind::Feed, false);
    let text = metrics.text(Now { connections: 3, ..Now::default() });
    for line in [
        "ryzed_connections 3",
        "ryzed_actor_restarts_total{actor=\"feed\"} 2",
        "ryzed_actor_hangs_total{actor=\"feed\"} 1",
        "ryzed_actor_restarts_total{actor=\"device\"} 0",
        "ryzed_changes_pushed_total{status=\"rejected\"} 0",
    ] {
        assert!(text.lines().any(|shown| shown == line), "no {line} in:\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
}
