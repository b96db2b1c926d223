//! Digests of an application's tables: of what its policies show, kept or remembered instead of read again.

use ryzed_tests::{Account, Application, Daemon, Person, insert, update};
use serde_json::json;
use uuid::Uuid;

/// Policies that go by rows and tokens, some of them through a parent.
const BY_ROWS: &str = "DROP POLICY \"Own\" ON app.sessions;
    CREATE POLICY \"Own, with an address\" ON app.sessions TO authenticated USING (user_id = auth.uid()
        AND current_setting('request.jwt.claims')::jsonb ->> 'email' LIKE '%@example.com');
    CREATE POLICY \"Not what is recalled\" ON foods AS RESTRICTIVE FOR SELECT TO authenticated
        USING (barcode IS DISTINCT FROM 'recalled');
    DROP POLICY \"Own, or of nobody blocked\" ON food_entries;
    CREATE POLICY \"Own, not hidden\" ON food_entries USING (user_id = auth.uid() AND note IS DISTINCT FROM 'hidden')";

fn ruled() -> (Application, Daemon) {
    let app = Application::with_people(1);
    app.sql(BY_ROWS);
    let _ = app.ryzed(&["adopt"]).ok();
    let daemon = app.daemon().start();
    (app, daemon)
}

/// Somebody whom every policy lets in.
fn known(app: &Application, daemon: &Daemon) -> Account {
    daemon.account_of(Person::known(app.user(1)).with_email("a@example.com"))
}

/// What was read of the index and of the application's tables while a daemon served so many digests.
async fn rows_read_by(app: &Application, daemon: &mut Daemon, digests: usize) -> i64 {
    let read = || -> i64 {
        let read = "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) FROM pg_stat_user_tables WHERE relname IN \
            ('changes', 'foods', 'food_entries', 'sessions', 'workout_exercises', 'exercise_sets')";
        app.sql(read).parse().expect("a number")
    };
    daemon.restart();
    let me = known(app, daemon);
    let digest = me.api.get("/digest").await.ok();
    assert_eq!(digest["digest"]["exercise_sets"]["rows"], 300, "{digest}");
    // The server counts what a connection has read when it ends.
    daemon.terminate();
    assert_eq!(daemon.exit_code().await, 0);
    let before = read();
    daemon.restart();
    let me = daemon.account_of(me.person);
    for _ in 0..digests {
        assert_eq!(me.api.get("/digest").await.ok(), digest);
    }
    daemon.terminate();
    assert_eq!(daemon.exit_code().await, 0);
    read() - before
}

#[tokio::test]
async fn a_digest_without_a_change_reads_no_rows_again() {
    let (app, mut daemon) = ruled();
    daemon.terminate();
    assert_eq!(daemon.exit_code().await, 0);
    let (one, many) = (rows_read_by(&app, &mut daemon, 1).await, rows_read_by(&app, &mut daemon, 21).await);
    assert!(many - one < 5000, "20 digests more read {} rows more", many - one);
}

