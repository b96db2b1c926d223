//! Frequent queries cost the same whatever the size of the database, and the counts that are kept up as rows come and
//! go are right.

use std::collections::BTreeMap;
use std::sync::Arc;

use diesel::connection::SimpleConnection;
use diesel::debug_query;
use diesel::query_builder::{QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Text};
use diesel::sqlite::{Sqlite, SqliteConnection};
use diesel::{QueryableByName, RunQueryDsl};
use ryzed_adapters::Registry;
use uuid::Uuid;

use super::reads;
use super::{SqliteSettings, SqliteStore, connect, sums};
use crate::store::Stay;
use crate::store::decode::{Sums, SumsTuple, digest_of};
use crate::store::statement::statement;
use crate::sync::digest::TableDigest;
use crate::sync::{Scope, UserId};

const MANY: i64 = 100_000;

fn migrated() -> (tempfile::TempDir, SqliteConnection) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ryzed.db");
    let settings = SqliteSettings { path: path.clone(), durable: false, readers: 1, stay: Stay::Keeper };
    drop(SqliteStore::open(&settings, Arc::new(Registry::standard()), Arc::new(|| {})).unwrap());
    let connection = connect(&path, false).unwrap();
    (folder, connection)
}

/// Numbers from 1 on, as a table `n`.
fn many(insert: &str) -> String {
    format!("WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {MANY}) {insert};")
}

fn number(connection: &mut SqliteConnection, sql: &str) -> i64 {
    statement::<BigInt>(sql).load(connection).unwrap()[0]
}

#[derive(QueryableByName)]
struct Step {
    #[diesel(sql_type = Text)]
    detail: String,
}

/// The tables that a statement reads from end to end.
fn scanned<Q: QueryFragment<Sqlite> + QueryId>(connection: &mut SqliteConnection, query: &Q) -> Vec<String> {
    let text = debug_query::<Sqlite, _>(query).to_string();
    let sql = text.rsplit_once(" -- binds").map_or(text.as_str(), |(sql, _)| sql);
    let steps: Vec<Step> = diesel::sql_query(format!("EXPLAIN QUERY PLAN {sql}")).load(connection).unwrap();
    assert!(!steps.is_empty());
    steps.into_iter().map(|step| step.detail).filter(|detail| detail.starts_with("SCAN sync_")).collect()
}

#[test]
fn nothing_that_is_asked_all_the_time_reads_a_table_from_end_to_end() {
    let (_folder, mut connection) = migrated();
    let fill = [
        "INSERT INTO sync_scopes SELECT 'user:' || n, n, 0, '2026-01-01T00:00:00.000000Z' FROM n",
        "INSERT INTO sync_devices (user_id, device_id, first_seen, last_seen) SELECT n, 'phone', '2026', '2026' FROM n",
        "INSERT INTO sync_receipts SELECT n % 100, n, '{}', '2026' FROM n",
    ];
    connection.batch_execute(&fill.map(many).concat()).unwrap();
    connection.batch_execute("ANALYZE").unwrap();
    let (user, scope, id) = (UserId(Uuid::nil()), Scope::User(UserId(Uuid::nil())), Uuid::nil());
    let height = statement::<BigInt>("SELECT count FROM sync_counts WHERE kind = 'versions' AND whose = ''");
    let looked = [
        scanned(&mut connection, &height),
        scanned(&mut connection, &reads::count_devices(None)),
        scanned(&mut connection, &reads::count_devices(Some("x"))),
        scanned(&mut connection, &reads::scopes(&[scope, Scope::Global])),
        scanned(&mut connection, &reads::receipts(&[(user, vec![id])])),
        scanned(&mut connection, &reads::all_entries(&[(scope, 0)])),
        scanned(&mut connection, &reads::records(&[(scope, 0)], -1)),
        scanned(&mut connection, &reads::version_before(scope, "2026")),
        scanned(&mut connection, &reads::count_after(scope, 0, 10)),
        scanned(&mut connection, &sums::of(&[scope, Scope::Global])),
        scanned(&mut connection, &super::open::open_page(user, "x", 10)),
        scanned(&mut connection, &super::open::open_stand(user)),
        scanned(&mut connection, &super::open::conflicts_at(user, &["x".into()])),
        scanned(&mut connection, &super::open::conflicts_with_parts(user)),
    ];
    assert_eq!(looked.concat(), Vec::<String>::new());
}

