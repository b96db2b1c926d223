//! Uploading: what becomes of a change, once and only once.

use ryzed_tests::rows::{TABLES, exercise_set, food_entry, row, workout_exercise, workout_session};
use ryzed_tests::{Account, Change, delete, insert, update, upsert};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::somebody;

fn statuses(answer: &Value) -> Vec<&str> {
    answer["results"].as_array().expect("results").iter().filter_map(|result| result["status"].as_str()).collect()
}

async fn quantity(me: &Account, id: &Value) -> Option<Value> {
    me.row("food_entries", id).await.map(|row| row["quantity"].clone())
}

#[tokio::test]
async fn an_answer_has_every_part_that_is_promised() {
    let answer = somebody().sync(json!({"device_id": "phone", "tables": ["users"]})).await;
    assert!(answer["sync_timestamp"].is_string() && answer["next_sync_recommended"].is_string(), "{answer}");
    assert!(answer["changes"].is_object() && answer["deletions"].is_object(), "{answer}");
    assert!(answer["conflicts"].is_array() && answer["results"].is_array(), "{answer}");
    assert_eq!(
        (&answer["total_changes"], &answer["has_more"], &answer["reset"]),
        (&json!(1), &json!(false), &json!(false))
    );
    assert!(answer["cursor"]["epoch"].is_string() && answer["cursor"]["user"].is_i64(), "{answer}");
}

#[tokio::test]
async fn an_uploaded_row_comes_back_in_the_same_answer() {
    let me = somebody();
    let entry = food_entry(json!({"quantity": 180}));
    let change = insert("food_entries", &entry);
    let answer = me.sync(json!({"tables": ["food_entries"], "changes": [change.json()]})).await;
    let result = &answer["results"][0];
    assert_eq!(result["mutation_id"], change.id());
    assert_eq!(
        (&result["status"], &result["table"], &result["id"]),
        (&json!("applied"), &json!("food_entries"), &entry["id"])
    );
    let row = &answer["changes"]["food_entries"][0];
    assert_eq!((&row["quantity"], &row["_version"]), (&json!(180), &result["version"]));
    assert_eq!((&row["unit"], &row["user_id"]), (&json!("g"), &me.user()));
    assert_eq!(row["consumed_at"], "2026-01-05T12:00:00.000000Z");
    assert_eq!(answer["cursor"]["user"], result["version"]);
}

#[tokio::test]
async fn every_table_takes_a_row_changes_it_and_gives_it_up() {
    let me = somebody();
    let parents: Vec<(&str, Value)> =
        ["workout_sessions", "workout_templates", "cardio_sessions"].map(|table| (table, row(table, json!({})))).into();
    let parent = |name: &str| parents.iter().find(|(table, _)| *table == name).expect("a parent").1["id"].clone();
    me.push(parents.iter().map(|(table, row)| insert(table, row))).await;
    let inner = row("workout_exercises", json!({"session_id": parent("workout_sessions")}));
    me.store("workout_exercises", &inner).await;
    for table in TABLES.into_iter().filter(|table| *table != "users") {
        let with = match table {
            "workout_exercises" => json!({"session_id": parent("workout_sessions")}),
            "exercise_sets" => json!({"workout_exercise_id": inner["id"]}),
            "workout_template_exercises" => json!({"template_id": parent("workout_templates")}),
            "location_points" => json!({"cardio_session_id": parent("cardio_sessions")}),
            _ => json!({}),
        };
        let mut row = row(table, with);
        let made = me.store(table, &row).await;
        row["created_at"] = json!("2026-01-01T00:00:00.000000Z");
        let changed = me.apply(update(table, &row["id"], json!({"created_at": row["created_at"]})).base(&made)).await;
        assert!(changed.as_i64() > made.as_i64(), "{table}");
        let stored = me.row(table, &row["id"]).await.unwrap_or_else(|| panic!("{table}: the row is gone"));
        assert_eq!((&stored["created_at"], &stored["_version"]), (&row["created_at"], &changed), "{table}");
        me.apply(delete(table, &row["id"]).base(&changed)).await;
        assert_eq!(me.row(table, &row["id"]).await, None, "{table}");
    }
}

