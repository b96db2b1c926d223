//! A clock that is wrong: what devices bring is not refused for good, nothing is forgotten by it, and it is said.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use hyper::Method;
use ryzed_tests::rows::{food_entry, row, workout_session};
use ryzed_tests::{Daemon, Database, delete, insert, update};
use serde_json::{Value, json};

fn text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// Names and terms of the database that a story runs on.
struct Terms {
    scopes: &'static str,
    changes: &'static str,
    clock: &'static str,
    shifted: fn(i64) -> String,
}

fn terms(database: &Database) -> Terms {
    match database {
        Database::Sqlite(_) => Terms {
            scopes: "sync_scopes",
            changes: "sync_changes",
            clock: "sync_clock",
            shifted: |days| format!("strftime('%Y-%m-%dT%H:%M:%f000Z', changed_at, '{days} days')"),
        },
        Database::Postgres(_) => Terms {
            scopes: "ryzed.scopes",
            changes: "ryzed.changes",
            clock: "ryzed.clock",
            shifted: |days| format!("changed_at + make_interval(days => {days})"),
        },
    }
}

/// Stops a daemon and moves all that its database knows of the time, as if the machine's clock had moved the other way.
async fn moved(daemon: &mut Daemon, days: i64) {
    daemon.terminate();
    assert_eq!(daemon.exit_code().await, 0);
    let Terms { scopes, changes, clock, shifted } = terms(&daemon.database());
    let by = shifted(days);
    let believed = by.replace("changed_at", "believed");
    daemon.database().run(&format!(
        "UPDATE {scopes} SET changed_at = {by}; UPDATE {changes} SET changed_at = {by}; UPDATE {clock} SET believed = {believed}"
    ));
}

#[tokio::test]
async fn a_clock_that_is_behind_refuses_no_entry_of_today() {
    let mut daemon = Daemon::builder().alone().start();
    let me = daemon.account();
    me.store("food_entries", &food_entry(json!({}))).await;
    moved(&mut daemon, 5).await;
    let lines = daemon.lines().len();
    daemon.restart();
    daemon.logged_after(lines, &["WARN", "the clock is behind the newest time"]).await;
    let me = daemon.account_of(me.person);
    // Five days ahead of this machine, and today for everybody else.
    let today = food_entry(json!({"consumed_at": text(Utc::now() + TimeDelta::days(5) + TimeDelta::hours(2))}));
    me.apply(insert("food_entries", &today)).await;
    let later = food_entry(json!({"consumed_at": text(Utc::now() + TimeDelta::days(8))}));
    let refused = me.change(insert("food_entries", &later)).await;
    assert_eq!(refused["errors"][0]["code"], "in_future", "{refused}");
}

#[tokio::test]
async fn a_clock_that_is_far_ahead_forgets_nothing_and_says_so() {
    let mut daemon = Daemon::builder().alone().start();
    let me = daemon.account();
    let gone = food_entry(json!({}));
    me.store("food_entries", &gone).await;
    let mut phone = me.device("phone");
    phone.sync().await;
    me.apply(delete("food_entries", &gone["id"])).await;
    let user = me.person.id;
    assert_eq!(daemon.database().tombstones(user), "1");
    moved(&mut daemon, -400).await;
    let lines = daemon.lines().len();
    daemon.restart();
    daemon.logged_after(lines, &["WARN", "the clock is far ahead of all that is known"]).await;
    // Longer than the first housekeeping takes to come.
    tokio::time::sleep(std::time::Duration::from_secs(6)).await;
    assert_eq!(daemon.database().tombstones(user), "1", "{}", daemon.log());
    // What is written with a wrong clock proves nothing at the next start.
    let me = daemon.account_of(me.person);
    me.store("food_entries", &food_entry(json!({}))).await;
    daemon.terminate();
    assert_eq!(daemon.exit_code().await, 0);
    let lines = daemon.lines().len();
    daemon.restart();
    daemon.logged_after(lines, &["WARN", "the clock is far ahead of all that is known"]).await;
    tokio::time::sleep(std::time::Duration::from_secs(6)).await;
    assert_eq!(daemon.database().tombstones(user), "1", "{}", daemon.log());
}

#[tokio::test]
async fn what_is_refused_for_now_is_judged_anew() {
    let mut daemon = Daemon::builder().alone().start();
    let me = daemon.account();
    let plan = food_entry(json!({"consumed_at": text(Utc::now() + TimeDelta::hours(30))}));
    let change = insert("food_entries", &plan);
    let refused = me.change(change.clone()).await;
    assert_eq!(
        (&refused["status"], &refused["errors"][0]["code"]),
        (&json!("rejected"), &json!("in_future")),
        "{refused}"
    );
    assert_eq!(me.change(change.clone()).await["errors"], refused["errors"]);
    daemon.terminate();
    assert_eq!(daemon.exit_code().await, 0);
    // An app of plans, as its operator says.
    daemon.set_env("RYZED_SYNC__FUTURE_HOURS", "48");
    daemon.restart();
    let me = daemon.account_of(me.person);
    let applied = me.change(change.clone()).await;
    assert_eq!(applied["status"], "applied", "the same change: {applied}");
    let again = me.change(change).await;
    assert_eq!(again["version"], applied["version"], "from now on its result is known");
    let rows: Vec<Value> = me.rows("food_entries").await;
    assert_eq!(rows.len(), 1);
}

