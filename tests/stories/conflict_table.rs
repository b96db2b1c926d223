//! Two devices changed the same: every strategy in every situation.

use ryzed_tests::rows::workout_session;
use ryzed_tests::{Account, Change, delete, insert, update, upsert};
use serde_json::{Value, json};

use crate::somebody;

const TABLE: &str = "workout_sessions";

/// A row that two devices have seen, and what the other one did to it.
struct Meeting {
    me: Account,
    row: Value,
    base: Value,
}

impl Meeting {
    async fn after(other: impl FnOnce(&Value, &Value) -> Change) -> Self {
        let me = somebody();
        let row = workout_session(json!({"name": "Legs"}));
        let base = me.store(TABLE, &row).await;
        let result = me.push_from("tablet", [other(&row["id"], &base)]).await["results"][0].clone();
        assert_eq!(result["status"], "applied", "{result}");
        Self { me, row, base }
    }

    async fn edited() -> Self {
        Self::after(|id, base| update(TABLE, id, json!({"name": "Server"})).base(base)).await
    }

    async fn deleted() -> Self {
        Self::after(|id, base| delete(TABLE, id).base(base)).await
    }

    /// Uploads, and returns the only conflict.
    async fn conflict(&self, change: Change, strategy: &str) -> Value {
        let change = change.base(&self.base).strategy(strategy);
        let answer = self.me.push([change.clone()]).await;
        assert_eq!(answer["results"][0]["status"], "conflict", "{answer}");
        let conflicts = answer["conflicts"].as_array().expect("conflicts");
        assert_eq!(conflicts.len(), 1, "{answer}");
        let conflict = conflicts[0].clone();
        assert_eq!(conflict["mutation_id"], change.id());
        assert_eq!((&conflict["table"], &conflict["id"]), (&json!(TABLE), &self.row["id"]));
        assert_eq!(conflict["strategy"], strategy);
        assert_eq!(conflict["conflict_id"].is_string(), strategy == "manual", "{conflict}");
        conflict
    }

    fn edit(&self) -> Change {
        update(TABLE, &self.row["id"], json!({"name": "Client"}))
    }

    fn delete(&self) -> Change {
        delete(TABLE, &self.row["id"])
    }

    async fn stored(&self) -> Option<Value> {
        self.me.row(TABLE, &self.row["id"]).await
    }

    async fn open_conflicts(&self) -> usize {
        self.me.api.get("/conflicts").await.ok()["conflicts"].as_array().map_or(0, Vec::len)
    }
}

/// Edit against edit of the same field.
async fn field_conflict(strategy: &str, winner: &str, open: usize) {
    let meeting = Meeting::edited().await;
    let conflict = meeting.conflict(meeting.edit(), strategy).await;
    let fields = json!([{"field": "name", "base": "Legs", "server": "Server", "client": "Client", "resolved": winner}]);
    assert_eq!(conflict["fields"], fields);
    assert_eq!(conflict["row"]["name"], winner);
    assert_eq!(meeting.stored().await.expect("the row")["name"], winner);
    assert_eq!(meeting.open_conflicts().await, open);
}

#[tokio::test]
async fn server_wins_a_field() {
    field_conflict("server_wins", "Server", 0).await;
}

#[tokio::test]
async fn client_wins_a_field() {
    field_conflict("client_wins", "Client", 0).await;
}

#[tokio::test]
async fn merge_takes_the_latest_of_a_field_without_a_rule() {
    field_conflict("merge", "Client", 0).await;
}

#[tokio::test]
async fn manual_keeps_the_servers_field_and_an_open_conflict() {
    field_conflict("manual", "Server", 1).await;
}

/// Edited here, deleted there.
async fn edit_of_a_deleted_row(strategy: &str, comes_back: bool, open: usize) {
    let meeting = Meeting::deleted().await;
    let conflict = meeting.conflict(meeting.edit(), strategy).await;
    let stored = meeting.stored().await;
    if comes_back {
        let stored = stored.expect("the row comes back");
        assert_eq!((&stored["name"], &conflict["row"]["name"]), (&json!("Client"), &json!("Client")));
        assert_eq!(stored["start_time"], "2026-01-05T18:00:00.000000Z", "with the fields that the edit left alone");
    } else {
        assert_eq!((stored, &conflict["row"]), (None, &Value::Null));
    }
    assert_eq!(meeting.open_conflicts().await, open);
}