#[tokio::test]
async fn a_person_changes_their_own_row() {
    let me = somebody();
    me.push([]).await;
    let version = me.row("users", &me.user()).await.expect("the person's row")["_version"].clone();
    me.apply(update("users", &me.user(), json!({"name": "Walker", "is_onboarded": true})).base(&version)).await;
    assert_eq!(me.row("users", &me.user()).await.expect("a row")["name"], "Walker");
}

#[tokio::test]
async fn an_update_changes_only_the_fields_it_names() {
    let me = somebody();
    let entry = food_entry(json!({"quantity": 10, "unit": "ml"}));
    let version = me.store("food_entries", &entry).await;
    me.apply(update("food_entries", &entry["id"], json!({"quantity": 20})).base(&version)).await;
    let row = me.row("food_entries", &entry["id"]).await.expect("a row");
    assert_eq!((&row["quantity"], &row["unit"], &row["meal_type"]), (&json!(20), &json!("ml"), &json!("lunch")));
}

#[tokio::test]
async fn null_empties_a_field_of_a_row() {
    let me = somebody();
    let entry = food_entry(json!({"calories": 99}));
    let version = me.store("food_entries", &entry).await;
    me.apply(update("food_entries", &entry["id"], json!({"calories": null})).base(&version)).await;
    assert_eq!(me.row("food_entries", &entry["id"]).await.expect("a row")["calories"], Value::Null);
}

#[tokio::test]
async fn null_in_the_request_is_the_same_as_absent() {
    let me = somebody();
    let mutation = insert("food_entries", &food_entry(json!({}))).with("base_version", Value::Null);
    let answer = me
        .sync(json!({"device_id": "phone", "device_type": null, "app_version": null, "device_name": null,
            "last_sync_timestamp": null, "tables": null, "force_full_sync": null, "cursor": null, "limit": null,
            "pending_uploads": null, "conflict_strategy": null, "atomic": null, "digest": null,
            "changes": [mutation.with("conflict_strategy", Value::Null).json()]}))
        .await;
    assert_eq!(statuses(&answer), ["applied"]);
    me.sync(json!({"changes": null})).await;
}

#[tokio::test]
async fn an_upsert_makes_the_row_or_changes_it() {
    let me = somebody();
    let mut entry = food_entry(json!({"quantity": 1}));
    let version = me.apply(upsert("food_entries", &entry)).await;
    entry["quantity"] = json!(2);
    me.apply(upsert("food_entries", &entry).base(&version)).await;
    assert_eq!(quantity(&me, &entry["id"]).await, Some(json!(2)));
}

#[tokio::test]
async fn an_update_of_a_row_that_never_was_is_rejected() {
    let me = somebody();
    let change = update("food_entries", &json!(Uuid::new_v4()), json!({"quantity": 2}));
    assert_eq!(me.refusal(change).await, "not_found");
}

#[tokio::test]
async fn an_insert_of_an_identical_row_is_applied_and_takes_no_version() {
    let me = somebody();
    let entry = food_entry(json!({}));
    let version = me.store("food_entries", &entry).await;
    let again = me.change(insert("food_entries", &entry)).await;
    assert_eq!((&again["status"], &again["version"]), (&json!("applied"), &version));
    assert_eq!(me.cursor().await["user"], version);
}

#[tokio::test]
async fn a_delete_of_a_row_already_gone_is_applied() {
    let me = somebody();
    let entry = food_entry(json!({}));
    let version = me.store("food_entries", &entry).await;
    me.apply(delete("food_entries", &entry["id"]).base(&version)).await;
    assert_eq!(me.change(delete("food_entries", &entry["id"]).base(&version)).await["status"], "applied");
    assert_eq!(me.change(delete("food_entries", &json!(Uuid::new_v4()))).await["status"], "applied");
}