#[test]
fn the_last_version_before_a_time_is_found_by_halves() {
    let (_folder, mut connection) = migrated();
    // Times that repeat, and versions with holes.
    connection
        .batch_execute(&many(
            "INSERT INTO sync_changes (table_name, row_id, scope, version, operation, changed_at) \
             SELECT 'foods', n, 'user:00000000-0000-0000-0000-000000000000', 3 * n, 'INSERT', printf('%08d', n / 7) FROM n",
        ))
        .unwrap();
    let scope = Scope::User(UserId(Uuid::nil()));
    for at in [0, 1, 2, 70, 9_999, 14_285, 20_000] {
        let time = format!("{at:08}");
        let found: Vec<i64> = reads::version_before(scope, &time).load(&mut connection).unwrap();
        let all = format!(
            "SELECT coalesce(max(version), 0) FROM sync_changes WHERE scope <> 'global' AND changed_at < '{time}'"
        );
        assert_eq!(found, [number(&mut connection, &all)], "{time}");
    }
    let nobody: Vec<i64> =
        reads::version_before(Scope::User(UserId(Uuid::max())), "2026").load(&mut connection).unwrap();
    assert_eq!(nobody, [0]);
    let after: Vec<i64> = reads::count_after(scope, 30, 5).load(&mut connection).unwrap();
    assert_eq!(after, [5]);
}

#[test]
fn kept_counts_are_what_counting_would_find() {
    let (_folder, mut connection) = migrated();
    for done in [
        "INSERT INTO sync_devices (user_id, device_id, first_seen, last_seen) VALUES ('a', 'x', '', ''), ('a', 'y', '', '')",
        "INSERT INTO sync_devices (user_id, device_id, first_seen, last_seen, revoked_at) VALUES ('b', 'x', '', '', '2026')",
        "UPDATE sync_devices SET revoked_at = '2026' WHERE user_id = 'a' AND device_id = 'x'",
        "UPDATE sync_devices SET revoked_at = NULL WHERE user_id = 'b'",
        "UPDATE sync_devices SET last_seen = '2027'",
        "DELETE FROM sync_devices WHERE device_id = 'x'",
        "INSERT INTO sync_scopes VALUES ('user:a', 5, 0, '')",
        "UPDATE sync_scopes SET version = version + 2",
        "UPDATE sync_scopes SET floor = 1",
        "DELETE FROM sync_scopes WHERE scope = 'user:a'",
        "INSERT INTO users (id, email, created_at, updated_at) VALUES ('c', NULL, '2026', '2026')",
    ] {
        connection.batch_execute(done).unwrap();
        for (kind, counting) in [
            ("devices", "SELECT count(*) FROM sync_devices WHERE revoked_at IS NULL"),
            ("versions", "SELECT coalesce(sum(version), 0) FROM sync_scopes"),
        ] {
            let kept = number(&mut connection, &format!("SELECT sum(count) FROM sync_counts WHERE kind = '{kind}'"));
            assert_eq!(kept, number(&mut connection, counting), "{kind} after {done}");
        }
    }
}

/// The digests of the live entries as the core computes them, by scope and table.
fn added_up(connection: &mut SqliteConnection) -> BTreeMap<(String, String), TableDigest> {
    let live = "SELECT scope, table_name, row_id, version FROM sync_changes WHERE operation <> 'DELETE'";
    let entries: Vec<(String, String, String, i64)> =
        statement::<(Text, Text, Text, BigInt)>(live).load(connection).unwrap();
    entries.into_iter().fold(BTreeMap::new(), |mut sums, (scope, table, id, version)| {
        let sum: &mut TableDigest = sums.entry((scope, table)).or_default();
        *sum = *sum + TableDigest::of(&id, version);
        sums
    })
}

fn kept(connection: &mut SqliteConnection) -> BTreeMap<(String, String), TableDigest> {
    let kept = "SELECT scope || ' ' || table_name, rows, version_sum, hash_p, hash_q FROM sync_sums WHERE rows <> 0";
    let sums: Vec<SumsTuple> = statement::<Sums>(kept).load(connection).unwrap();
    let named =
        |place: String| place.split_once(' ').map(|(scope, table)| (scope.to_owned(), table.to_owned())).unwrap();
    sums.into_iter().map(digest_of).map(|(place, digest)| (named(place), digest)).collect()
}

