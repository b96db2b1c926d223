//! Downloading: cursors, times, tables, digests.

use ryzed_tests::account::cursor_text;
use ryzed_tests::device::live;
use ryzed_tests::rows::{food, food_entry, workout_session};
use ryzed_tests::{delete, insert, update};
use serde_json::{Value, json};

use crate::somebody;

fn ids(rows: &Value) -> Vec<&str> {
    rows.as_array().into_iter().flatten().filter_map(|row| row["id"].as_str()).collect()
}

#[tokio::test]
async fn a_cursor_brings_what_changed_after_it_and_no_more() {
    let me = somebody();
    let (old, kept, gone) = (food_entry(json!({})), food_entry(json!({})), food_entry(json!({})));
    let versions = me.push([&old, &kept, &gone].map(|row| insert("food_entries", row))).await;
    let cursor = me.cursor().await;
    me.apply(update("food_entries", &kept["id"], json!({"quantity": 5})).base(&versions["results"][1]["version"]))
        .await;
    me.apply(delete("food_entries", &gone["id"]).base(&versions["results"][2]["version"])).await;
    let new = food_entry(json!({}));
    me.store("food_entries", &new).await;

    let answer = me.sync(json!({"cursor": cursor})).await;
    assert_eq!(
        ids(&answer["changes"]["food_entries"]),
        [kept["id"].as_str(), new["id"].as_str()].map(|id| id.expect("an id"))
    );
    assert_eq!(ids(&answer["deletions"]["food_entries"]), [gone["id"].as_str().expect("an id")]);
    assert!(answer["deletions"]["food_entries"][0]["_version"].is_i64(), "{answer}");
    assert_eq!(answer["total_changes"], 3);

    let nothing = me.sync(json!({"cursor": answer["cursor"]})).await;
    assert_eq!((&nothing["total_changes"], &nothing["cursor"]), (&json!(0), &answer["cursor"]));
}

#[tokio::test]
async fn a_new_device_is_not_told_of_rows_that_never_concerned_it() {
    let me = somebody();
    let entry = food_entry(json!({}));
    let version = me.store("food_entries", &entry).await;
    me.apply(delete("food_entries", &entry["id"]).base(&version)).await;
    assert!(me.row("food_entries", &entry["id"]).await.is_none());
}

#[tokio::test]
async fn a_scope_that_a_cursor_leaves_out_is_at_zero() {
    let me = somebody();
    let cursor = me.pull(json!({})).await["cursor"].clone();
    let answer = me.sync(json!({"cursor": {"epoch": cursor["epoch"], "user": cursor["user"]}})).await;
    assert!(ids(&answer["changes"]["foods"]).len() > 50, "the catalogue comes from zero");
    assert!(ids(&answer["changes"]["users"]).is_empty());
}

#[tokio::test]
async fn forcing_a_full_sync_starts_at_zero_whatever_the_cursor_says() {
    let me = somebody();
    let entry = food_entry(json!({}));
    me.store("food_entries", &entry).await;
    let cursor = me.cursor().await;
    let answer = me.sync(json!({"cursor": cursor, "force_full_sync": true, "tables": ["food_entries"]})).await;
    assert_eq!(ids(&answer["changes"]["food_entries"]).len(), 1);
}

#[tokio::test]
async fn a_timestamp_brings_everything_at_or_after_it() {
    let me = somebody();
    me.store("food_entries", &food_entry(json!({}))).await;
    let before = me.sync(json!({"tables": ["food_entries"]})).await;
    let (new, gone) = (food_entry(json!({})), food_entry(json!({})));
    me.store("food_entries", &new).await;
    let version = me.store("food_entries", &gone).await;
    me.apply(delete("food_entries", &gone["id"]).base(&version)).await;

    let body = json!({"tables": ["food_entries"], "last_sync_timestamp": before["sync_timestamp"]});
    let answer = me.sync(body).await;
    assert!(ids(&answer["changes"]["food_entries"]).contains(&new["id"].as_str().expect("an id")), "{answer}");
    assert!(ids(&answer["deletions"]["food_entries"]).contains(&gone["id"].as_str().expect("an id")), "{answer}");

    let body = json!({"tables": ["food_entries"], "last_sync_timestamp": "2000-01-01T00:00:00+01:00"});
    assert_eq!(ids(&me.sync(body).await["changes"]["food_entries"]).len(), 2);
}

#[tokio::test]
async fn a_cursor_wins_over_a_timestamp() {
    let me = somebody();
    me.store("food_entries", &food_entry(json!({}))).await;
    let cursor = me.cursor().await;
    let body = json!({"cursor": cursor, "last_sync_timestamp": "2000-01-01T00:00:00Z", "tables": ["food_entries"]});
    assert_eq!(me.sync(body).await["total_changes"], 0);
}