#[tokio::test]
async fn created_at_may_come_from_the_client_but_updated_at_is_the_servers() {
    let me = somebody();
    let old = "2019-03-01T08:00:00.000000Z";
    let entry = food_entry(json!({"created_at": old, "updated_at": old}));
    me.store("food_entries", &entry).await;
    let row = me.row("food_entries", &entry["id"]).await.expect("a row");
    assert_eq!(row["created_at"], old);
    assert_ne!(row["updated_at"], old);
    assert_eq!(row["updated_at"].as_str().map(str::len), Some(27), "microseconds in UTC: {row}");
}

#[tokio::test]
async fn what_a_client_got_it_may_send_back() {
    let me = somebody();
    let entry = food_entry(json!({}));
    me.store("food_entries", &entry).await;
    let row = me.row("food_entries", &entry["id"]).await.expect("a row");
    let result = me.change(upsert("food_entries", &row).base(&row["_version"])).await;
    assert_eq!((&result["status"], &result["version"]), (&json!("applied"), &row["_version"]));
}

#[tokio::test]
async fn a_retry_gets_the_same_result_and_applies_nothing_twice() {
    let me = somebody();
    let entry = food_entry(json!({"quantity": 1}));
    let version = me.store("food_entries", &entry).await;
    let two = update("food_entries", &entry["id"], json!({"quantity": 2})).base(&version);
    let first = me.change(two.clone()).await;
    let three = update("food_entries", &entry["id"], json!({"quantity": 3})).base(&first["version"]);
    me.apply(three).await;
    for _ in 0..3 {
        assert_eq!(me.change(two.clone()).await, first);
    }
    assert_eq!(quantity(&me, &entry["id"]).await, Some(json!(3)), "the retry of an older edit changes nothing");
}

#[tokio::test]
async fn a_retry_of_a_rejected_change_is_rejected_again() {
    let me = somebody();
    let change = update("food_entries", &json!(Uuid::new_v4()), json!({"quantity": 2}));
    let first = me.change(change.clone()).await;
    let second = me.change(change).await;
    assert_eq!((&first["status"], &second["status"]), (&json!("rejected"), &json!("rejected")));
}

#[tokio::test]
async fn the_same_mutation_twice_in_one_request_applies_once() {
    let me = somebody();
    let template = row("workout_templates", json!({"usage_count": 10}));
    let version = me.store("workout_templates", &template).await;
    let used =
        update("workout_templates", &template["id"], json!({"usage_count": 11})).base(&version).strategy("merge");
    let answer = me.push([used.clone(), used]).await;
    assert_eq!(answer["results"][0], answer["results"][1], "{answer}");
    assert_eq!(me.row("workout_templates", &template["id"]).await.expect("a row")["usage_count"], 11);
}

#[tokio::test]
async fn a_mutation_id_is_ones_own() {
    let (me, other) = (somebody(), somebody());
    let mine = insert("food_entries", &food_entry(json!({})));
    let theirs = insert("food_entries", &food_entry(json!({}))).with("mutation_id", mine.id());
    let first = me.change(mine).await;
    let second = other.change(theirs).await;
    assert_eq!(second["status"], "applied");
    assert_ne!(first["id"], second["id"], "the other person got an answer that was not theirs");
}

#[tokio::test]
async fn one_rejected_change_does_not_stop_the_others() {
    let me = somebody();
    let (good, bad) = (food_entry(json!({})), food_entry(json!({"quantity": -1})));
    let last = food_entry(json!({}));
    let answer = me.push([&good, &bad, &last].map(|entry| insert("food_entries", entry))).await;
    assert_eq!(statuses(&answer), ["applied", "rejected", "applied"]);
    assert_eq!(me.rows("food_entries").await.len(), 2);
}

