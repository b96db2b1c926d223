//! `ryzed adopt --undo` leaves neither the database nor its server a trace, whatever the application has done to its tables
//! meanwhile. Told on servers of their own, since roles are the server's.

use ryzed_tests::Application;
use ryzed_tests::postgres::{self, Cluster, dump};

use crate::adopt::adopt;
use crate::adopt_meanwhile::{beside, wait_for_session, wait_until};

/// Roles, and everything in the database.
fn everything(cluster: &Cluster, app: &Application) -> (String, String) {
    (cluster.roles(), dump(&app.url, &[]))
}

fn leave(app: &Application) -> String {
    app.ryzed(&["adopt", "--undo"]).ok()
}

#[test]
fn tables_that_were_moved_and_renamed_are_left_as_well() {
    let cluster = Cluster::start();
    let app = Application::of_an_ordinary_owner_on(&cluster, 1);
    let before = everything(&cluster, &app);
    adopt(&app);
    app.sql(
        "ALTER TABLE foods RENAME TO dishes; ALTER TABLE food_entries SET SCHEMA app; ALTER SCHEMA app RENAME TO gym; \
         ALTER SEQUENCE foods_batch_seq RENAME TO numbers",
    );
    assert!(leave(&app).contains("as if it had never been adopted"));
    app.sql(
        "ALTER SEQUENCE numbers RENAME TO foods_batch_seq; ALTER SCHEMA gym RENAME TO app; \
         ALTER TABLE app.food_entries SET SCHEMA public; ALTER TABLE dishes RENAME TO foods",
    );
    assert!(everything(&cluster, &app) == before, "{}", dump(&app.url, &["--schema-only"]));
}

#[test]
fn a_database_without_auth_has_none_afterwards() {
    let cluster = Cluster::start();
    let app = Application::made_by(
        cluster.new_database(),
        "CREATE TABLE foods (id uuid PRIMARY KEY, user_id uuid, name_en text NOT NULL); ALTER TABLE foods ENABLE ROW LEVEL SECURITY; \
         INSERT INTO foods VALUES (md5('food 1')::uuid, md5('user 1')::uuid, 'Quince')",
        "",
    );
    let before = everything(&cluster, &app);
    adopt(&app);
    assert_ne!(cluster.roles(), before.0);
    assert_eq!(app.sql("SELECT to_regprocedure('auth.uid()') IS NOT NULL"), "t");
    leave(&app);
    assert!(everything(&cluster, &app) == before, "{}", dump(&app.url, &["--schema-only"]));

    // What the application has come to need stays, with a word.
    adopt(&app);
    app.sql("CREATE VIEW mine AS SELECT * FROM foods WHERE user_id = auth.uid()");
    let said = leave(&app);
    assert!(said.contains("Left as it is: the function auth.uid()") && said.contains("the schema auth"), "{said}");
    assert_eq!(cluster.roles(), before.0);
}

#[test]
fn a_role_that_was_there_stays_with_what_it_could_do() {
    let cluster = Cluster::start();
    let app = Application::of_an_ordinary_owner_on(&cluster, 1);
    let owner = app.sql("SELECT current_user");
    let administrator = cluster.url(app.url.rsplit_once('/').expect("a database").1);
    postgres::psql(
        &administrator,
        &format!(
            "CREATE ROLE ryzed_daemon NOLOGIN; GRANT ryzed_daemon TO {owner}; GRANT SELECT ON comments TO ryzed_daemon"
        ),
    )
    .expect("what an administrator does beforehand");
    let before = everything(&cluster, &app);
    adopt(&app);
    leave(&app);
    assert!(everything(&cluster, &app) == before, "{}\n{}", cluster.roles(), before.0);
}

#[test]
fn leaving_that_was_killed_has_done_nothing() {
    let cluster = Cluster::start();
    let app = Application::on(&cluster, 1);
    let before = everything(&cluster, &app);
    adopt(&app);
    let adopted = everything(&cluster, &app);
    let reading = beside(&app, "BEGIN; SELECT count(*) FROM exercise_sets; SELECT pg_sleep(600)");
    wait_for_session(&app, "query LIKE '%pg_sleep(600)%' AND wait_event = 'PgSleep'");
    let mut leaving = app.start(&["adopt", "--undo"]);
    wait_until("a word about the wait", || app.has_said().contains("waiting for transactions of others"));
    leaving.kill().expect("SIGKILL");
    leaving.wait().expect("an end");
    wait_until("the end of its session", || {
        app.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'ryzed adopt'") == "0"
    });
    assert!(everything(&cluster, &app) == adopted, "half of it is gone");
    app.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid()");
    let _ = reading.join();
    leave(&app);
    assert!(everything(&cluster, &app) == before);
}
