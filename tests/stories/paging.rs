//! Long downloads: pages in version order that make one consistent state, however much is written meanwhile.

use ryzed_tests::rows::{food_entry, row};
use ryzed_tests::{Account, insert, update};
use serde_json::{Value, json};

use crate::somebody;

async fn fill(me: &Account, count: usize) -> Vec<Value> {
    let rows: Vec<Value> = (0..count).map(|n| food_entry(json!({"quantity": n + 1}))).collect();
    let answer = me.push(rows.iter().map(|row| insert("food_entries", row))).await;
    assert!(answer["results"].as_array().expect("results").iter().all(|result| result["status"] == "applied"));
    rows
}

#[tokio::test]
async fn pages_hold_at_most_the_limit_and_come_in_version_order() {
    let me = somebody();
    fill(&me, 25).await;
    let mut body = json!({"tables": ["food_entries"], "limit": 10});
    let mut sizes = Vec::new();
    let mut last = 0;
    loop {
        let page = me.sync(body.clone()).await;
        let rows = page["changes"]["food_entries"].as_array().cloned().unwrap_or_default();
        for row in &rows {
            let version = row["_version"].as_i64().expect("a version");
            assert!(version > last, "{version} after {last}");
            last = version;
        }
        sizes.push(rows.len());
        if page["has_more"] == false {
            break;
        }
        body["cursor"] = page["cursor"].clone();
    }
    assert_eq!(sizes, [10, 10, 5]);
}

#[tokio::test]
async fn a_page_never_holds_more_than_a_thousand_rows() {
    let me = somebody();
    fill(&me, 1000).await;
    fill(&me, 100).await;
    for limit in [Value::Null, json!(1000)] {
        let page = me.sync(json!({"tables": ["food_entries"], "limit": limit})).await;
        assert_eq!(page["changes"]["food_entries"].as_array().map(Vec::len), Some(1000));
        assert_eq!((&page["has_more"], &page["total_changes"]), (&json!(true), &json!(1000)));
    }
    assert_eq!(me.rows("food_entries").await.len(), 1100);
}

#[tokio::test]
async fn a_page_never_holds_more_than_four_megabytes() {
    const PAGE: usize = 4 << 20;
    let me = somebody();
    let step = "stir ".repeat(20_000);
    let recipes: Vec<Value> = (0..60).map(|_| row("recipes", json!({"steps_en": [step]}))).collect();
    me.push(recipes.iter().map(|recipe| insert("recipes", recipe))).await;
    let answer = me.api.post("/sync", &json!({"device_id": "phone", "tables": ["recipes"]})).await;
    assert!(answer.body.len() < PAGE + 200_000, "{} bytes", answer.body.len());
    assert!(answer.body.len() > PAGE / 2, "{} bytes are a waste of a page", answer.body.len());
    assert_eq!(answer.ok()["has_more"], true);
    let pulled = me.pull(json!({"tables": ["recipes"]})).await;
    assert_eq!(pulled["changes"]["recipes"].as_array().map(Vec::len), Some(60));
}

#[tokio::test]
async fn a_row_larger_than_a_page_still_comes() {
    let me = somebody();
    let recipe = row("recipes", json!({"steps_en": ["stir ".repeat(1_000_000)]}));
    me.store("recipes", &recipe).await;
    me.store("recipes", &row("recipes", json!({}))).await;
    assert_eq!(me.rows("recipes").await.len(), 2);
}

#[tokio::test]
async fn the_pages_end_in_one_consistent_state_though_somebody_writes_between_them() {
    let me = somebody();
    let rows = fill(&me, 30).await;
    let mut tablet = me.device("tablet");
    tablet.limit = 7;
    // Edits of rows that were paged already, of rows that were not, and new ones: one of each after each page.
    let mut body = json!({"device_id": "tablet", "tables": ["food_entries"], "limit": 7});
    let mut copy = std::collections::BTreeMap::new();
    for at in 0.. {
        let page = me.sync(body.clone()).await;
        for row in page["changes"]["food_entries"].as_array().into_iter().flatten() {
            copy.insert(row["id"].to_string(), row.clone());
        }
        if page["has_more"] == false {
            break;
        }
        body["cursor"] = page["cursor"].clone();
        if at < 3 {
            let edit = |n: usize| {
                update("food_entries", &rows[n]["id"], json!({"quantity": 1000 + at})).strategy("client_wins")
            };
            me.push([edit(at), edit(29 - at), insert("food_entries", &food_entry(json!({})))]).await;
        }
    }
    let fresh = me.rows("food_entries").await;
    assert_eq!(fresh.len(), 33);
    assert_eq!(copy.len(), 33);
    for row in fresh {
        assert_eq!(copy[&row["id"].to_string()], row);
    }
    tablet.sync().await;
    assert_eq!(tablet.rows["food_entries"].len(), 33);
}
