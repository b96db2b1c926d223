//! An adopted database, served: the names of the wire, an application's own columns, its rules, and SQL beside devices.

use ryzed_tests::postgres::Cluster;
use ryzed_tests::{Account, Application, Daemon, Person, Ran, delete, insert, postgres, update, upsert};
use serde_json::{Value, json};
use uuid::Uuid;

fn adopted(people: u32) -> (Application, Daemon) {
    let app = Application::with_people(people);
    let _ = app.ryzed(&["adopt"]).ok();
    let daemon = app.daemon().start();
    (app, daemon)
}

fn food(with: Value) -> Value {
    let mut row = json!({"id": Uuid::new_v4(), "name_en": "Quince", "calories": 57});
    row.as_object_mut().expect("a row").extend(with.as_object().expect("fields").clone());
    row
}

async fn stored(me: &Account, table: &str, row: &Value) -> Value {
    me.row(table, &row["id"]).await.unwrap_or_else(|| panic!("no {row} in {table}"))
}

#[tokio::test]
async fn tables_and_columns_are_told_as_the_database_has_them() {
    let (app, daemon) = adopted(1);
    let me = app.account(&daemon, 1);
    let listed = me.api.get("/tables").await.ok();
    let names: Vec<&str> =
        listed["tables"].as_array().expect("tables").iter().filter_map(|t| t["name"].as_str()).collect();
    let served = ["users", "foods", "food_entries", "workout_sessions", "workout_exercises", "exercise_sets"];
    assert_eq!(names, served);
    let schema = me.api.get("/tables/foods/schema").await.ok();
    let property = |name: &str| schema["properties"][name].clone();
    assert_eq!(property("source")["enum"], json!(["manual", "scanned", "imported"]));
    assert_eq!(property("slug")["readOnly"], true);
    assert_eq!(property("name_en")["maxLength"], 120, "what the database takes");
    assert!(property("name_fr").is_null() && property("created_by").is_null() && !property("user_id").is_null());
    let told = listed.to_string() + &schema.to_string();
    assert!(!told.contains("created_by") && !told.contains("eaten_at"), "{told}");
    assert_eq!(me.sync(json!({"tables": ["food_entries"]})).await["reset"], false);
    let unknown = me.api.post("/sync", &json!({"device_id": "phone", "tables": ["recipes"]})).await;
    assert_eq!(unknown.status, 422, "a table that is not there");
}

#[tokio::test]
async fn devices_write_the_applications_own_columns() {
    let (app, daemon) = adopted(1);
    let me = app.account(&daemon, 1);
    let row = food(json!({"barcode": "4001", "source": "scanned", "score": 1.5, "labels": [{"vegan": true}]}));
    let version = me.store("foods", &row).await;
    let got = stored(&me, "foods", &row).await;
    for (name, value) in row.as_object().expect("a row") {
        assert_eq!(got[name], *value, "{name}");
    }
    // What was left out, the database has filled, and what it computes.
    assert_eq!(got["category"], "other");
    assert_eq!(got["stock"], 1);
    assert_eq!(got["slug"], "quince");
    assert!(got["batch"].is_i64() && got["serial_no"].is_i64(), "{got}");
    assert_eq!(got["user_id"], me.user());
    let id = &row["id"];
    me.apply(update("foods", id, json!({"barcode": null, "source": "imported"})).base(&version)).await;
    let got = stored(&me, "foods", &row).await;
    assert_eq!((&got["barcode"], &got["source"]), (&Value::Null, &json!("imported")));
    let sql = app
        .sql(&format!("SELECT created_by, source, name_en FROM foods WHERE id = {}", id.to_string().replace('"', "'")));
    assert_eq!(sql, format!("{}|imported|Quince", me.person.id));
    let entry = json!({"id": Uuid::new_v4(), "food_id": id, "quantity": 2, "consumed_at": "2026-05-01T08:00:00.000000Z", "note": "ripe"});
    me.store("food_entries", &entry).await;
    assert_eq!(stored(&me, "food_entries", &entry).await["consumed_at"], entry["consumed_at"]);
    me.change(delete("foods", id)).await;
    assert_eq!(
        stored(&me, "food_entries", &entry).await["food_id"],
        Value::Null,
        "as the application's foreign key says"
    );
}

