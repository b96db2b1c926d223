//! `hidden` and `read_only` on a database of our own: what the operator keeps home is in no answer, and what devices may not write
//! stays as it is.

use ryzed_tests::rows::{food, food_entry, row};
use ryzed_tests::{Account, Change, Daemon, Database, Ran, delete, insert, update, upsert};
use serde_json::json;

const RULES: &str = "[tables.foods]\nhidden = [\"category\", \"fats\"]\nread_only = [\"is_custom\"]\n\
                     [tables.cardio_sessions]\nhidden = [\"notes\"]\n[tables.users]\nread_only = [\"email\"]\n";

fn write(daemon: &Daemon, configuration: &str) {
    std::fs::write(daemon.folder().join("ryzed.toml"), configuration).expect("a file");
}

async fn restarted(daemon: &mut Daemon, configuration: &str) {
    daemon.terminate();
    assert_eq!(daemon.exit_code().await, 0);
    write(daemon, configuration);
    daemon.restart();
}

async fn code(me: &Account, change: Change) -> String {
    let result = me.change(change).await;
    assert_eq!(result["status"], "rejected", "{result}");
    let error = &result["errors"][0];
    format!("{} {}", error["field"].as_str().unwrap_or_default(), error["code"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn a_hidden_column_is_in_no_answer_and_takes_nothing() {
    let mut daemon = Daemon::builder().alone().start();
    restarted(&mut daemon, RULES).await;
    let me = daemon.account();
    let row = food(json!({"proteins": 1}));
    for field in ["category", "fats"] {
        let mut with = row.clone();
        with[field] = if field == "fats" { json!(9) } else { json!("hush") };
        assert_eq!(code(&me, insert("foods", &with)).await, format!("{field} unknown_field"));
    }
    let base = me.store("foods", &row).await;
    let id = row["id"].as_str().expect("an id").to_owned();
    let mut tablet = me.socket("tablet").await;
    daemon.database().run(&format!("UPDATE foods SET category = 'hush', fats = 43.21 WHERE id = '{id}'"));
    let before = me.cursor().await;
    daemon.database().run(&format!("UPDATE foods SET category = 'hush too' WHERE id = '{id}'"));
    assert_eq!(me.cursor().await, before, "a change of what stays home is none");
    daemon.database().run(&format!("UPDATE foods SET category = 'hush three', proteins = 2 WHERE id = '{id}'"));
    let mut answers = vec![tablet.next("database_change").await];
    answers.push(me.push([update("foods", &row["id"], json!({"proteins": 3})).base(&base).strategy("manual")]).await);
    answers.push(me.api.get("/conflicts").await.ok());
    answers.push(me.pull(json!({})).await);
    answers.push(json!(me.api.get("/export").await.text()));
    answers.push(me.api.get("/tables/foods/schema").await.ok());
    answers.push(me.api.get("/tables").await.ok());
    me.apply(delete("foods", &row["id"]).base(&me.row("foods", &row["id"]).await.expect("it")["_version"])).await;
    answers
        .push(me.push([update("foods", &row["id"], json!({"proteins": 4})).base(&base).strategy("client_wins")]).await);
    for answer in &answers {
        let text = answer.to_string();
        assert!(!text.contains("hush") && !text.contains("43.21"), "{text}");
    }
    for told in &answers[4..7] {
        assert!(!told.to_string().contains("category"), "{told}");
    }
    let exported = Ran::of(&mut daemon.command(&["export", "--user", &me.person.id.to_string()])).ok();
    assert!(exported.contains("Quince") && !exported.contains("hush") && !exported.contains("\"fats\""), "{exported}");
    // The catalogue was filled before; what is edited there keeps what stays home.
    let keeper = daemon.account_of(ryzed_tests::Person::admin());
    let apple = keeper.rows("foods").await.into_iter().find(|food| food["user_id"].is_null()).expect("the catalogue");
    let id = apple["id"].as_str().expect("an id").to_owned();
    let fats = daemon.database().run(&format!("SELECT fats FROM foods WHERE id = '{id}'"));
    keeper.apply(update("foods", &apple["id"], json!({"proteins": 7})).base(&apple["_version"])).await;
    assert_eq!(daemon.database().run(&format!("SELECT fats FROM foods WHERE id = '{id}'")), fats);
}

#[tokio::test]
async fn a_column_that_somebody_has_added_is_nobodys_business() {
    let daemon = Daemon::builder().alone().start();
    let me = daemon.account();
    let row = food(json!({}));
    me.store("foods", &row).await;
    let id = row["id"].as_str().expect("an id").to_owned();
    daemon.database().run("ALTER TABLE foods ADD COLUMN invoice text");
    let mut tablet = me.socket("tablet").await;
    let before = me.cursor().await;
    daemon.database().run(&format!("UPDATE foods SET invoice = 'hush' WHERE id = '{id}'"));
    assert_eq!(me.cursor().await, before);
    daemon.database().run(&format!("UPDATE foods SET invoice = 'hush too', proteins = 2 WHERE id = '{id}'"));
    let told = tablet.next("database_change").await;
    assert_eq!(told["old_record"], json!({"id": row["id"], "proteins": null}), "{told}");
    daemon.database().run(&format!("DELETE FROM foods WHERE id = '{id}'"));
    let told = tablet.next("database_change").await;
    assert!(told["operation"] == "DELETE" && !told.to_string().contains("hush"), "{told}");
}

#[tokio::test]
async fn what_devices_may_not_write_they_may_send_back() {
    let mut daemon = Daemon::builder().alone().start();
    restarted(&mut daemon, RULES).await;
    let me = daemon.account();
    let row = food(json!({}));
    assert_eq!(code(&me, insert("foods", &food(json!({"is_custom": true})))).await, "is_custom read_only");
    me.store("foods", &row).await;
    let mut got = me.row("foods", &row["id"]).await.expect("the food");
    assert_eq!(got["is_custom"], false, "the default");
    got["proteins"] = json!(5);
    me.apply(upsert("foods", &got).base(&got["_version"])).await;
    assert_eq!(code(&me, update("foods", &row["id"], json!({"is_custom": true}))).await, "is_custom read_only");
    assert_eq!(code(&me, update("users", &me.user(), json!({"email": "x@example.com"}))).await, "email read_only");
    let schema = me.api.get("/tables/foods/schema").await.ok();
    assert_eq!(schema["properties"]["is_custom"]["readOnly"], true);
    // The operator's own imports are no device.
    let file = daemon.folder().join("foods.csv");
    std::fs::write(&file, "name_en,name_fr,calories,is_custom\nMedlar,Nefle,40,true\n").expect("a file");
    let me_too = me.person.id.to_string();
    let path = file.to_str().expect("a path");
    let _ = Ran::of(&mut daemon.command(&["import", path, "--table", "foods", "--user", &me_too])).ok();
    let medlar = me.rows("foods").await.into_iter().find(|food| food["name_en"] == "Medlar").expect("the import");
    assert_eq!(medlar["is_custom"], true);
}

#[tokio::test]
async fn what_was_noted_before_is_erased_and_what_is_let_out_again_starts_devices_over() {
    let mut daemon = Daemon::builder().alone().start();
    let me = daemon.account();
    let (kept, gone) = (food(json!({"category": "hush"})), row("cardio_sessions", json!({"notes": "hush"})));
    let base = me.store("foods", &kept).await;
    let run = me.store("cardio_sessions", &gone).await;
    me.apply(update("foods", &kept["id"], json!({"category": "hush too"})).base(&base)).await;
    me.apply(delete("cardio_sessions", &gone["id"]).base(&run)).await;
    // An open conflict that quotes it.
    let met = me
        .push([update("foods", &kept["id"], json!({"category": "hush three", "name_en": "Fig"}))
            .base(&base)
            .strategy("manual")])
        .await;
    assert_eq!(met["conflicts"].as_array().map(Vec::len), Some(1), "{met}");
    let cursor = me.cursor().await;
    restarted(&mut daemon, RULES).await;
    let again = me.sync(json!({"cursor": cursor})).await;
    assert_eq!(again["reset"], false, "devices go on: {again}");
    let answers = [
        me.api.get("/conflicts").await.ok(),
        me.pull(json!({})).await,
        me.push([update("cardio_sessions", &gone["id"], json!({"steps": 9})).base(&run).strategy("client_wins")]).await,
        me.push([update("foods", &kept["id"], json!({"name_en": "Date"})).base(&base).strategy("manual")]).await,
    ];
    for answer in &answers {
        assert!(!answer.to_string().contains("hush"), "{answer}");
    }
    let changes = if matches!(daemon.database(), Database::Postgres(_)) { "ryzed.changes" } else { "sync_changes" };
    assert_eq!(
        daemon.database().run(&format!("SELECT count(*) FROM {changes} WHERE CAST(previous AS text) LIKE '%hush%'")),
        "0"
    );
    // What the device has left open of the row since is the same conflict.
    let id = answers[0]["conflicts"][0]["conflict_id"].clone();
    me.api
        .post(&format!("/conflicts/{}/resolve", id.as_str().expect("an id")), &json!({"resolution": "client"}))
        .await
        .ok();
    assert_eq!(me.row("foods", &kept["id"]).await.expect("the food")["name_en"], "Date");
    restarted(&mut daemon, "").await;
    assert_ne!(me.cursor().await["epoch"], cursor["epoch"], "rows have columns again that devices do not know");
    assert_eq!(me.row("foods", &kept["id"]).await.expect("the food")["category"], "hush too");
}

#[tokio::test]
async fn a_new_database_is_filled_and_moved_whole_whatever_stays_home() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("ryzed.toml"), RULES).expect("a file");
    let daemon = Daemon::builder().alone().env("RYZED_CONFIG", folder.path().join("ryzed.toml").display()).start();
    let me = daemon.account();
    let foods = me.rows("foods").await;
    assert!(foods.len() > 10 && foods.iter().all(|food| food.get("fats").is_none()), "the starter catalogue");
    me.store("food_entries", &food_entry(json!({"food_id": foods[0]["id"]}))).await;
    let id = foods[0]["id"].as_str().expect("an id");
    daemon.database().run(&format!("UPDATE foods SET fats = 43.21 WHERE id = '{id}'"));
    let archive = Ran::of(&mut daemon.command(&["export", "--all"])).ok();
    assert!(archive.contains("43.21"), "an archive is the whole database");
    drop(daemon);
    let there = tempfile::tempdir().expect("a folder");
    let file = there.path().join("all.ndjson");
    std::fs::write(&file, &archive).expect("a file");
    std::fs::write(there.path().join("ryzed.toml"), RULES).expect("a file");
    let _ = ryzed_tests::command::ryzed(there.path(), &[], &["import", "--all", file.to_str().expect("a path")]).ok();
}

#[test]
fn rules_that_make_no_sense_are_said_before_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    for (table, list, wanted) in [
        ("foods", "hidden = [\"nope\"]", "ryzed.toml:2: tables.foods.hidden: there is no column nope"),
        ("foods", "hidden = [\"calories\"]", "no device could make a row: calories must be given"),
        ("foods", "read_only = [\"calories\"]", "no device could make a row: calories must be given"),
        ("foods", "hidden = [\"id\"]", "id is in every row"),
        ("foods", "hidden = [\"user_id\"]", "user_id is in every row"),
        ("location_points", "hidden = [\"cardio_session_id\"]", "cardio_session_id is in every row"),
        ("foods", "hidden = [\"fats\"]\nread_only = [\"fats\"]", "fats can't be in hidden and in read_only"),
        ("foods", "send = [\"fats\"]", "tables.foods.send: is for the columns of an application"),
        ("foods", "skip = true", "names the tables of an adopted PostgreSQL database"),
    ] {
        std::fs::write(folder.path().join("ryzed.toml"), format!("[tables.{table}]\n{list}\n")).expect("a file");
        let ran = ryzed_tests::command::ryzed(folder.path(), &[], &["check-config"]);
        assert!(ran.code == 2 && ran.stderr.contains(wanted), "{list}: {wanted:?} is missing:\n{}", ran.said());
    }
    std::fs::write(folder.path().join("ryzed.toml"), RULES).expect("a file");
    let shown = ryzed_tests::command::ryzed(folder.path(), &[], &["check-config"]).ok();
    assert!(shown.contains("hidden = [\"category\", \"fats\"]"), "{shown}");
}
