//! Raw SQL as the daemon's role, with one person's claims: what is another's is neither read nor written.

use ryzed_tests::postgres::psql;
use ryzed_tests::rows::{TABLES, row, workout_session};
use ryzed_tests::{Account, insert, update};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::postgres::{DEAF, daemon, entry, met, sql};

/// The result of raw SQL as the daemon's role, with one person's claims.
fn as_the_daemon(me: &Account, statement: &str) -> Result<String, String> {
    let claims = json!({"sub": me.person.id, "role": "authenticated"});
    let url = DEAF.database_url();
    psql(
        url,
        &format!(
            "BEGIN; SET LOCAL ROLE ryzed_daemon; SELECT set_config('request.jwt.claims', '{claims}', true) \\gset\n\
             {statement}; COMMIT"
        ),
    )
}

#[tokio::test]
async fn the_daemons_role_owns_nothing_and_cant_get_round_policies() {
    assert_eq!(sql("SELECT rolsuper OR rolbypassrls OR rolcanlogin FROM pg_roles WHERE rolname = 'ryzed_daemon'"), "f");
    let owned = "SELECT count(*) FROM pg_class WHERE relowner = 'ryzed_daemon'::regrole";
    assert_eq!(sql(owned), "0");
    let unguarded = "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
        WHERE c.relkind = 'r' AND NOT c.relrowsecurity AND c.relname NOT LIKE '%diesel%' AND n.nspname IN ('public', 'ryzed')";
    assert_eq!(sql(unguarded), "0", "a table without row level security");
}

/// A row in each synced table, in the order of the tables.
fn one_of_each() -> Vec<(&'static str, Value)> {
    let parents = [
        ("workout_exercises", "session_id", "workout_sessions"),
        ("exercise_sets", "workout_exercise_id", "workout_exercises"),
        ("workout_template_exercises", "template_id", "workout_templates"),
        ("location_points", "cardio_session_id", "cardio_sessions"),
    ];
    let mut rows: Vec<(&str, Value)> = Vec::new();
    for table in TABLES.into_iter().filter(|table| *table != "users") {
        let with = parents.iter().filter(|(child, ..)| *child == table).map(|(_, column, parent)| {
            let above = rows.iter().find(|(table, _)| table == parent).expect("a parent");
            ((*column).to_owned(), above.1["id"].clone())
        });
        let with = Value::Object(with.collect());
        rows.push((table, row(table, with)));
    }
    rows
}

#[tokio::test]
async fn with_another_persons_claims_no_row_is_read() {
    let daemon = daemon();
    let (me, other) = (met(daemon).await, met(daemon).await);
    let rows = one_of_each();
    let changes: Vec<_> = rows.iter().map(|(table, row)| insert(table, row)).collect();
    let results = other.push(changes).await["results"].clone();
    assert!(results.as_array().expect("results").iter().all(|result| result["status"] == "applied"), "{results}");
    // An open conflict, and a device that is connected.
    let (table, row) = &rows[0];
    other.push([update(table, &row["id"], json!({"name_en": "Medlar"})).strategy("manual")]).await;
    let _tablet = other.socket("tablet").await;

    let theirs = other.person.id;
    let scope = format!("scope = 'user:{theirs}'");
    let synced = sql("SELECT table_name || ' ' || relation FROM ryzed.tables ORDER BY 1");
    let mut hidden: Vec<(String, String)> = synced
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(table, relation)| {
            let ids = sql(&format!("SELECT row_id FROM ryzed.changes WHERE table_name = '{table}' AND {scope}"));
            (relation.to_owned(), format!("id = ANY ('{{{}}}')", ids.replace('\n', ",")))
        })
        .collect();
    assert_eq!(hidden.len(), TABLES.len());
    hidden.extend(["changes", "scopes", "sums"].map(|table| (format!("ryzed.{table}"), scope.clone())));
    let personal = "SELECT table_name FROM information_schema.columns WHERE table_schema = 'ryzed' AND column_name = 'user_id' ORDER BY 1";
    let personal = sql(personal);
    assert_eq!(personal, "conflicts\ndevices\npresence\nreceipts\ntokens");
    hidden.extend(personal.lines().map(|table| (format!("ryzed.{table}"), format!("user_id = '{theirs}'"))));
    for (table, whose) in hidden {
        let count = format!("SELECT count(*) FROM {table} WHERE {whose}");
        assert_ne!(sql(&count), "0", "{table} has something to hide");
        assert_eq!(as_the_daemon(&me, &count).expect("an answer"), "0", "{table}");
        // Who is connected where is the daemon's own.
        if table != "ryzed.presence" {
            assert_ne!(as_the_daemon(&other, &count).expect("an answer"), "0", "{table} hides a person's own");
        }
    }
    assert_eq!(as_the_daemon(&me, "SELECT auth.uid()").expect("an answer"), me.person.id.to_string());
    let nobodys = "SELECT relname FROM pg_class WHERE relnamespace = 'ryzed'::regnamespace AND relkind = 'r' \
        AND relname NOT IN ('changes', 'scopes', 'sums', 'conflicts', 'devices', 'presence', 'receipts', 'tokens')";
    for table in sql(nobodys).lines() {
        let read = as_the_daemon(&me, &format!("SELECT * FROM ryzed.{table}"));
        assert!(
            read.as_ref().is_err_and(|error| error.contains("permission denied")) || read.as_deref() == Ok(""),
            "{table}: {read:?}"
        );
    }
}

