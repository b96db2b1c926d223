//! Conflicts that a person settles later.

use ryzed_tests::rows::workout_session;
use ryzed_tests::{Account, delete, update};
use serde_json::{Value, json};

use crate::somebody;

const TABLE: &str = "workout_sessions";

struct Open {
    me: Account,
    row: Value,
    id: String,
}

impl Open {
    /// Two names for one session: "Server" for now, "Client" wanted.
    async fn conflict() -> Self {
        let me = somebody();
        let row = workout_session(json!({"name": "Legs"}));
        let base = me.store(TABLE, &row).await;
        me.push_from("tablet", [update(TABLE, &row["id"], json!({"name": "Server"})).base(&base)]).await;
        let change = update(TABLE, &row["id"], json!({"name": "Client"})).base(&base).strategy("manual");
        let answer = me.push([change]).await;
        let id = answer["conflicts"][0]["conflict_id"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
        Self { me, row, id }
    }

    async fn resolve(&self, body: &Value) -> ryzed_tests::Answer {
        self.me.api.post(&format!("/conflicts/{}/resolve", self.id), body).await
    }

    async fn name(&self) -> Value {
        self.me.row(TABLE, &self.row["id"]).await.expect("a row")["name"].clone()
    }

    async fn list(&self) -> Vec<Value> {
        self.me.api.get("/conflicts").await.ok()["conflicts"].as_array().expect("conflicts").clone()
    }
}

#[tokio::test]
async fn an_open_conflict_is_listed_until_it_is_settled() {
    let open = Open::conflict().await;
    let list = open.list().await;
    assert_eq!(list.len(), 1);
    assert_eq!(
        (&list[0]["conflict_id"], &list[0]["table"], &list[0]["id"]),
        (&json!(open.id), &json!(TABLE), &open.row["id"])
    );
    assert_eq!(list[0]["fields"][0]["client"], "Client");
    open.resolve(&json!({"resolution": "server"})).await.done();
    assert_eq!(open.list().await, Vec::<Value>::new());
}

#[tokio::test]
async fn the_servers_value_may_stay() {
    let open = Open::conflict().await;
    open.resolve(&json!({"resolution": "server"})).await.done();
    assert_eq!(open.name().await, "Server");
}

#[tokio::test]
async fn the_clients_value_may_be_taken() {
    let open = Open::conflict().await;
    let mut tablet = open.me.socket("tablet").await;
    open.resolve(&json!({"resolution": "client"})).await.done();
    assert_eq!(open.name().await, "Client");
    assert_eq!(tablet.next("data_updated").await["data"]["name"], "Client", "devices hear of it");
}

#[tokio::test]
async fn other_values_may_be_written() {
    let open = Open::conflict().await;
    open.resolve(&json!({"resolution": "fields", "data": {"name": "Both"}})).await.done();
    assert_eq!(open.name().await, "Both");
}

#[tokio::test]
async fn values_that_break_a_rule_are_refused_and_the_conflict_stays_open() {
    let open = Open::conflict().await;
    for data in [json!({"name": 7}), json!({"nickname": "x"}), json!({"name": ""})] {
        let answer = open.resolve(&json!({"resolution": "fields", "data": data})).await;
        let refused = answer.status == 422 || answer.json()["status"] == "rejected";
        assert!(refused, "{}: {}", answer.status, answer.text());
    }
    assert_eq!((open.name().await, open.list().await.len()), (json!("Server"), 1));
}

#[tokio::test]
async fn what_is_no_resolution_is_refused() {
    let open = Open::conflict().await;
    for body in [json!({}), json!({"resolution": "fight"}), json!([]), json!({"resolution": null})] {
        open.resolve(&body).await.problem(&[400, 422]);
    }
    assert_eq!(open.list().await.len(), 1);
}

#[tokio::test]
async fn nobody_sees_or_settles_anothers_conflict() {
    let open = Open::conflict().await;
    let other = somebody();
    assert_eq!(other.api.get("/conflicts").await.ok()["conflicts"], json!([]));
    let path = format!("/conflicts/{}/resolve", open.id);
    other.api.post(&path, &json!({"resolution": "client"})).await.problem(&[404]);
    assert_eq!(open.name().await, "Server");
}

#[tokio::test]
async fn a_conflict_is_settled_once() {
    let open = Open::conflict().await;
    open.resolve(&json!({"resolution": "client"})).await.done();
    open.resolve(&json!({"resolution": "server"})).await.problem(&[404, 409]);
    assert_eq!(open.name().await, "Client");
}

#[tokio::test]
async fn an_edit_of_a_deleted_row_can_be_taken_after_all() {
    let me = somebody();
    let row = workout_session(json!({"name": "Legs"}));
    let base = me.store(TABLE, &row).await;
    me.push_from("tablet", [delete(TABLE, &row["id"]).base(&base)]).await;
    let change = update(TABLE, &row["id"], json!({"name": "Client"})).base(&base).strategy("manual");
    let answer = me.push([change]).await;
    let id = answer["conflicts"][0]["conflict_id"].as_str().expect("an open conflict");
    me.api.post(&format!("/conflicts/{id}/resolve"), &json!({"resolution": "client"})).await.done();
    assert_eq!(me.row(TABLE, &row["id"]).await.expect("the row is back")["name"], "Client");
}

#[tokio::test]
async fn a_delete_of_an_edited_row_can_be_done_after_all() {
    let me = somebody();
    let row = workout_session(json!({"name": "Legs"}));
    let base = me.store(TABLE, &row).await;
    me.push_from("tablet", [update(TABLE, &row["id"], json!({"name": "Server"})).base(&base)]).await;
    let answer = me.push([delete(TABLE, &row["id"]).base(&base).strategy("manual")]).await;
    let id = answer["conflicts"][0]["conflict_id"].as_str().expect("an open conflict");
    assert!(me.row(TABLE, &row["id"]).await.is_some());
    me.api.post(&format!("/conflicts/{id}/resolve"), &json!({"resolution": "client"})).await.done();
    assert_eq!(me.row(TABLE, &row["id"]).await, None);
}