#[tokio::test]
async fn what_is_not_brought_stays_in_every_digit() {
    let (app, daemon) = adopted(1);
    let me = app.account(&daemon, 1);
    let id = json!(app.id("food", 1));
    let sql = format!("SELECT score FROM foods WHERE id = {}", id.to_string().replace('"', "'"));
    let before = app.sql(&sql);
    assert_eq!(before, "1.12345678901234567891");
    let version = me.row("foods", &id).await.expect("the food")["_version"].clone();
    me.apply(update("foods", &id, json!({"stock": 9})).base(&version)).await;
    me.push([upsert("foods", &json!({"id": id, "barcode": "7"})).base(&version)]).await;
    assert_eq!(app.sql(&sql), before);
}

#[tokio::test]
async fn what_the_database_does_not_take_is_rejected() {
    let (app, daemon) = adopted(1);
    let me = app.account(&daemon, 1);
    for (fields, code) in [
        (json!({"name_fr": "Coing"}), "unknown_field"),
        (json!({"created_by": me.user()}), "unknown_field"),
        (json!({"slug": "mine"}), "read_only"),
        (json!({"serial_no": 5}), "read_only"),
        (json!({"source": "stolen"}), "not_allowed"),
        (json!({"name_en": "long".repeat(100)}), "length"),
        (json!({"stock": "many"}), "wrong_type"),
        (json!({"calories": 999.999}), "constraint_or_applied"),
    ] {
        let result = me.change(insert("foods", &food(fields.clone()))).await;
        if code == "constraint_or_applied" {
            assert_eq!(result["status"], "applied", "the database rounds: {result}");
        } else {
            assert_eq!(result["errors"][0]["code"], code, "{fields}: {result}");
        }
    }
    // The adapter knows a meal that the application does not.
    let entry =
        json!({"id": Uuid::new_v4(), "quantity": 1, "meal_type": "other", "consumed_at": "2026-05-01T08:00:00Z"});
    let good =
        json!({"id": Uuid::new_v4(), "quantity": 1, "meal_type": "snack", "consumed_at": "2026-05-01T08:00:00Z"});
    let results = me.push([insert("food_entries", &entry), insert("food_entries", &good)]).await["results"].clone();
    assert_eq!((&results[0]["status"], &results[1]["status"]), (&json!("rejected"), &json!("applied")), "{results}");
    assert_eq!(results[0]["errors"][0]["code"], "constraint");
    assert!(!daemon.log().contains("meal\""), "a value in the log");
}

#[tokio::test]
async fn somebody_whom_the_application_does_not_know_reads_and_is_refused_clearly() {
    let (_app, daemon) = adopted(1);
    let stranger = daemon.account_of(Person::new());
    assert_eq!(stranger.rows("foods").await.len(), 5, "the catalogue");
    assert!(stranger.rows("users").await.is_empty());
    let result = stranger.change(insert("foods", &food(json!({})))).await;
    assert_eq!(result["status"], "rejected", "{result}");
    let error = &result["errors"][0];
    assert_eq!(error["code"], "constraint");
    assert_eq!(error["message"], "it refers to a row or an account that the database does not have");
}

#[tokio::test]
async fn people_are_kept_apart_over_one_and_two_parents() {
    let (app, daemon) = adopted(2);
    let (me, other) = (app.account(&daemon, 1), app.account(&daemon, 2));
    for table in ["food_entries", "workout_sessions", "workout_exercises", "exercise_sets"] {
        let theirs = other.rows(table).await[0]["id"].clone();
        assert!(me.row(table, &theirs).await.is_none(), "{table}");
        let created = json!({"created_at": "2026-01-01T00:00:00Z"});
        let result = me.change(update(table, &theirs, created)).await;
        assert_eq!(result["errors"][0]["code"], "forbidden", "{table}: {result}");
    }
    let session = json!({"id": Uuid::new_v4(), "name": "Legs", "start_time": "2026-01-05T18:00:00Z", "mood": 4});
    let exercise = json!({"id": Uuid::new_v4(), "session_id": session["id"]});
    let set =
        json!({"id": Uuid::new_v4(), "workout_exercise_id": exercise["id"], "reps": 8, "weight": 62.5, "rpe": 8.5});
    let results = me
        .push([
            insert("exercise_sets", &set),
            insert("workout_exercises", &exercise),
            insert("workout_sessions", &session),
        ])
        .await["results"]
        .clone();
    assert!(results.as_array().expect("results").iter().all(|result| result["status"] == "applied"), "{results}");
    assert_eq!(stored(&me, "exercise_sets", &set).await["rpe"], 8.5);
    // In SQL the session is given away, and takes what hangs on it along.
    let cursor = me.cursor().await;
    app.sql(&format!(
        "UPDATE app.sessions SET user_id = '{}' WHERE id = {}",
        other.person.id,
        session["id"].to_string().replace('"', "'")
    ));
    let news = me.pull(json!({"cursor": cursor})).await;
    assert_eq!(news["deletions"]["exercise_sets"][0]["id"], set["id"], "{news}");
    assert_eq!(stored(&other, "exercise_sets", &set).await["weight"], 62.5);
}