#[tokio::test]
async fn with_another_persons_claims_no_row_is_written() {
    let daemon = daemon();
    let (me, other) = (met(daemon).await, met(daemon).await);
    let session = workout_session(json!({}));
    other.store("workout_sessions", &session).await;
    let text = |value: &Value| value.to_string().replace('"', "'");
    let (mine, theirs, id) = (me.person.id, other.person.id, text(&session["id"]));
    for statement in [
        entry(&other, 1),
        format!("INSERT INTO workout_exercises (id, session_id) VALUES (gen_random_uuid(), {id})"),
        "INSERT INTO foods (id, name_en, name_fr, calories) VALUES (gen_random_uuid(), 'a', 'b', 1)".into(),
        format!("INSERT INTO ryzed.receipts VALUES ('{theirs}', gen_random_uuid(), '{{}}', now())"),
        format!(
            "INSERT INTO ryzed.devices (user_id, device_id, first_seen, last_seen) VALUES ('{theirs}', 'x', now(), now())"
        ),
        format!(
            "INSERT INTO ryzed.changes (table_name, row_id, scope, version, operation, changed_at) \
            VALUES ('foods', gen_random_uuid(), 'user:{mine}', 99, 'INSERT', now())"
        ),
        format!("UPDATE ryzed.scopes SET version = 99 WHERE scope = 'user:{mine}'"),
        "DELETE FROM ryzed.changes".into(),
        format!(
            "SELECT ryzed.book('foods', ARRAY[gen_random_uuid()], ARRAY['user:{theirs}'], ARRAY['INSERT'], NULL, '{{}}')"
        ),
        "SELECT ryzed.prune_tombstones(now(), 1000)".into(),
        "ALTER TABLE foods DISABLE ROW LEVEL SECURITY".into(),
    ] {
        let refused = as_the_daemon(&me, &statement).expect_err(&statement);
        let words = ["row-level security", "permission denied", "must be owner", "only the daemon"];
        assert!(words.iter().any(|words| refused.contains(words)), "{refused}");
    }
    for statement in [
        format!("UPDATE workout_sessions SET name = 'mine' WHERE id = {id} RETURNING id"),
        format!("DELETE FROM workout_sessions WHERE id = {id} RETURNING id"),
        format!("DELETE FROM ryzed.receipts WHERE user_id = '{theirs}' RETURNING user_id"),
        format!("UPDATE ryzed.devices SET name = 'x' WHERE user_id = '{theirs}' RETURNING user_id"),
    ] {
        assert_eq!(as_the_daemon(&me, &statement).expect("an answer"), "", "{statement}");
    }
    // Nobody's times are pushed, and one's own not beyond the clock.
    let of = |person: Uuid| sql(&format!("SELECT changed_at FROM ryzed.scopes WHERE scope = 'user:{person}'"));
    let before = of(theirs);
    let touch =
        format!("SELECT ryzed.touch(ARRAY['user:{mine}', 'user:{theirs}', 'global'], now() + interval '1 year')");
    as_the_daemon(&me, &touch).expect("an answer");
    assert_eq!(of(theirs), before, "another person's time was pushed");
    assert_eq!(sql("SELECT count(*) FROM ryzed.scopes WHERE changed_at > clock_timestamp()"), "0");
    let stolen = as_the_daemon(&other, &format!("UPDATE workout_sessions SET user_id = '{mine}' WHERE id = {id}"));
    assert!(stolen.expect_err("a row given away").contains("row-level security"));
    assert_eq!(other.row("workout_sessions", &session["id"]).await.expect("the row")["name"], session["name"]);
}
