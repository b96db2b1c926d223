//! Devices may do what an application has granted to the role `authenticated`, also when it changes its mind while the
//! daemon serves.

use std::time::{Duration, Instant};

use ryzed_tests::{Account, Application, Change, Daemon, Person, delete, insert, update};
use serde_json::{Value, json};
use uuid::Uuid;

/// The time that the daemon may take to notice something by itself.
const SOON: Duration = Duration::from_secs(20);

fn granted(grants: &str) -> (Application, Daemon) {
    let app = Application::with_people(1);
    app.sql(&format!("REVOKE ALL ON foods FROM authenticated; {grants}"));
    let _ = app.ryzed(&["adopt"]).ok();
    let daemon = app.daemon().start();
    (app, daemon)
}

fn food() -> Value {
    json!({"id": Uuid::new_v4(), "name_en": "Quince", "calories": 57})
}

async fn own(me: &Account) -> Value {
    let rows = me.rows("foods").await;
    rows.into_iter().find(|row| row["user_id"] == me.user()).expect("a food of one's own")
}

async fn outcome(me: &Account, change: Change) -> String {
    let result = me.change(change).await;
    let error = &result["errors"][0];
    format!("{} {} {}", result["status"], error["code"], error["field"]).replace('"', "")
}

/// Asks again until it is so.
async fn soon(me: &Account, change: impl Fn() -> Change, wanted: &str) {
    let began = Instant::now();
    loop {
        let outcome = outcome(me, change()).await;
        if outcome == wanted {
            return;
        }
        assert!(began.elapsed() < SOON, "{outcome:?} and not {wanted:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn devices_may_do_what_people_were_granted_and_no_more() {
    let (app, daemon) = granted("GRANT SELECT, UPDATE (calories) ON foods TO authenticated");
    let report = app.ryzed(&["adopt", "--dry-run"]).ok();
    let told = "by the application's grants to the role authenticated, devices may not: make rows; change values of id, created_by, name_en,";
    assert!(report.contains(told) && report.contains("; delete rows"), "{report}");
    let me = app.account(&daemon, 1);
    let row = own(&me).await;
    let (id, version) = (&row["id"], &row["_version"]);
    me.apply(update("foods", id, json!({"calories": 9})).base(version)).await;
    for (change, wanted) in [
        (update("foods", id, json!({"name_en": "Mine"})), "rejected read_only name_en"),
        (update("foods", id, json!({"calories": 8, "stock": 2})), "rejected read_only stock"),
        (update("foods", id, json!({"user_id": null})), "rejected read_only user_id"),
        (insert("foods", &food()), "rejected forbidden "),
        (delete("foods", id), "rejected forbidden "),
    ] {
        assert_eq!(outcome(&me, change.base(version).strategy("client_wins")).await, wanted);
    }
    assert_eq!(
        app.sql(&format!("SELECT name_en <> 'Mine' AND calories = 9 FROM foods WHERE id = {id}").replace('"', "'")),
        "t"
    );
    // Tables on which nothing was granted, or all, go by the daemon's rules.
    let entry = json!({"id": Uuid::new_v4(), "quantity": 2, "consumed_at": "2026-05-01T08:00:00.000000Z"});
    me.store("food_entries", &entry).await;
    let keeper = daemon.account_of(Person::admin());
    assert_eq!(
        keeper.change(update("foods", &json!(app.id("food", 4)), json!({"stock": 5})).strategy("client_wins")).await["status"],
        "conflict"
    );
}

#[tokio::test]
async fn what_is_granted_or_revoked_while_it_serves_counts_at_once() {
    let (app, daemon) = granted("GRANT SELECT ON foods TO authenticated");
    let me = app.account(&daemon, 1);
    assert_eq!(outcome(&me, insert("foods", &food())).await, "rejected forbidden ");
    app.sql("GRANT INSERT (id, name_en, calories), DELETE ON foods TO authenticated");
    soon(&me, || insert("foods", &food()), "applied null null").await;
    let mut labelled = food();
    labelled["labels"] = json!(["a"]);
    assert_eq!(outcome(&me, insert("foods", &labelled)).await, "rejected read_only labels");
    let row = own(&me).await;
    assert!(row.get("score").is_some() && row.get("barcode").is_some());
    me.change(delete("foods", &row["id"]).base(&row["_version"])).await;
    assert!(me.row("foods", &row["id"]).await.is_none());

    // Columns that people may not read any more stay home, also those that changed, and the table stops without its owner.
    let mut phone = me.socket("phone").await;
    app.sql("REVOKE SELECT ON foods FROM authenticated; GRANT SELECT (id, created_by, name_en, calories, created_at, updated_at) ON foods TO authenticated");
    let began = Instant::now();
    while own(&me).await.get("barcode").is_some() {
        assert!(began.elapsed() < SOON, "a column that people may not read is sent on");
    }
    let id = own(&me).await["id"].clone();
    app.sql(&format!("UPDATE foods SET barcode = 'hush', stock = 99, calories = 3 WHERE id = {id}").replace('"', "'"));
    let told = phone.next_where("database_change", |change| change["new_record"]["id"] == id).await;
    assert_eq!(told["new_record"]["calories"], 3, "{told}");
    assert!(!told.to_string().contains("hush") && told["old_record"].get("stock").is_none(), "{told}");
    app.sql("UPDATE foods SET barcode = 'hush again'");
    app.sql("REVOKE SELECT (created_by) ON foods FROM authenticated");
    let began = Instant::now();
    while !me.api.get("//readyz").await.text().contains("stopped: foods;") {
        assert!(began.elapsed() < SOON, "{}", daemon.log());
    }
    app.sql("GRANT SELECT ON foods TO authenticated");
    let began = Instant::now();
    while me.api.get("//readyz").await.text() != "ready\n" {
        assert!(began.elapsed() < SOON, "{}", daemon.log());
    }
    assert_eq!(own(&me).await["barcode"], "hush again");
}

#[tokio::test]
async fn who_takes_every_grant_away_lets_nobody_do_more() {
    let (app, mut daemon) = granted("");
    let me = app.account(&daemon, 1);
    me.store("foods", &food()).await;
    // Where nothing was granted, the first grant decides from then on.
    app.sql("GRANT SELECT ON foods TO authenticated");
    soon(&me, || insert("foods", &food()), "rejected forbidden ").await;
    let until = async |wanted: &str| {
        let began = Instant::now();
        while me.api.get("//readyz").await.text() != wanted {
            assert!(began.elapsed() < SOON, "{wanted} does not come");
        }
    };
    let stopped = "ready\nstopped: foods; the log says why\n";
    app.sql("REVOKE ALL ON foods FROM authenticated");
    until(stopped).await;
    daemon.logged(&["nothing is granted to the role authenticated any more"]).await;
    let held = json!({"device_id": "phone", "tables": ["foods"], "changes": [insert("foods", &food()).json()]});
    me.api.post("/sync", &held).await.problem(&[503]);
    daemon.terminate();
    assert_eq!(daemon.exit_code().await, 0);
    daemon.restart();
    tokio::time::sleep(Duration::from_millis(20)).await;
    until(stopped).await;
    app.sql("GRANT SELECT, INSERT ON foods TO authenticated");
    until("ready\n").await;
    me.store("foods", &food()).await;
    app.sql("REVOKE ALL ON foods FROM authenticated");
    until(stopped).await;
    // Who adopts once more means it.
    daemon.terminate();
    assert_eq!(daemon.exit_code().await, 0);
    let _ = app.ryzed(&["adopt"]).ok();
    daemon.restart();
    tokio::time::sleep(Duration::from_millis(20)).await;
    until("ready\n").await;
    me.store("foods", &food()).await;
}