#[tokio::test]
async fn sql_beside_reaches_devices_under_the_names_of_the_wire() {
    let (app, daemon) = adopted(1);
    let me = app.account(&daemon, 1);
    let mut tablet = me.socket("tablet").await;
    let id = app.id("entry", 1);
    app.sql(&format!("UPDATE food_entries SET eaten_at = '2026-07-01T10:00:00Z', note = 'later' WHERE id = '{id}'"));
    let message = tablet.next("database_change").await;
    assert_eq!(message["new_record"]["consumed_at"], "2026-07-01T10:00:00.000000Z", "{message}");
    let old: Vec<&str> = message["old_record"].as_object().expect("former values").keys().map(String::as_str).collect();
    assert_eq!(old, ["consumed_at", "id", "note", "updated_at"], "{message}");
    app.sql(&format!("DELETE FROM food_entries WHERE id = '{id}'"));
    let message = tablet.next("database_change").await;
    assert_eq!(message["old_record"]["consumed_at"], "2026-07-01T10:00:00.000000Z", "{message}");
    assert!(!message.to_string().contains("eaten_at"), "{message}");
    me.apply(insert(
        "food_entries",
        &json!({"id": Uuid::new_v4(), "quantity": 3, "consumed_at": "2026-05-01T08:00:00Z"}),
    ))
    .await;
    assert_eq!(tablet.next("data_updated").await["data"]["quantity"], 3);
}

#[tokio::test]
async fn own_columns_take_part_in_conflicts() {
    let (app, daemon) = adopted(1);
    let me = app.account(&daemon, 1);
    let row = food(json!({"stock": 1, "barcode": "a"}));
    let base = me.store("foods", &row).await;
    let id = row["id"].to_string().replace('"', "'");
    app.sql(&format!("UPDATE foods SET stock = 5, name_en = 'Medlar' WHERE id = {id}"));
    let merged = me.change(update("foods", &row["id"], json!({"barcode": "b"})).base(&base)).await;
    assert_eq!(merged["status"], "merged", "other columns were changed: {merged}");
    let answer = me.push([update("foods", &row["id"], json!({"stock": 7})).base(&base).strategy("merge")]).await;
    let field = &answer["conflicts"][0]["fields"][0];
    assert_eq!(*field, json!({"field": "stock", "base": 1, "server": 5, "client": 7, "resolved": 7}), "{answer}");
    // The owner has another name there: giving a row away is seen under the wire's.
    app.sql(&format!("UPDATE foods SET created_by = NULL WHERE id = {id}"));
    assert_eq!(stored(&me, "foods", &row).await["user_id"], Value::Null);
}

#[tokio::test]
async fn a_table_that_was_changed_is_stopped_until_it_is_adopted_again() {
    let (app, mut daemon) = adopted(1);
    let me = app.account(&daemon, 1);
    let epoch = me.cursor().await["epoch"].clone();
    let refused = app.ryzed(&["adopt"]);
    assert!(refused.code == 1 && refused.stderr.contains("stop it first"), "{}", refused.said());
    let mut tablet = me.device("tablet");
    tablet.sync().await;
    daemon.terminate();
    assert_eq!(daemon.exit_code().await, 0);
    // More columns are no matter, they only do not travel yet.
    for (change, word) in [
        ("ALTER TABLE foods ADD COLUMN origin text DEFAULT 'Spain'", ""),
        ("ALTER TABLE foods DROP COLUMN barcode", "it has no column barcode any more"),
        ("DROP TRIGGER ryzed_update ON foods", "triggers of ryzed are missing"),
    ] {
        app.sql(change);
        app.sql("DELETE FROM foods WHERE id = md5('food 2')::uuid");
        daemon.restart();
        let me = app.account(&daemon, 1);
        let ready = me.api.get("//readyz").await.text();
        let stopped = if word.is_empty() { "ready\n" } else { "ready\nstopped: foods; the log says why\n" };
        assert_eq!(ready, stopped, "{change}");
        let log = daemon.log();
        assert!(log.contains(word) && (word.is_empty() || log.contains("run `ryzed adopt` again")), "{change}:\n{log}");
        me.store("food_entries", &json!({"id": Uuid::new_v4(), "quantity": 2, "consumed_at": "2026-05-01T08:00:00Z"}))
            .await;
        daemon.terminate();
        assert_eq!(daemon.exit_code().await, 0);
        let _ = app.ryzed(&["adopt"]).ok();
    }
    daemon.restart();
    let me = app.account(&daemon, 1);
    let row = food(json!({"origin": "France"}));
    let news = me.push([insert("foods", &row)]).await;
    assert_eq!(news["results"][0]["status"], "applied", "{news}");
    assert_eq!(stored(&me, "foods", &row).await["origin"], "France");
    // A device that was there before gets the rows with their new columns, and needs not start over.
    tablet.sync().await;
    assert_eq!((&tablet.cursor["epoch"], tablet.resets), (&epoch, 0));
    let known = tablet.row("foods", &json!(app.id("food", 1))).expect("a food");
    assert!(known["origin"] == "Spain" && known.get("barcode").is_none(), "{known}");
    assert!(tablet.is_complete().await.expect("a digest"));
}

