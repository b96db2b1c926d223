//! The inner cost of a request is in line with its size: memory, answers, stored results, and the time for which others
//! wait.

use std::time::Instant;

use ryzed_tests::rows::{food_entry, row, workout_session};
use ryzed_tests::{Account, Daemon, Database, insert, update};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::somebody;

/// As long as a request may be for nothing else.
const MEGABYTE: usize = 1_000_000;
const TABLE: &str = "recipes";

/// A recipe with so many bytes of text in one column.
fn long(bytes: usize) -> Value {
    row(TABLE, json!({"steps_en": ["x".repeat(bytes)]}))
}

/// Stores a row and has another device change what is long in it, so that whoever edits that without having seen it meets a
/// conflict; the version before.
async fn contested(me: &Account, recipe: &Value, bytes: usize) -> Value {
    let base = me.store(TABLE, recipe).await;
    let longer = json!({"steps_en": ["y".repeat(bytes)]});
    me.push_from("tablet", [update(TABLE, &recipe["id"], longer).base(&base)]).await;
    base
}

/// The bytes that are kept of a person's uploads: of the longest, and of all.
fn receipts(database: &Database, me: &Account) -> (usize, usize) {
    let (table, length) = match database {
        Database::Sqlite(_) => ("sync_receipts", "length(result)"),
        Database::Postgres(_) => ("ryzed.receipts", "length(result::text)"),
    };
    let user = me.person.id;
    let found = database.run(&format!("SELECT max({length}), sum({length}) FROM {table} WHERE user_id = '{user}'"));
    let (longest, all) = found.split_once('|').expect("two numbers");
    (longest.parse().expect("a number"), all.parse().expect("a number"))
}

/// An answer, and how large it was.
async fn sync(me: &Account, body: &Value) -> (Value, usize) {
    let answer = me.api.post("/sync", body).await;
    let size = answer.body.len();
    (answer.ok(), size)
}

#[tokio::test]
async fn a_hundred_edits_of_one_large_row_cost_about_one_row() {
    let daemon = Daemon::start();
    let me = daemon.account();
    for strategy in ["server_wins", "manual", "merge", "client_wins"] {
        let recipe = long(MEGABYTE);
        let base = contested(&me, &recipe, MEGABYTE).await;
        let edit = |n: usize| update(TABLE, &recipe["id"], json!({"steps_en": [format!("{strategy} {n}")]}));
        let edits: Vec<Value> = (0..100).map(|n| edit(n).base(&base).strategy(strategy).json()).collect();
        let body = json!({"device_id": "phone", "tables": ["users"], "changes": edits});
        daemon.forget_peak();
        let before = daemon.resident_kib();
        let (answer, size) = sync(&me, &body).await;
        let cost = daemon.peak_kib().saturating_sub(before);
        assert_eq!(answer["results"].as_array().map(Vec::len), Some(100));
        assert_eq!(answer["results"][0]["status"], "conflict", "{strategy}");
        assert!(size < 6 * MEGABYTE, "{strategy}: an answer of {size} bytes");
        assert!(cost < 100 << 10, "{strategy}: {cost} KiB");
        assert!(answer["conflicts"].to_string().contains("yyyyy"), "{strategy}: what the server held is told");
        // The same again for a retry, with what conflicted and the row as it is now.
        let (again, size) = sync(&me, &body).await;
        assert_eq!(again["results"], answer["results"], "{strategy}");
        assert!(size < 6 * MEGABYTE, "{strategy}: an answer of {size} bytes to a retry");
        let fields = |answer: &Value| {
            let conflicts = answer["conflicts"].as_array().expect("conflicts").clone();
            let field = |met: Value| (met["mutation_id"].clone(), met["fields"][0]["field"].clone());
            conflicts.into_iter().map(field).collect::<Vec<_>>()
        };
        assert_eq!(fields(&again), fields(&answer), "{strategy}");
    }
    let (longest, all) = receipts(&daemon.database(), &me);
    assert!(longest < 1000 && all < 500_000, "receipts of {longest} bytes, {all} in all");
}