#[tokio::test]
async fn server_wins_and_a_deleted_row_stays_deleted() {
    edit_of_a_deleted_row("server_wins", false, 0).await;
}

#[tokio::test]
async fn client_wins_and_a_deleted_row_comes_back() {
    edit_of_a_deleted_row("client_wins", true, 0).await;
}

#[tokio::test]
async fn merge_brings_an_edited_row_back() {
    edit_of_a_deleted_row("merge", true, 0).await;
}

#[tokio::test]
async fn manual_leaves_a_deleted_row_deleted_and_an_open_conflict() {
    edit_of_a_deleted_row("manual", false, 1).await;
}

/// Deleted here, edited there.
async fn delete_of_an_edited_row(strategy: &str, stays: bool, open: usize) {
    let meeting = Meeting::edited().await;
    let conflict = meeting.conflict(meeting.delete(), strategy).await;
    let stored = meeting.stored().await;
    assert_eq!(stored.is_some(), stays, "{conflict}");
    assert_eq!(conflict["row"].is_object(), stays, "{conflict}");
    if let Some(stored) = stored {
        assert_eq!(stored["name"], "Server");
    }
    assert_eq!(meeting.open_conflicts().await, open);
}

#[tokio::test]
async fn server_wins_and_an_edited_row_stays() {
    delete_of_an_edited_row("server_wins", true, 0).await;
}

#[tokio::test]
async fn client_wins_and_an_edited_row_is_deleted() {
    delete_of_an_edited_row("client_wins", false, 0).await;
}

#[tokio::test]
async fn merge_keeps_an_edited_row() {
    delete_of_an_edited_row("merge", true, 0).await;
}

#[tokio::test]
async fn manual_keeps_an_edited_row_and_an_open_conflict() {
    delete_of_an_edited_row("manual", true, 1).await;
}

#[tokio::test]
async fn deletes_on_both_sides_are_no_conflict() {
    let meeting = Meeting::deleted().await;
    let answer = meeting.me.push([meeting.delete().base(&meeting.base)]).await;
    assert_eq!((&answer["results"][0]["status"], &answer["conflicts"]), (&json!("applied"), &json!([])));
}

#[tokio::test]
async fn edits_of_different_fields_are_merged() {
    let meeting = Meeting::edited().await;
    let answer =
        meeting.me.push([update(TABLE, &meeting.row["id"], json!({"is_completed": true})).base(&meeting.base)]).await;
    assert_eq!((&answer["results"][0]["status"], &answer["conflicts"]), (&json!("merged"), &json!([])), "{answer}");
    let stored = meeting.stored().await.expect("a row");
    assert_eq!((&stored["name"], &stored["is_completed"]), (&json!("Server"), &json!(true)));
}

#[tokio::test]
async fn the_same_edit_on_both_sides_is_no_conflict() {
    let meeting = Meeting::edited().await;
    let change = update(TABLE, &meeting.row["id"], json!({"name": "Server"})).base(&meeting.base);
    let answer = meeting.me.push([change]).await;
    assert_eq!(answer["conflicts"], json!([]), "{answer}");
    assert!(["applied", "merged"].contains(&answer["results"][0]["status"].as_str().unwrap_or("")), "{answer}");
}

#[tokio::test]
async fn only_the_fields_that_conflict_are_settled() {
    let meeting = Meeting::edited().await;
    let change = update(TABLE, &meeting.row["id"], json!({"name": "Client", "is_completed": true}));
    let conflict = meeting.conflict(change, "server_wins").await;
    assert_eq!(conflict["fields"].as_array().map(Vec::len), Some(1), "{conflict}");
    let stored = meeting.stored().await.expect("a row");
    assert_eq!((&stored["name"], &stored["is_completed"]), (&json!("Server"), &json!(true)), "the other field applies");
}

