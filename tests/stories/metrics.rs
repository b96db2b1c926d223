//! The metrics for Prometheus.

use ryzed_tests::rows::food_entry;
use ryzed_tests::{Daemon, Metrics, insert};
use serde_json::json;

#[tokio::test]
async fn what_happens_is_counted_and_names_nobody() {
    let daemon = Daemon::builder().alone().start();
    let me = daemon.account();
    // The starter catalogue was written like any other rows.
    let before = Metrics::of(&daemon.address()).await;
    me.apply(insert("food_entries", &food_entry(json!({})))).await;
    let rejected = me.change(insert("food_entries", &food_entry(json!({"quantity": -1})))).await;
    assert_eq!(rejected["status"], "rejected", "{rejected}");
    me.api.get("/tables/food_entries/schema").await.done();
    me.api.with_token(Some("none".into())).get("/devices").await.problem(&[401]);
    assert_eq!(me.connect("phone").token("none").refused().await, 4401);
    let _socket = me.socket("phone").await;

    let metrics = Metrics::of(&daemon.address()).await;
    for (series, value) in [
        ("ryzed_connections", 1.0),
        ("ryzed_users", 1.0),
        ("ryzed_changes_pushed_total{status=\"applied\"}", 1.0),
        ("ryzed_changes_pushed_total{status=\"rejected\"}", 1.0),
        ("ryzed_pulls_total", 2.0),
        ("ryzed_auth_refusals_total{reason=\"refused\"}", 2.0),
        ("ryzed_socket_closes_total{code=\"4401\"}", 1.0),
        ("ryzed_actor_restarts_total{actor=\"session\"}", 0.0),
    ] {
        assert_eq!(metrics.value(series) - before.value(series), value, "{series} in:\n{}", metrics.text());
    }
    let request = "ryzed_http_request_duration_seconds_count{route=\"/api/realtime";
    for (labels, times) in [
        ("/sync\",method=\"POST\",status=\"200\"}", 2.0),
        ("/devices\",method=\"GET\",status=\"401\"}", 1.0),
        ("/tables/{table}/schema\",method=\"GET\",status=\"200\"}", 1.0),
    ] {
        assert_eq!(metrics.value(&format!("{request}{labels}")), times, "{labels} in:\n{}", metrics.text());
    }
    assert!(metrics.value("ryzed_database_connections_most") >= 1.0);
    assert!(!metrics.text().contains(&me.person.id.to_string()));
}