#[tokio::test]
async fn a_thousand_edits_of_a_row_of_four_megabytes_are_taken_in_one_request() {
    let daemon = Daemon::start();
    let me = daemon.account();
    let recipe = long(4 * MEGABYTE);
    me.store(TABLE, &recipe).await;
    let edits: Vec<Value> =
        (0..1000).map(|n| update(TABLE, &recipe["id"], json!({"servings": 1 + n % 900})).json()).collect();
    let body = json!({"device_id": "phone", "tables": ["users"], "changes": edits});
    daemon.forget_peak();
    let before = daemon.resident_kib();
    let (answer, size) = sync(&me, &body).await;
    let cost = daemon.peak_kib().saturating_sub(before);
    assert_eq!(answer["results"].as_array().map(Vec::len), Some(1000));
    assert!(size < 10 * MEGABYTE, "an answer of {size} bytes");
    assert!(cost < 200 << 10, "{cost} KiB");
}

#[tokio::test]
async fn many_large_rows_are_too_much_for_one_request_and_not_for_several() {
    let daemon = Daemon::builder().env("RYZED_LIMITS__WORK_BYTES", 3 * MEGABYTE).start();
    let me = daemon.account();
    let recipes: Vec<Value> = (0..6).map(|_| long(MEGABYTE)).collect();
    for recipe in &recipes {
        me.store(TABLE, recipe).await;
    }
    let edits: Vec<Value> =
        recipes.iter().map(|recipe| update(TABLE, &recipe["id"], json!({"servings": 7})).json()).collect();
    let body = |edits: &[Value]| json!({"device_id": "phone", "tables": ["users"], "changes": edits});
    let problem = me.api.post("/sync", &body(&edits)).await.problem(&[413]);
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("limits.work_bytes")), "{problem}");
    for pair in edits.chunks(2) {
        let (answer, _) = sync(&me, &body(pair)).await;
        assert_ne!(answer["results"][1]["status"], "rejected", "{answer}");
    }
}

#[tokio::test]
async fn a_value_that_loses_is_told_or_nothing_is_done() {
    let daemon = Daemon::builder().env("RYZED_LIMITS__CONFLICT_BYTES", 2 * MEGABYTE).start();
    let me = daemon.account();
    let (mut edits, mut recipes) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let recipe = long(10);
        let base = contested(&me, &recipe, MEGABYTE).await;
        edits.push(update(TABLE, &recipe["id"], json!({"steps_en": ["mine"]})).base(&base).strategy("client_wins"));
        recipes.push(recipe);
    }
    let body = json!({"device_id": "phone", "tables": ["users"],
        "changes": edits.iter().map(|edit| edit.json()).collect::<Vec<_>>()});
    let problem = me.api.post("/sync", &body).await.problem(&[413]);
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("limits.conflict_bytes")), "{problem}");
    for (edit, recipe) in edits.into_iter().zip(recipes) {
        let held = me.row(TABLE, &recipe["id"]).await.expect("a row");
        assert!(held["steps_en"][0].as_str().is_some_and(|text| text.starts_with('y')), "nothing was done");
        let answer = me.push([edit]).await;
        assert_eq!(answer["conflicts"][0]["fields"][0]["server"], held["steps_en"]);
        assert_eq!(me.row(TABLE, &recipe["id"]).await.expect("a row")["steps_en"], json!(["mine"]));
    }
}

#[tokio::test]
async fn two_long_lists_are_merged_in_no_time() {
    const TAGS: usize = 30_000;
    let me = somebody();
    let tags = |side: &str| (0..TAGS).map(|n| format!("{side}{n}")).collect::<Vec<_>>();
    let recipe = row(TABLE, json!({"tags": []}));
    let base = me.store(TABLE, &recipe).await;
    me.push_from("tablet", [update(TABLE, &recipe["id"], json!({"tags": tags("a")})).base(&base)]).await;
    let merge = update(TABLE, &recipe["id"], json!({"tags": tags("b")})).base(&base).strategy("merge");
    let began = Instant::now();
    let answer = me.push([merge]).await;
    // Comparing each with each takes a debug build minutes.
    assert!(began.elapsed().as_secs() < 10, "{:?}", began.elapsed());
    assert_eq!(answer["results"][0]["status"], "conflict", "{}", answer["results"]);
    let merged = me.row(TABLE, &recipe["id"]).await.expect("a row")["tags"].clone();
    assert_eq!(merged.as_array().map(Vec::len), Some(2 * TAGS));
}