#[tokio::test]
async fn only_the_tables_that_are_asked_for_come() {
    let me = somebody();
    me.store("food_entries", &food_entry(json!({}))).await;
    me.store("workout_sessions", &workout_session(json!({}))).await;
    let answer = me.sync(json!({"tables": ["workout_sessions", "users"]})).await;
    let tables: Vec<&String> = answer["changes"].as_object().expect("changes").keys().collect();
    assert_eq!(tables, ["users", "workout_sessions"]);
    let all = me.pull(json!({"tables": []})).await;
    for table in ["users", "food_entries", "workout_sessions", "foods", "exercises"] {
        assert!(!ids(&all["changes"][table]).is_empty(), "{table}");
    }
}

#[tokio::test]
async fn an_unknown_table_is_named_in_the_refusal() {
    let me = somebody();
    let body = json!({"device_id": "phone", "tables": ["food_entries", "passwords"]});
    let problem = me.api.post("/sync", &body).await.problem(&[422]);
    assert!(problem.to_string().contains("passwords"), "{problem}");
    let problem = me.api.get("/changes?tables=food_entries,passwords").await.problem(&[422]);
    assert!(problem.to_string().contains("passwords"), "{problem}");
}

#[tokio::test]
async fn get_changes_is_the_download_alone() {
    let me = somebody();
    let cursor = me.cursor().await;
    let (entry, session) = (food_entry(json!({})), workout_session(json!({})));
    me.push([insert("food_entries", &entry), insert("workout_sessions", &session)]).await;
    let path = format!("/changes?cursor={}&tables=food_entries,workout_sessions&limit=1", cursor_text(&cursor));
    let first = me.api.get(&path).await.ok();
    assert_eq!((ids(&first["changes"]["food_entries"]).len(), &first["has_more"]), (1, &json!(true)));
    let path = format!("/changes?cursor={}", cursor_text(&first["cursor"]));
    let second = me.api.get(&path).await.ok();
    assert_eq!(ids(&second["changes"]["workout_sessions"]), [session["id"].as_str().expect("an id")]);
    assert_eq!((&second["has_more"], &second["reset"]), (&json!(false), &json!(false)));
}

#[tokio::test]
async fn what_is_no_cursor_is_refused() {
    let me = somebody();
    for cursor in ["k3f9,user:x", "k3f9,user", "k3f9,team:3", "k3f9,user:-4", "a:1"] {
        me.api.get(&format!("/changes?cursor={cursor}")).await.problem(&[400, 422]);
    }
    for cursor in [json!(7), json!("k3f9"), json!({"epoch": 7}), json!({"epoch": "k3f9", "user": -1})] {
        me.api.post("/sync", &json!({"device_id": "phone", "cursor": cursor})).await.problem(&[400, 422]);
    }
}

#[tokio::test]
async fn a_digest_counts_live_rows_and_adds_their_versions() {
    let me = somebody();
    let rows = [food_entry(json!({})), food_entry(json!({})), food_entry(json!({}))];
    let pushed = me.push(rows.each_ref().map(|row| insert("food_entries", row))).await;
    let version = |at: usize| pushed["results"][at]["version"].as_i64().expect("a version");
    me.apply(delete("food_entries", &rows[2]["id"]).base(&json!(version(2)))).await;
    let left = me.rows("food_entries").await;
    let left: Vec<(String, &Value)> =
        left.iter().map(|row| (row["id"].as_str().expect("an id").to_owned(), row)).collect();
    let expected = ryzed_tests::digest::of_table(left.iter().map(|(id, row)| (id, *row)));
    assert_eq!((&expected["rows"], &expected["version_sum"]), (&json!(2), &json!(version(0) + version(1))));

    let body = json!({"digest": true, "tables": ["food_entries"]});
    let answer = me.sync(body).await;
    assert_eq!(answer["digest"]["food_entries"], expected, "{answer}");
    assert_eq!(me.api.get("/digest").await.ok()["digest"]["food_entries"], expected);
    assert!(me.sync(json!({"tables": ["food_entries"]})).await.get("digest").is_none_or(Value::is_null));
}

#[tokio::test]
async fn a_digest_of_everything_is_that_of_a_fresh_copy() {
    let me = somebody();
    me.store("foods", &food(json!({}))).await;
    let mut tablet = me.device("tablet");
    tablet.sync().await;
    let digest = me.api.get("/digest").await.ok();
    assert_eq!(live(&digest["digest"]), live(&tablet.digest()));
    assert!(digest["cursor"]["user"].is_i64(), "{digest}");
}