#[test]
fn what_a_digest_says_follows_whatever_is_done_to_the_index() {
    let (_folder, mut connection) = migrated();
    let id = "lower(printf('%s-%s-4%s-8%s-%s', hex(randomblob(4)), hex(randomblob(2)), substr(hex(randomblob(2)), 2), \
              substr(hex(randomblob(2)), 2), hex(randomblob(6))))";
    let entered = "INSERT INTO sync_changes (table_name, row_id, scope, version, operation, changed_at)";
    let few = "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 50)";
    let all: Vec<String> = vec![
        format!("{few} {entered} SELECT iif(n % 3, 'foods', 'recipes'), {id}, iif(n % 5, 'global', 'user:a'), n * n * n, 'INSERT', '' FROM n"),
        format!("{few} {entered} SELECT 'foods', 'food ' || n, 'global', 1000000 + n, 'INSERT', '' FROM n"),
        format!("{entered} VALUES ('foods', 'GGGG GGGG GGGG GGGG ~~~~ ~~~~ !!', 'user:a', 9000000000000000000, 'INSERT', '')"),
        format!("{entered} VALUES ('foods', 'été été été été été été été été ', 'user:a', 5000000000, 'INSERT', ''), ('foods', '', 'user:a', 0, 'INSERT', '')"),
        format!("{few} {entered} SELECT 'foods', {id}, 'user:b', n, 'DELETE', '' FROM n"),
        "UPDATE sync_changes SET version = version + 3000000 WHERE table_name = 'foods' AND scope = 'global'".into(),
        "UPDATE sync_changes SET previous = '{\"a\":1}'".into(),
        "UPDATE sync_changes SET operation = 'DELETE' WHERE version % 2".into(),
        "UPDATE sync_changes SET operation = 'UPDATE', version = version + 100 WHERE scope = 'user:b' AND version % 3".into(),
        "UPDATE sync_changes SET scope = 'user:c' WHERE scope = 'user:a'".into(),
        "UPDATE sync_changes SET row_id = upper(row_id), operation = iif(version % 2, 'DELETE', 'INSERT') WHERE scope = 'user:c'".into(),
        "UPDATE sync_changes SET table_name = 'recipes' WHERE scope = 'user:b'".into(),
        "DELETE FROM sync_changes WHERE version % 7 = 0".into(),
        "INSERT INTO users (id, email, created_at, updated_at) VALUES ('7b0c1c1e-0d3f-4b8e-9a51-2f6f3f1f8a10', NULL, '2026', '2026')".into(),
        "UPDATE users SET name = 'Ada'".into(),
        "INSERT OR REPLACE INTO users (id, name, created_at, updated_at) VALUES ('7b0c1c1e-0d3f-4b8e-9a51-2f6f3f1f8a10', 'Eve', '2026', '2026')".into(),
        "DELETE FROM users".into(),
        "DELETE FROM sync_changes".into(),
    ];
    let scopes = r#"["global","user:a","user:b","user:c","user:7b0c1c1e-0d3f-4b8e-9a51-2f6f3f1f8a10"]"#;
    for done in &all {
        connection.batch_execute(done).unwrap();
        assert_eq!(kept(&mut connection), added_up(&mut connection), "after {done}");
        let found: Vec<String> = statement::<Text>(&sums::miscounted()).text(scopes).load(&mut connection).unwrap();
        assert_eq!(found, Vec::<String>::new(), "after {done}");
    }
    assert_eq!(kept(&mut connection).len(), 0);
}

#[test]
fn triggers_on_the_index_that_are_gone_are_put_up_and_all_of_it_is_counted() {
    let (_folder, mut connection) = migrated();
    let entered = "INSERT INTO sync_changes (table_name, row_id, scope, version, operation, changed_at) \
                   SELECT 'foods', printf('0d3c1c52-7f6c-4d9f-9d4b-%012x', n), 'user:a', n, iif(n % 4, 'INSERT', 'DELETE'), '' FROM n";
    connection.batch_execute("DROP TRIGGER count_changes_insert").unwrap();
    connection.batch_execute(&many(entered)).unwrap();
    assert_eq!(kept(&mut connection).len(), 0);
    let found: Vec<String> =
        statement::<Text>(&sums::miscounted()).text(r#"["user:a"]"#).load(&mut connection).unwrap();
    assert_eq!(found, ["foods"]);
    assert!(sums::stand(&mut connection).unwrap());
    assert!(!sums::stand(&mut connection).unwrap());
    assert_eq!(kept(&mut connection), added_up(&mut connection));
    connection.batch_execute("UPDATE sync_sums SET hash_p = hash_p + 1").unwrap();
    for sql in sums::recount() {
        statement::<()>(&sql).text(r#"["user:a"]"#).execute(&mut connection).unwrap();
    }
    assert_eq!(kept(&mut connection), added_up(&mut connection));
}