#[tokio::test]
async fn devices_of_several_people_contradict_the_clock() {
    let daemon = Daemon::builder().alone().start();
    let date = (Utc::now() + TimeDelta::days(2)).format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    for _ in 0..3 {
        let me = daemon.account();
        let answer = me.api.raw(Method::GET, "/devices", &[("date", &date)], "").await.expect("an answer");
        assert_eq!(answer.status, 200);
    }
    daemon.logged(&["WARN", "several people's devices say", "hours=47.9"]).await;
}

/// By the request that opens one, and by a ping.
#[tokio::test]
async fn devices_that_have_nothing_but_a_socket_contradict_the_clock_as_well() {
    let daemon = Daemon::builder().alone().start();
    let ahead = Utc::now() + TimeDelta::days(2);
    let date = ahead.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    for _ in 0..2 {
        let _socket = daemon.account().connect("phone").header("date", &date).established().await;
    }
    let mut socket = daemon.account().socket("phone").await;
    for strange in [json!(7), json!("noon"), json!(null)] {
        socket.send(json!({"type": "ping", "timestamp": strange})).await;
        assert_eq!(socket.next("pong").await.get("ignored"), None);
    }
    assert!(!daemon.log().contains("several people's devices"), "two are not enough");
    socket.send(json!({"type": "ping", "timestamp": text(ahead)})).await;
    daemon.logged(&["WARN", "several people's devices say", "hours=47.9"]).await;
}

/// Has the system say so of a time server from the next start on.
fn says(daemon: &mut Daemon, synchronized: &str) {
    let folder = daemon.folder().join("bin");
    // By another process: nothing runs that this one has open for writing, and neither do those that it is about to start.
    let make = format!(
        "mkdir -p bin && printf '#!/bin/sh\\necho {synchronized}\\n' > bin/timedatectl && chmod 755 bin/timedatectl"
    );
    let made = std::process::Command::new("sh").args(["-c", &make]).current_dir(daemon.folder()).status();
    assert!(made.expect("a shell").success());
    let path = std::env::var("PATH").unwrap_or_default();
    daemon.set_env("PATH", &format!("{}:{path}", folder.display()));
}

#[tokio::test]
async fn what_the_system_says_of_its_time_server_counts() {
    let mut daemon = Daemon::builder().alone().start();
    let me = daemon.account();
    me.store("food_entries", &food_entry(json!({}))).await;
    says(&mut daemon, "no");
    moved(&mut daemon, -400).await;
    let lines = daemon.lines().len();
    daemon.restart();
    daemon.logged_after(lines, &["WARN", "no time server has set this machine's clock"]).await;
    daemon.logged_after(lines, &["WARN", "the clock is far ahead of all that is known"]).await;
    says(&mut daemon, "yes");
    moved(&mut daemon, -400).await;
    daemon.restart();
    let log = daemon.log();
    let since = log.rsplit("serve: stopped").next().expect("a start");
    assert!(!since.contains("time server") && !since.contains("far ahead"), "it was set since: {since}");
}

#[tokio::test]
async fn what_builds_on_a_row_that_is_refused_for_now_waits_with_it() {
    let mut daemon = Daemon::builder().alone().start();
    let me = daemon.account();
    let ahead = text(Utc::now() + TimeDelta::hours(30));
    let session = workout_session(json!({"start_time": ahead}));
    let exercise = row("workout_exercises", json!({"session_id": session["id"]}));
    let set = row("exercise_sets", json!({"workout_exercise_id": exercise["id"]}));
    let elsewhere = food_entry(json!({}));
    let changes = [
        insert("exercise_sets", &set),
        insert("workout_sessions", &session),
        insert("workout_exercises", &exercise),
        update("workout_sessions", &session["id"], json!({"name": "Legs"})),
        insert("food_entries", &elsewhere),
    ];
    let told = |answer: &Value| -> Vec<String> {
        let results = answer["results"].as_array().expect("results").iter();
        results
            .map(|result| result["errors"][0]["code"].as_str().or(result["status"].as_str()).unwrap_or("").to_owned())
            .collect()
    };
    let answer = me.push(changes.clone()).await;
    assert_eq!(told(&answer), ["in_future", "in_future", "in_future", "in_future", "applied"], "{answer}");
    daemon.terminate();
    assert_eq!(daemon.exit_code().await, 0);
    daemon.set_env("RYZED_SYNC__FUTURE_HOURS", "48");
    daemon.restart();
    let me = daemon.account_of(me.person);
    let answer = me.push(changes).await;
    assert_eq!(told(&answer), ["applied"; 5], "{answer}");
    assert_eq!(me.row("workout_sessions", &session["id"]).await.expect("the session")["name"], "Legs");
    // What was refused for now and is taken back before it could be taken stays away.
    let late = food_entry(json!({"consumed_at": text(Utc::now() + TimeDelta::days(9))}));
    let answer = me.push([insert("food_entries", &late), delete("food_entries", &late["id"])]).await;
    assert_eq!(told(&answer), ["in_future", "in_future"], "{answer}");
}