#[tokio::test]
async fn a_row_stays_within_its_bounds_however_it_grows() {
    let daemon = Daemon::builder().env("RYZED_LIMITS__ROW_BYTES", 10_000).env("RYZED_LIMITS__ROW_VALUES", 2000).start();
    let me = daemon.account();
    let tags = |side: &str, count: usize| (0..count).map(|n| format!("{side}{n:04}")).collect::<Vec<_>>();
    let recipe = row(TABLE, json!({}));
    let base = me.store(TABLE, &recipe).await;
    let edit = |fields: Value| update(TABLE, &recipe["id"], fields).base(&base);
    // By one upload, by several, and by merging.
    assert_eq!(me.refusal(insert(TABLE, &long(10_000))).await, "too_large");
    assert_eq!(me.refusal(insert(TABLE, &row(TABLE, json!({"ingredients": vec![0; 2000]})))).await, "too_large");
    me.push_from("tablet", [edit(json!({"tags": tags("a", 900)}))]).await;
    assert_eq!(me.refusal(edit(json!({"steps_fr": ["x".repeat(5000)]}))).await, "too_large");
    assert_eq!(me.refusal(edit(json!({"tags": tags("b", 900)})).strategy("merge")).await, "too_large");
    assert_eq!(me.refusal(edit(json!({"ingredients": vec![0; 1500]}))).await, "too_large");
    let held = me.row(TABLE, &recipe["id"]).await.expect("a row");
    assert_eq!((&held["tags"], &held["steps_fr"]), (&json!(tags("a", 900)), &recipe["steps_fr"]), "nothing was done");
    // What fits goes on.
    let result = me.change(edit(json!({"tags": tags("b", 100)})).strategy("merge")).await;
    assert_eq!(result["status"], "conflict", "{result}");
    assert_eq!(me.row(TABLE, &recipe["id"]).await.expect("a row")["tags"].as_array().map(Vec::len), Some(1000));
}

#[tokio::test]
async fn long_former_values_are_not_kept() {
    let me = somebody();
    let database = crate::shared().database();
    let recipe = long(MEGABYTE);
    let id = recipe["id"].as_str().expect("an id");
    let base = me.store(TABLE, &recipe).await;
    for n in 0..5 {
        me.push([update(TABLE, &recipe["id"], json!({"steps_en": [format!("{n}"), "z".repeat(MEGABYTE)]}))
            .strategy("client_wins")])
            .await;
    }
    let (table, length) = match &database {
        Database::Sqlite(_) => ("sync_changes", "length(previous)"),
        Database::Postgres(_) => ("ryzed.changes", "length(previous::text)"),
    };
    let kept: usize =
        database.run(&format!("SELECT {length} FROM {table} WHERE row_id = '{id}'")).parse().expect("a number");
    assert!(kept < 50_000, "{kept} bytes of former values");
    // What can't be known is said to be unknown, and what is short is kept as ever.
    let answer = me.push([update(TABLE, &recipe["id"], json!({"steps_en": ["mine"]})).base(&base)]).await;
    assert_eq!(answer["conflicts"][0]["fields"][0]["base"], Value::Null);
    let session = workout_session(json!({"name": "Legs"}));
    let base = me.store("workout_sessions", &session).await;
    me.push_from("tablet", [update("workout_sessions", &session["id"], json!({"name": "Arms"})).base(&base)]).await;
    let answer = me.push([update("workout_sessions", &session["id"], json!({"name": "Core"})).base(&base)]).await;
    assert_eq!(answer["conflicts"][0]["fields"][0]["base"], "Legs");
}

