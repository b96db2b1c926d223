//! A block that changes: the daemon adds what is missing of its table, and refuses anything else.

use std::time::{Duration, Instant};

use ryzed_tests::{Daemon, Ran, update};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::declared::{SLEEP, declaring, faults, restarted, sleep_log, sql, write};

const SOON: Duration = Duration::from_secs(30);

/// A start that ends, and what it says.
async fn refused(daemon: &mut Daemon, configuration: &str) -> String {
    daemon.terminate();
    assert_eq!(daemon.exit_code().await, 0);
    write(daemon, configuration);
    let ran = Ran::of(&mut daemon.command(&["serve", "--listen", "127.0.0.1:0"]));
    assert_eq!(ran.code, 2, "{}", ran.said());
    ran.stderr
}

#[tokio::test]
async fn a_column_more_is_added_at_the_next_start() {
    let mut daemon = declaring(SLEEP).await;
    let me = daemon.account();
    let row = sleep_log(json!({"quality": 3}));
    me.store("sleep_logs", &row).await;
    let mut tablet = me.device("tablet");
    tablet.sync().await;
    // An edit that waits on the device meanwhile meets nobody.
    tablet.update("sleep_logs", &row["id"], json!({"quality": 5}));
    let more = format!(
        "{SLEEP}mood = {{ type = \"text\", length = 10 }}\nnaps = {{ type = \"integer\", default = 2, merge = \"sum\" }}\n\
         twin = {{ type = \"uuid\", references = \"sleep_logs\" }}\n"
    );
    restarted(&mut daemon, &more.replace("max = 5", "max = 9")).await;
    tablet.sync().await;
    assert_eq!((tablet.conflicts.len(), tablet.resets), (0, 0), "{:?}", tablet.conflicts);
    let held = tablet.row("sleep_logs", &row["id"]).expect("the row");
    assert_eq!((&held["quality"], &held["naps"], &held["mood"]), (&json!(5), &json!(2), &Value::Null), "{held}");
    assert!(held.as_object().expect("a row").contains_key("mood"), "it is told again: {held}");
    me.store("sleep_logs", &sleep_log(json!({"mood": "fine", "naps": 1, "twin": row["id"], "quality": 9}))).await;
    tablet.sync().await;
    assert!(
        tablet.is_complete().await.expect("a digest"),
        "{:?} {:?}",
        tablet.digest(),
        me.api.get("/digest").await.ok()
    );
    assert!(daemon.database().is_sound());
    // A column that goes travels no more, and its values stay.
    restarted(&mut daemon, SLEEP).await;
    assert_eq!(faults(&me, &sleep_log(json!({"mood": "fine"}))).await, "mood unknown_field");
    assert_eq!(sql(&daemon, "SELECT mood FROM sleep_logs WHERE mood IS NOT NULL"), "fine");
    me.store("sleep_logs", &sleep_log(json!({}))).await;
    // It comes back with them.
    restarted(&mut daemon, &more).await;
    tablet.sync().await;
    let moods: Vec<&Value> =
        tablet.rows["sleep_logs"].values().map(|row| &row["mood"]).filter(|mood| !mood.is_null()).collect();
    assert_eq!(moods, [&json!("fine")]);
}

#[tokio::test]
async fn what_does_more_than_add_is_refused_with_what_to_do() {
    let mut daemon = declaring(SLEEP).await;
    let me = daemon.account();
    me.store("sleep_logs", &sleep_log(json!({"quality": 3}))).await;
    for (was, now, words) in [
        (
            "quality  = { type = \"integer\", min = 1, max = 5 }",
            "quality = { type = \"text\" }",
            "tables.sleep_logs.columns.quality: is ",
        ),
        (
            "ended_at = { type = \"time\" }",
            "ended_at = { type = \"time\", required = true }",
            "leave `required` and `default` out",
        ),
        ("began_at = { type = \"time\", required = true }\n", "", "put it back into the block"),
        (
            "facts    =",
            "mood = { type = \"text\", required = true }\nfacts =",
            "tables.sleep_logs.columns.mood: can't be added",
        ),
        ("owner = \"user_id\"", "owner = \"catalogue\"", "tables.sleep_logs.columns.user_id: is never null"),
        (", references = \"cardio_sessions\"", "", "refers to cardio_sessions (ON DELETE SET NULL) in the database"),
    ] {
        let changed = SLEEP.replace(was, now).replace("ordered = [[\"began_at\", \"ended_at\"]]\n", "");
        let said = refused(&mut daemon, &changed).await;
        assert!(said.contains(words) && said.contains("Nothing was changed"), "{now}: {said}");
        write(&daemon, SLEEP);
        daemon.restart();
    }
    assert_eq!(me.rows("sleep_logs").await.len(), 1);
    // A table of that name that is something else is left alone.
    sql(&daemon, "CREATE TABLE dreams (name text)");
    let dreams = "[tables.dreams]\nowner = \"user_id\"\ncolumns = { name = { type = \"text\" } }\n";
    let said = refused(&mut daemon, &format!("{SLEEP}{dreams}")).await;
    assert!(said.contains("tables.dreams: is another table in the database"), "{said}");
    assert_eq!(sql(&daemon, "SELECT count(*) FROM dreams"), "0");
    // A mistake in the block names its line, and so does `check-config`.
    write(&daemon, &SLEEP.replace("type = \"integer\"", "type = \"int\""));
    for command in ["serve", "check-config", "migrate"] {
        let ran = Ran::of(&mut daemon.command(&[command]));
        assert_eq!(ran.code, 2, "{}", ran.said());
        let wanted = "ryzed.toml:11: tables.sleep_logs.columns.quality.type: there is no type \"int\"; the types are";
        assert!(ran.stderr.contains(wanted), "{}", ran.stderr);
    }
}

