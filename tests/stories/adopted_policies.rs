//! An application's own policies, unmodified: what they hide is hidden from devices, what they refuse is refused to them.

use ryzed_tests::rows::food;
use ryzed_tests::{Account, Application, Daemon, Person, insert, update};
use serde_json::{Value, json};
use uuid::Uuid;

/// One more that permits, by what a token says, and one that narrows.
const POLICIES: &str = "DROP POLICY \"Own\" ON app.sessions;
    CREATE POLICY \"Own, with an address\" ON app.sessions TO authenticated USING (user_id = auth.uid()
        AND current_setting('request.jwt.claims')::jsonb ->> 'email' LIKE '%@example.com');
    CREATE POLICY \"Not what is recalled\" ON foods AS RESTRICTIVE FOR SELECT TO authenticated
        USING (barcode IS DISTINCT FROM 'recalled')";

fn ruled(more: &str) -> (Application, Daemon) {
    let app = Application::with_people(1);
    app.sql(&format!("{POLICIES};{more}"));
    let _ = app.ryzed(&["adopt"]).ok();
    let daemon = app.daemon().start();
    (app, daemon)
}

fn meal() -> Value {
    json!({"id": Uuid::new_v4(), "quantity": 2, "consumed_at": "2026-05-01T08:00:00.000000Z"})
}

async fn count(me: &Account, table: &str) -> usize {
    me.rows(table).await.len()
}

/// A copy that is made now is complete, by the digest.
async fn assert_copies_agree(me: &Account) {
    let mut device = me.device("anew");
    device.sync().await;
    assert!(device.is_complete().await.expect("a digest"), "the digest tells of rows that a pull does not bring");
}

#[tokio::test]
async fn what_a_policy_hides_is_hidden_and_what_it_refuses_is_rejected() {
    let (app, daemon) = ruled("");
    let me = app.account(&daemon, 1);
    assert_eq!(count(&me, "food_entries").await, 560);
    let mut tablet = me.socket("tablet").await;
    let cursor = me.pull(json!({})).await["cursor"].clone();
    app.sql(&format!("INSERT INTO app.blocked VALUES ('{}')", me.person.id));

    assert_eq!(count(&me, "food_entries").await, 0, "as the application hides them");
    assert_ne!(count(&me, "foods").await, 0, "of which it says nothing");
    assert_copies_agree(&me).await;
    let own = json!({"id": Uuid::new_v4(), "name_en": "Quince", "calories": 57});
    let results = me.push([insert("food_entries", &meal()), insert("foods", &own)]).await["results"].clone();
    assert_eq!((&results[0]["status"], &results[1]["status"]), (&json!("rejected"), &json!("applied")), "{results}");
    assert_eq!(results[0]["errors"][0]["message"], "a policy of the database refuses it");
    assert!(!daemon.log().contains("ERROR"), "it is no mistake of the daemon:\n{}", daemon.log());

    // A change of a hidden row is not told; the device is sent to look for itself.
    let id = json!(app.id("entry", 1));
    app.sql("UPDATE food_entries SET note = 'hush' WHERE id = md5('entry 1')::uuid");
    assert_eq!(tablet.next("sync_required").await["reason"], "not_shown");
    let news = me.pull(json!({"cursor": cursor})).await;
    assert!(news["deletions"]["food_entries"].as_array().expect("deletions").iter().any(|gone| gone["id"] == id));
    assert!(!news.to_string().contains("hush"), "{news}");
    let mut late = me.connect("late").from_cursor(&cursor).established().await;
    assert_eq!(late.next("sync_required").await["reason"], "not_shown");

    app.sql("DELETE FROM app.blocked");
    assert_eq!(count(&me, "food_entries").await, 560);
    me.store("food_entries", &meal()).await;
    assert_copies_agree(&me).await;
}

#[tokio::test]
async fn policies_that_narrow_bind_as_well() {
    let (app, daemon) = ruled("");
    let me = app.account(&daemon, 1);
    let before = count(&me, "foods").await;
    app.sql("UPDATE foods SET barcode = 'recalled' WHERE id IN (md5('food 1')::uuid, md5('food 4')::uuid)");
    assert_eq!(count(&me, "foods").await, before - 2, "one of the catalogue, one of their own");
    assert_copies_agree(&me).await;
}

#[tokio::test]
async fn policies_go_by_what_the_token_says() {
    let (app, daemon) = ruled("");
    let known = daemon.account_of(Person::known(app.user(1)).with_email("o'brien\\@example.com"));
    let nameless = app.account(&daemon, 1);
    for (table, rows) in [("workout_sessions", 20), ("workout_exercises", 100)] {
        assert_eq!((count(&known, table).await, count(&nameless, table).await), (rows, 0), "{table}");
    }
    assert_copies_agree(&known).await;
    assert_copies_agree(&nameless).await;
    let session = json!({"id": Uuid::new_v4(), "name": "Legs", "start_time": "2026-01-05T18:00:00Z"});
    assert_eq!(nameless.change(insert("workout_sessions", &session)).await["status"], "rejected");
    let version = known.store("workout_sessions", &session).await;
    known.apply(update("workout_sessions", &session["id"], json!({"mood": 5})).base(&version)).await;
    // Over the socket of a device whose token says so, and was not asked at the commit.
    let mut tablet = known.socket("tablet").await;
    app.sql("UPDATE app.sessions SET mood = 1 WHERE mood = 5");
    let required = tablet.next("sync_required").await;
    let news = known.pull(json!({"cursor": required["cursor"]})).await;
    assert_eq!(news["changes"]["workout_sessions"][0]["mood"], 1, "{news}");
}

#[tokio::test]
async fn who_keeps_the_catalogue_is_not_bound_by_policies_for_people() {
    let (_app, daemon) = ruled("ALTER TABLE foods DROP CONSTRAINT foods_created_by_fkey");
    let keeper = daemon.account_of(Person::admin());
    let mut row = food(json!({"user_id": null}));
    row.as_object_mut().expect("a row").remove("name_fr");
    keeper.store("foods", &row).await;
    assert!(keeper.row("foods", &row["id"]).await.is_some());
}

#[tokio::test]
async fn where_no_policy_lets_people_in_the_daemons_rules_decide_alone() {
    let more = "DROP POLICY \"Through the session\" ON workout_exercises; \
                CREATE POLICY \"The back office\" ON workout_exercises TO pg_monitor USING (TRUE)";
    let (app, daemon) = ruled(more);
    let report = app.ryzed(&["adopt", "--dry-run"]).ok();
    for line in [
        "what people see and write here is what the application's policies say, within their own rows",
        "no policy of the application lets everybody or the role authenticated in, so the daemon goes by its own rules",
    ] {
        assert!(report.contains(line), "{line:?} is missing:\n{report}");
    }
    let me = daemon.account_of(Person::known(app.user(1)).with_email("a@example.com"));
    assert_eq!(count(&me, "workout_exercises").await, 100);
}