#[tokio::test]
async fn a_receipt_of_an_older_release_is_read_and_one_that_cant_be_read_is_no_reason_to_do_it_again() {
    let me = somebody();
    let database = crate::shared().database();
    let session = workout_session(json!({"name": "Legs"}));
    let version = me.store("workout_sessions", &session).await;
    // Where there is an @, the database puts so many letters: a command line has its bounds.
    let keep = |id: Uuid, result: &str, letters: usize| {
        let (table, long) = match &database {
            Database::Sqlite(_) => ("sync_receipts", format!("hex(zeroblob({}))", letters / 2)),
            Database::Postgres(_) => ("ryzed.receipts", format!("repeat('0', {letters})")),
        };
        let json = if table == "sync_receipts" { "" } else { "::json" };
        let user = me.person.id;
        database.run(&format!(
            "INSERT INTO {table} (user_id, mutation_id, result, created_at) \
             VALUES ('{user}', '{id}', replace('{result}', '@', {long}){json}, '2099-01-01T00:00:00.000000Z')"
        ));
    };
    let (old, bad) = (Uuid::new_v4(), Uuid::new_v4());
    for bytes in [10, MEGABYTE] {
        let old = Uuid::new_v4();
        let held = "@";
        let field = json!({"field": "name", "base": null, "server": held, "client": "b", "resolved": held});
        let result = json!({"mutation_id": old, "status": "conflict", "table": "workout_sessions", "id": session["id"],
            "version": version});
        let receipt = json!({"result": result, "conflict": {"mutation_id": old, "table": "workout_sessions",
            "id": session["id"], "strategy": "server_wins", "fields": [field], "row": {"name": held}}});
        keep(old, &receipt.to_string(), bytes);
        let again = update("workout_sessions", &session["id"], json!({"name": "b"})).with("mutation_id", json!(old));
        let answer = me.push([again]).await;
        assert_eq!(answer["results"][0], result);
        let told = &answer["conflicts"][0];
        assert_eq!((&told["fields"][0]["server"], &told["fields"][0]["client"]), (&json!("Legs"), &json!("b")));
        assert_eq!(told["row"]["name"], "Legs", "as it is now");
    }
    let faults = vec![json!({"field": "x", "code": "unknown_field", "message": "@"}); 200];
    let receipt = json!({"result": {"mutation_id": old, "status": "rejected", "table": "workout_sessions",
        "id": session["id"], "errors": faults}});
    keep(old, &receipt.to_string(), 100);
    let again = update("workout_sessions", &session["id"], json!({"name": "c"})).with("mutation_id", json!(old));
    let result = me.change(again).await;
    assert_eq!(result["status"], "rejected");
    assert!(result["errors"].as_array().is_some_and(|errors| (1..50).contains(&errors.len())), "a bounded answer");

    keep(bad, r#"{"verdict": "applied"}"#, 2);
    let change = update("workout_sessions", &session["id"], json!({"name": "twice"})).with("mutation_id", json!(bad));
    let body = json!({"device_id": "phone", "tables": ["users"], "changes": [change.json()]});
    me.api.post("/sync", &body).await.problem(&[500]);
    assert_eq!(me.row("workout_sessions", &session["id"]).await.expect("a row")["name"], "Legs");
}

#[tokio::test]
async fn the_results_of_one_person_that_are_kept_are_bounded() {
    let daemon = Daemon::builder().env("RYZED_LIMITS__RECEIPTS_PER_USER", 20).start();
    let me = daemon.account();
    let entries = |count: usize| (0..count).map(|_| insert("food_entries", &food_entry(json!({})))).collect::<Vec<_>>();
    let first = entries(19);
    me.push(first.clone()).await;
    let body = |changes: &[ryzed_tests::Change]| json!({"device_id": "phone", "tables": ["users"], "changes": changes.iter().map(|c| c.json()).collect::<Vec<_>>()});
    let problem = me.api.post("/sync", &body(&entries(2))).await.problem(&[429]);
    assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("limits.receipts_per_user")), "{problem}");
    me.push(entries(1)).await;
    me.api.post("/sync", &body(&entries(1))).await.problem(&[429]);
    // Neither a retry nor anybody else is kept from anything.
    assert_eq!(me.push(first).await["results"][18]["status"], "applied");
    daemon.account().push(entries(5)).await;
}