#[tokio::test]
async fn a_block_that_goes_leaves_the_rows_and_comes_back_with_them() {
    let mut daemon = declaring(SLEEP).await;
    let me = daemon.account();
    let rows: Vec<Value> = (1..=3).map(|quality| sleep_log(json!({"quality": quality}))).collect();
    for row in &rows {
        me.store("sleep_logs", row).await;
    }
    let mut tablet = me.device("tablet");
    tablet.sync().await;
    restarted(&mut daemon, "").await;
    // Everything else goes on, as if there were no such table.
    let answer = me.api.get("/changes?tables=sleep_logs").await;
    assert_eq!(answer.status, 422, "{}", answer.text());
    let entry = ryzed_tests::rows::food_entry(json!({}));
    me.store("food_entries", &entry).await;
    let mut phone = me.device("phone");
    phone.sync().await;
    assert!(phone.is_complete().await.expect("a digest") && !phone.rows.contains_key("sleep_logs"));
    let exported = Ran::of(&mut daemon.command(&["export", "--user", &me.person.id.to_string()])).ok();
    assert!(exported.contains("food_entries") && !exported.contains("sleep_logs"), "{exported}");
    let _ = Ran::of(&mut daemon.command(&["verify"])).ok();
    // SQL writes meanwhile: a change, a new row, a deletion.
    let (user, id) = (me.person.id, Uuid::new_v4());
    let of = |row: &Value| row["id"].as_str().expect("an id").to_owned();
    sql(&daemon, &format!("UPDATE sleep_logs SET quality = 5 WHERE id = '{}'", of(&rows[0])));
    sql(&daemon, &format!("DELETE FROM sleep_logs WHERE id = '{}'", of(&rows[1])));
    sql(
        &daemon,
        &format!(
            "INSERT INTO sleep_logs (id, user_id, began_at) VALUES ('{id}', '{user}', '2026-01-06T22:00:00.000000Z')"
        ),
    );
    tablet.sync().await;
    restarted(&mut daemon, SLEEP).await;
    let began = Instant::now();
    loop {
        for device in [&mut tablet, &mut phone] {
            device.sync().await;
        }
        let has_it = |device: &ryzed_tests::Device| {
            let quality = device.row("sleep_logs", &rows[0]["id"]).map(|row| row["quality"].clone());
            quality == Some(json!(5))
                && device.row("sleep_logs", &rows[1]["id"]).is_none()
                && device.row("sleep_logs", &json!(id)).is_some()
                && device.rows["sleep_logs"].len() == 3
        };
        if has_it(&tablet) && has_it(&phone) && tablet.is_complete().await.expect("a digest") {
            break;
        }
        assert!(began.elapsed() < SOON, "{:?} {:?}\n{}", tablet.rows, phone.rows, daemon.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!((tablet.resets, phone.resets), (0, 0), "nobody starts over");
    let base = me.row("sleep_logs", &rows[2]["id"]).await.expect("the row")["_version"].clone();
    me.apply(update("sleep_logs", &rows[2]["id"], json!({"quality": 1})).base(&base)).await;
    let _ = Ran::of(&mut daemon.command(&["verify"])).ok();
    assert!(daemon.database().is_sound());
}

#[tokio::test]
async fn a_command_beside_the_daemon_waits_for_the_table() {
    let daemon = Daemon::builder().alone().start();
    write(&daemon, SLEEP);
    let file = daemon.folder().join("logs.csv");
    std::fs::write(&file, "began_at\n2026-01-07T22:00:00Z\n").expect("a file");
    let (path, user) = (file.to_str().expect("a path"), daemon.account().person.id.to_string());
    let arguments = ["import", path, "--table", "sleep_logs", "--user", &user];
    let ran = Ran::of(&mut daemon.command(&arguments));
    assert_eq!(ran.code, 2, "{}", ran.said());
    assert!(
        ran.stderr.contains("lacks what the configuration declares of sleep_logs: start the daemon"),
        "{}",
        ran.stderr
    );
    let _ = Ran::of(&mut daemon.command(&["migrate"])).ok();
    let _ = Ran::of(&mut daemon.command(&arguments)).ok();
    assert_eq!(sql(&daemon, "SELECT count(*) FROM sleep_logs"), "1");
}