#[tokio::test]
async fn an_edit_based_on_the_newest_version_is_no_conflict() {
    let meeting = Meeting::edited().await;
    let newest = meeting.stored().await.expect("a row")["_version"].clone();
    meeting.me.apply(meeting.edit().base(&newest)).await;
    assert_eq!(meeting.stored().await.expect("a row")["name"], "Client");
}

#[tokio::test]
async fn a_field_that_went_elsewhere_and_came_back_is_as_it_was() {
    let meeting = Meeting::edited().await;
    let me = &meeting.me;
    let newest = meeting.stored().await.expect("a row")["_version"].clone();
    me.push_from("tablet", [update(TABLE, &meeting.row["id"], json!({"name": "Client"})).base(&newest)]).await;
    // The server now holds what this client wants to write: nothing is lost, so nothing conflicts.
    let answer = me.push([meeting.edit().base(&meeting.base)]).await;
    assert_eq!(answer["conflicts"], json!([]), "{answer}");
}

#[tokio::test]
async fn without_a_base_version_every_differing_field_conflicts() {
    let me = somebody();
    let mut row = workout_session(json!({"name": "Legs"}));
    me.store(TABLE, &row).await;
    row["name"] = json!("Arms");
    row["is_completed"] = json!(true);
    let answer = me.push([upsert(TABLE, &row)]).await;
    assert_eq!(answer["results"][0]["status"], "conflict", "{answer}");
    let fields = answer["conflicts"][0]["fields"].as_array().expect("fields");
    let mut names: Vec<&str> = fields.iter().filter_map(|field| field["field"].as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["is_completed", "name"]);
    let stored = me.row(TABLE, &row["id"]).await.expect("a row");
    assert_eq!((&stored["name"], &stored["is_completed"]), (&json!("Legs"), &json!(false)), "server_wins by default");
}

#[tokio::test]
async fn an_insert_of_another_row_under_the_same_id_is_a_conflict() {
    let meeting = Meeting::edited().await;
    let mut row = meeting.row.clone();
    row["name"] = json!("Client");
    let answer = meeting.me.push([insert(TABLE, &row)]).await;
    assert_eq!(answer["results"][0]["status"], "conflict", "{answer}");
    assert_eq!(meeting.stored().await.expect("a row")["name"], "Server");
}

#[tokio::test]
async fn the_requests_strategy_counts_where_a_change_names_none() {
    let meeting = Meeting::edited().await;
    let change = meeting.edit().base(&meeting.base);
    let body = json!({"conflict_strategy": "client_wins", "tables": ["users"], "changes": [change.json()]});
    let answer = meeting.me.sync(body).await;
    assert_eq!(answer["conflicts"][0]["strategy"], "client_wins", "{answer}");
    assert_eq!(meeting.stored().await.expect("a row")["name"], "Client");
}

#[tokio::test]
async fn a_changes_own_strategy_comes_before_the_requests() {
    let meeting = Meeting::edited().await;
    let change = meeting.edit().base(&meeting.base).strategy("server_wins");
    meeting.me.sync(json!({"conflict_strategy": "client_wins", "tables": ["users"], "changes": [change.json()]})).await;
    assert_eq!(meeting.stored().await.expect("a row")["name"], "Server");
}

#[tokio::test]
async fn an_unknown_strategy_is_refused() {
    let body = json!({"device_id": "phone", "conflict_strategy": "fight"});
    somebody().api.post("/sync", &body).await.problem(&[400, 422]);
}

#[tokio::test]
async fn a_retry_of_a_conflict_gets_the_same_result_and_no_second_open_conflict() {
    let meeting = Meeting::edited().await;
    let change = meeting.edit().base(&meeting.base).strategy("manual");
    let first = meeting.me.push([change.clone()]).await;
    let second = meeting.me.push([change]).await;
    assert_eq!(first["results"], second["results"]);
    assert_eq!(meeting.open_conflicts().await, 1);
}