#[tokio::test]
async fn atomic_means_all_or_none() {
    let me = somebody();
    let (good, bad) = (food_entry(json!({})), food_entry(json!({"quantity": -1})));
    let changes = |rows: [&Value; 2]| rows.map(|entry| insert("food_entries", entry).json());
    let answer = me.sync(json!({"atomic": true, "tables": ["users"], "changes": changes([&good, &bad])})).await;
    assert!(statuses(&answer).iter().all(|status| *status == "rejected"), "{answer}");
    assert_eq!(me.rows("food_entries").await, Vec::<Value>::new());

    let good_too = food_entry(json!({}));
    let answer = me.sync(json!({"atomic": true, "tables": ["users"], "changes": changes([&good, &good_too])})).await;
    assert_eq!(statuses(&answer), ["applied", "applied"]);
    assert_eq!(me.rows("food_entries").await.len(), 2);
}

#[tokio::test]
async fn children_may_come_before_their_parents() {
    let me = somebody();
    let session = workout_session(json!({}));
    let exercise = workout_exercise(&session);
    let set = exercise_set(&exercise);
    let answer = me
        .push([
            insert("exercise_sets", &set),
            insert("workout_exercises", &exercise),
            insert("workout_sessions", &session),
        ])
        .await;
    assert_eq!(statuses(&answer), ["applied"; 3]);
    let ids: Vec<&Value> = answer["results"].as_array().expect("results").iter().map(|result| &result["id"]).collect();
    assert_eq!(ids, [&set["id"], &exercise["id"], &session["id"]], "results stand in the order of the changes");

    let answer = me
        .push([
            delete("workout_sessions", &session["id"]).base(&answer["results"][2]["version"]),
            delete("exercise_sets", &set["id"]).base(&answer["results"][0]["version"]),
            delete("workout_exercises", &exercise["id"]).base(&answer["results"][1]["version"]),
        ])
        .await;
    assert_eq!(statuses(&answer), ["applied"; 3]);
}

#[tokio::test]
async fn a_child_of_nobody_is_rejected() {
    let me = somebody();
    let child = workout_exercise(&workout_session(json!({})));
    assert_eq!(me.refusal(insert("workout_exercises", &child)).await, "invalid_reference");
    let entry = food_entry(json!({"food_id": Uuid::new_v4()}));
    assert_eq!(me.refusal(insert("food_entries", &entry)).await, "invalid_reference");
}

#[tokio::test]
async fn a_child_whose_parent_was_rejected_is_rejected_with_it() {
    let me = somebody();
    let session = workout_session(json!({"name": 7}));
    let exercise = workout_exercise(&session);
    let answer = me.push([insert("workout_exercises", &exercise), insert("workout_sessions", &session)]).await;
    assert_eq!(statuses(&answer), ["rejected", "rejected"]);
}

#[tokio::test]
async fn a_malformed_change_is_rejected_alone() {
    let me = somebody();
    let good = insert("food_entries", &food_entry(json!({})));
    let changes = [
        json!(7),
        json!("text"),
        json!({}),
        json!({"table": "food_entries"}),
        Change::new("EXPLODE", "food_entries", food_entry(json!({}))).json(),
        Change::new("INSERT", "passwords", food_entry(json!({}))).json(),
        Change::new("INSERT", "food_entries", json!([])).json(),
        Change::new("UPDATE", "food_entries", json!({"quantity": 2})).json(),
        Change::new("DELETE", "food_entries", json!({"id": 7})).json(),
        insert("food_entries", &food_entry(json!({}))).with("mutation_id", "not a uuid").json(),
        insert("food_entries", &food_entry(json!({}))).with("base_version", "new").json(),
        insert("food_entries", &food_entry(json!({}))).with("conflict_strategy", "fight").json(),
        good.json(),
    ];
    let answer = me.sync(json!({"tables": ["users"], "changes": changes})).await;
    let statuses = statuses(&answer);
    assert_eq!(statuses.len(), changes.len(), "{answer}");
    assert!(statuses[..12].iter().all(|status| *status == "rejected"), "{answer}");
    assert_eq!(statuses[12], "applied");
    for result in &answer["results"].as_array().expect("results")[..12] {
        assert!(result["errors"][0]["code"].is_string(), "{result}");
    }
}