#[tokio::test]
async fn commands_know_an_adopted_database() {
    let (app, daemon) = adopted(1);
    let status = app.ryzed(&["migrate", "--status"]).ok();
    assert!(!status.contains("tables") && !status.contains("pending"), "{status}");
    let _ = app.ryzed(&["migrate"]).ok();
    assert_eq!(app.sql("SELECT to_regclass('public.recipes') IS NULL"), "t", "no table of ours is made");
    let me = app.user(1).to_string();
    let exported = Ran::of(&mut daemon.command(&["export", "--user", &me])).ok();
    assert_eq!(exported.lines().filter(|line| line.contains("\"consumed_at\"")).count(), 560);
    app.configure("");
    let ran = app.ryzed(&["serve"]);
    assert!(ran.code == 2 && ran.stderr.contains("`ryzed adopt` again"), "another naming: {}", ran.said());
}

#[tokio::test]
async fn the_owner_needs_no_superuser() {
    // Roles are the server's, and that of the daemon is to be made.
    let cluster = Cluster::start();
    let app = Application::of_an_ordinary_owner_on(&cluster, 1);
    let before = postgres::dump(&app.url, &[]);
    let _ = app.ryzed(&["adopt"]).ok();
    let daemon = app.daemon().start();
    let me = app.account(&daemon, 1);
    let row = food(json!({"labels": ["a"]}));
    me.store("foods", &row).await;
    assert_eq!(stored(&me, "foods", &row).await["slug"], "quince");
    me.change(delete("foods", &row["id"])).await;
    drop(daemon);
    app.sql("ALTER TABLE foods FORCE ROW LEVEL SECURITY");
    let daemon = app.daemon().start();
    assert!(daemon.account().api.get("//readyz").await.text().contains("stopped: foods;"));
    assert!(daemon.log().contains("NO FORCE ROW LEVEL SECURITY"), "{}", daemon.log());
    drop(daemon);
    let ran = app.ryzed(&["adopt"]);
    assert!(ran.code == 2 && ran.stdout.contains("NO FORCE ROW LEVEL SECURITY"), "{}", ran.said());
    app.sql("ALTER TABLE foods NO FORCE ROW LEVEL SECURITY");
    let _ = app.ryzed(&["adopt", "--undo"]).ok();
    // A number that was given out is gone, as after any insert.
    let numbers =
        |dump: String| dump.lines().filter(|line| !line.contains("setval")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(numbers(postgres::dump(&app.url, &[])), numbers(before));
}

#[tokio::test]
async fn people_need_no_table_of_their_own() {
    let app = Application::with_people(1);
    app.configure(&(app.configuration().replace("[tables.users]\n", "[tables.users]\nskip = true\n")));
    let _ = app.ryzed(&["adopt"]).ok();
    let daemon = app.daemon().start();
    let me = app.account(&daemon, 1);
    let entry = json!({"id": Uuid::new_v4(), "quantity": 2, "consumed_at": "2026-05-01T08:00:00.000000Z"});
    let change = insert("food_entries", &entry).json();
    let answer = me.sync(json!({"tables": ["food_entries"], "changes": [change]})).await;
    assert_eq!(answer["results"][0]["status"], "applied", "{answer}");
    assert!(me.row("food_entries", &entry["id"]).await.is_some());
}