/// What a digest says of hidden rows follows every row, policy and token.
#[tokio::test]
async fn a_digest_tells_of_what_policies_show_now() {
    let (app, daemon) = ruled();
    let known = known(&app, &daemon);
    let nameless = app.account(&daemon, 1);
    for (what, statement) in [
        ("nothing", ""),
        ("a row that is hidden", "UPDATE food_entries SET note = 'hidden' WHERE id = md5('entry 1')::uuid"),
        ("a row that is shown again", "UPDATE food_entries SET note = 'here' WHERE id = md5('entry 1')::uuid"),
        (
            "a policy that narrows, for those with children",
            "CREATE POLICY \"Not the first\" ON app.sessions AS RESTRICTIVE FOR SELECT TO authenticated USING (name <> 'Session 1')",
        ),
        ("a parent that is shown again", "UPDATE app.sessions SET name = 'Another' WHERE name = 'Session 1'"),
        ("a parent that is hidden", "UPDATE app.sessions SET name = 'Session 1' WHERE name = 'Another'"),
        (
            "a policy that was altered",
            "ALTER POLICY \"Not the first\" ON app.sessions USING (name NOT IN ('Session 2', 'Session 3'))",
        ),
        (
            "a function that decides",
            "CREATE FUNCTION app.counts(name text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT name <> 'Session 4' $$; \
             ALTER POLICY \"Not the first\" ON app.sessions USING (app.counts(name))",
        ),
        (
            "the same function, which decides otherwise",
            "CREATE OR REPLACE FUNCTION app.counts(name text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT name <> 'Nobody' $$",
        ),
        (
            "a policy that goes by another table",
            "ALTER POLICY \"Not the first\" ON app.sessions USING (NOT EXISTS (SELECT FROM app.blocked b WHERE b.user_id = auth.uid()))",
        ),
        ("that table", "INSERT INTO app.blocked SELECT md5('user 1')::uuid"),
        ("that table again", "DELETE FROM app.blocked"),
        ("a clock", "ALTER POLICY \"Not the first\" ON app.sessions USING (start_time < now() - interval '1 second')"),
        ("no policy", "DROP POLICY \"Not the first\" ON app.sessions"),
    ] {
        app.sql(statement);
        for me in [&known, &nameless] {
            let mut device = me.device("anew");
            device.sync().await;
            assert!(device.is_complete().await.expect("a digest"), "after {what}: {:?}", device.digest());
            assert!(device.is_complete().await.expect("a digest"), "after {what}, once more");
        }
    }
    assert_eq!(known.rows("exercise_sets").await.len(), 300);
}

/// What adopting takes down is what stands round tables, and not what counts.
#[tokio::test]
async fn what_is_counted_is_right_in_an_adopted_database() {
    let (app, mut daemon) = ruled();
    let counts = |least: i64| {
        let verified = app.ryzed(&["verify"]);
        assert_eq!(verified.code, 0, "{}", verified.said());
        let kept = app.sql("SELECT sum(count) FROM ryzed.counts WHERE kind = 'devices'");
        let there = app.sql("SELECT count(*) FROM ryzed.devices");
        assert_eq!(kept, there);
        assert!(there.parse::<i64>().expect("a number") >= least, "{there} devices");
    };
    let me = known(&app, &daemon);
    let _ = me.sync(json!({"device_id": "phone"})).await;
    let food = json!({"id": Uuid::new_v4(), "name_en": "Quince", "calories": 57});
    let version = me.store("foods", &food).await;
    counts(1);
    daemon.terminate();
    assert_eq!(daemon.exit_code().await, 0);

    // A database that an earlier release has adopted.
    app.sql(
        "DROP TRIGGER count_insert ON ryzed.changes; DROP TRIGGER count_update ON ryzed.changes; DROP TRIGGER count_delete ON ryzed.changes; \
         DROP TRIGGER count_insert ON ryzed.devices; DROP TRIGGER count_update ON ryzed.devices; DROP TRIGGER count_delete ON ryzed.devices; \
         DELETE FROM ryzed.sums; DELETE FROM ryzed.counts WHERE kind = 'devices'; \
         DELETE FROM ryzed.__diesel_schema_migrations WHERE version = '0019'",
    );
    daemon.restart();
    let me = known(&app, &daemon);
    counts(1);
    let _ = me.sync(json!({"device_id": "tablet"})).await;
    me.apply(update("foods", &food["id"], json!({"calories": 58})).base(&version)).await;
    me.apply(insert("foods", &json!({"id": Uuid::new_v4(), "name_en": "Medlar", "calories": 53}))).await;
    counts(2);
    // Adopting once more.
    daemon.terminate();
    assert_eq!(daemon.exit_code().await, 0);
    let _ = app.ryzed(&["adopt"]).ok();
    daemon.restart();
    let me = known(&app, &daemon);
    let _ = me.sync(json!({"device_id": "watch"})).await;
    counts(3);
}