#[tokio::test]
async fn what_was_done_before_keeps_its_result_in_an_atomic_request_that_is_stopped() {
    let me = somebody();
    let entry = food_entry(json!({}));
    let done = insert("food_entries", &entry);
    let first = me.change(done.clone()).await;
    assert_eq!(first["status"], "applied", "{first}");
    let faulty = insert("food_entries", &food_entry(json!({"quantity": -1})));
    let fine = insert("food_entries", &food_entry(json!({})));
    let changes: Vec<Value> = [&done, &faulty, &fine].map(|change| change.json()).into();
    let answer = me.sync(json!({"atomic": true, "changes": changes})).await;
    assert_eq!(answer["results"][0], first, "{answer}");
    assert_eq!(answer["results"][1]["errors"][0]["code"], "out_of_range", "{answer}");
    assert_eq!(answer["results"][2]["errors"][0]["code"], "atomic", "{answer}");
}

#[tokio::test]
async fn null_where_a_column_has_a_default_means_the_default() {
    let me = somebody();
    let sparse = food_entry(json!({}));
    let mut whole = sparse.clone();
    whole["id"] = json!(Uuid::new_v4());
    for field in ["unit", "created_at", "updated_at", "user_id"] {
        whole[field] = Value::Null;
    }
    me.store("food_entries", &sparse).await;
    let version = me.store("food_entries", &whole).await;
    let stored = me.row("food_entries", &whole["id"]).await.expect("a row");
    assert_eq!((&stored["unit"], &stored["user_id"]), (&json!("g"), &me.user()));
    assert_eq!(me.apply(insert("food_entries", &whole)).await, version, "an identical row is no conflict");

    let base = me.apply(update("food_entries", &whole["id"], json!({"unit": "ml"})).base(&version)).await;
    let cleared =
        me.apply(update("food_entries", &whole["id"], json!({"unit": null, "created_at": null})).base(&base)).await;
    let stored = me.row("food_entries", &whole["id"]).await.expect("a row");
    assert_eq!((&stored["unit"], &stored["_version"]), (&json!("g"), &cleared));

    let mine = me.apply(update("food_entries", &whole["id"], json!({"unit": "oz"})).base(&cleared)).await;
    let answer = me.push([update("food_entries", &whole["id"], json!({"unit": null})).base(&cleared)]).await;
    let field = &answer["conflicts"][0]["fields"][0];
    assert_eq!(
        (&field["server"], &field["client"], &field["base"]),
        (&json!("oz"), &json!("g"), &json!("g")),
        "{answer}"
    );
    me.apply(upsert("food_entries", &whole).base(&mine)).await;
    assert_eq!(me.row("food_entries", &whole["id"]).await.expect("a row")["unit"], "g");
}

#[tokio::test]
async fn every_table_takes_a_whole_object_with_null_for_what_it_does_not_know() {
    let me = somebody();
    let tables = me.api.get("/tables").await.ok();
    let mut made: std::collections::HashMap<String, Value> = std::collections::HashMap::new();
    for table in tables["tables"].as_array().expect("tables").iter().filter(|table| table["name"] != "users") {
        let name = table["name"].as_str().expect("a name");
        let mut whole = row(name, json!({}));
        for column in table["columns"].as_array().expect("columns") {
            let (field, required) = (column["name"].as_str().expect("a name"), column["required"] == true);
            if let Some(parent) = column["references"].as_str().filter(|parent| required && *parent != "users") {
                whole[field] = made[parent].clone();
            } else if !required && field != "user_id" {
                whole[field] = Value::Null;
            }
        }
        me.store(name, &whole).await;
        made.insert(name.to_owned(), whole["id"].clone());
    }
}
