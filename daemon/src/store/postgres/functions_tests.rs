use std::sync::Arc;

use diesel_async::AsyncPgConnection;
use ryzed_adapters::Registry;
use ryzed_tests::postgres::{new_database, psql};

use super::super::migrate::{self, Migrations};
use super::super::{PostgresSettings, PostgresStore, turn};
use super::*;
use crate::store::{Stay, Store};

/// What the text is known by. Whoever changes it raises the number and writes the new digest here: else databases of a release
/// that has the number already would keep their functions.
const RELEASED: (u32, &str) = (3, "44481d335fc8da97");

#[test]
fn another_text_has_a_higher_number() {
    assert_eq!((NUMBER, &digest(TEXT)[..16]), RELEASED);
}

async fn opened(url: &str) -> AsyncPgConnection {
    let mut connection = migrate::open(url).await.expect("a connection");
    turn::take(&mut connection).await.expect("the lock");
    connection
}

async fn up_to_date(url: &str, is_adopted: bool) -> AsyncPgConnection {
    migrate::migrated(opened(url).await, Migrations { is_adopted }).await.expect("migrated")
}

/// What stands is the text, whatever stood before: as the note says, and as a database has it that got nothing else.
async fn is_the_text(connection: &mut AsyncPgConnection) {
    let installed = noted(connection).await.expect("a note").expect("one");
    let standing = found(connection).await.expect("the catalogue");
    assert_eq!(changed(&installed.functions, &standing), Vec::<String>::new());
    assert_eq!((installed.number, installed.text), (NUMBER, digest(TEXT)));
    let mut named: Vec<&str> = standing.keys().filter_map(|function| function.split('(').next()).collect();
    named.sort_unstable();
    let mut written: Vec<&str> = names().collect();
    written.sort_unstable();
    assert_eq!(named, written, "one function of each name");
    let url = new_database();
    let mut fresh = up_to_date(&url, false).await;
    assert_eq!(found(&mut fresh).await.expect("the catalogue"), standing);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_database_has_the_functions_of_the_text_after_a_start() {
    for is_adopted in [false, true] {
        let url = new_database();
        let mut connection = up_to_date(&url, is_adopted).await;
        is_the_text(&mut connection).await;
        // A database of the last release has functions by migrations alone, and no note.
        let before = noted(&mut connection).await.expect("a note");
        let earlier = "DELETE FROM ryzed.meta WHERE key = 'functions'; CREATE OR REPLACE FUNCTION ryzed.hold(wanted text[]) \
            RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN END $$; GRANT EXECUTE ON FUNCTION ryzed.hold(text[]) TO PUBLIC; \
            REVOKE ALL ON FUNCTION ryzed.touch(text[], timestamptz) FROM ryzed_daemon; DROP FUNCTION ryzed.mend(text, boolean, xid8)";
        psql(&url, earlier).expect("functions of before");
        drop(connection);
        let mut connection = up_to_date(&url, is_adopted).await;
        is_the_text(&mut connection).await;
        assert_eq!(noted(&mut connection).await.expect("a note"), before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_was_changed_by_hand_is_put_back() {
    let url = new_database();
    drop(up_to_date(&url, false).await);
    for change in [
        "CREATE OR REPLACE FUNCTION ryzed.hold_own() RETURNS void LANGUAGE plpgsql AS $$ BEGIN END $$",
        "ALTER FUNCTION ryzed.record() RESET ALL",
        "ALTER FUNCTION ryzed.book(text, uuid[], text[], text[], jsonb[], text[]) SECURITY DEFINER",
        "GRANT EXECUTE ON FUNCTION ryzed.stop(text) TO PUBLIC",
        "DROP FUNCTION ryzed.owner_of(text, uuid)",
    ] {
        psql(&url, change).expect("a change");
        let mut connection = up_to_date(&url, false).await;
        is_the_text(&mut connection).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_release_leaves_the_functions_of_a_later_one() {
    let url = new_database();
    let mut connection = up_to_date(&url, false).await;
    let mut later = noted(&mut connection).await.expect("a note").expect("one");
    drop(connection);
    later.number += 1;
    let note = serde_json::to_string(&later).expect("JSON");
    psql(&url, &format!("UPDATE ryzed.meta SET value = {} WHERE key = 'functions'", escaped(&note))).expect("a note");
    psql(
        &url,
        "CREATE OR REPLACE FUNCTION ryzed.stop(of_table text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN NULL; END $$",
    )
    .expect("a later function");
    let mut connection = up_to_date(&url, false).await;
    let standing = found(&mut connection).await.expect("the catalogue");
    assert_eq!(changed(&later.functions, &standing), ["stop(text)"]);
    assert_eq!(noted(&mut connection).await.expect("a note"), Some(later));
    assert!(are_new_enough(&mut connection).await.expect("an answer"));
}

/// Changes to rows 1 and 2 of a person and of the catalogue: with `each`, a statement a row, else one for all.
fn changes(whose: u8, each: bool) -> String {
    let id = |n: u8| format!("'00000000-0000-4000-8000-0000000000{whose}{n}'");
    let rows: &[&[u8]] = if each { &[&[1], &[2]] } else { &[&[1, 2]] };
    let of = |rows: &[u8]| rows.iter().map(|row| id(*row)).collect::<Vec<_>>().join(", ");
    let user = id(0);
    let mut sql = format!("SET ryzed.counted = 'yes'; INSERT INTO users (id) VALUES ({user})");
    let mut all = |statement: &dyn Fn(&str) -> String| {
        rows.iter().for_each(|rows| sql += &format!("; {}", statement(&of(rows))));
    };
    let brought = |table: &str, columns: &str, values: &str, ids: &str| {
        format!(
            "INSERT INTO {table} (id, {columns}) SELECT i::uuid, {values} FROM unnest(ARRAY[{ids}]) i ON CONFLICT (id) DO UPDATE SET id = excluded.id"
        )
    };
    all(&|ids| brought("food_entries", "user_id, quantity, consumed_at", &format!("{user}, 1, '2026-01-01'"), ids));
    all(&|ids| format!("UPDATE food_entries SET quantity = quantity + 1, unit = 'ml' WHERE id IN ({ids})"));
    all(&|ids| format!("UPDATE food_entries SET quantity = quantity WHERE id IN ({ids})"));
    all(&|ids| format!("UPDATE food_entries SET quantity = 5 WHERE id IN ({ids})"));
    all(&|ids| format!("DELETE FROM food_entries WHERE id IN ({ids})"));
    all(&|ids| brought("food_entries", "user_id, quantity, consumed_at", &format!("{user}, 1, '2026-01-01'"), ids));
    all(&|ids| brought("workout_sessions", "user_id, name, start_time", &format!("{user}, 'a', '2026-01-01'"), ids));
    all(&|ids| brought("workout_exercises", "session_id", &id(1), ids));
    all(&|ids| format!("UPDATE workout_exercises SET order_index = 3 WHERE id IN ({ids})"));
    all(&|ids| format!("UPDATE workout_exercises SET session_id = {} WHERE id IN ({ids})", id(2)));
    all(&|ids| brought("foods", "user_id, name_en, name_fr, calories", &format!("{user}, 'a', 'a', 1"), ids));
    all(&|ids| format!("UPDATE foods SET name_en = 'b', category = 'c' WHERE id IN ({ids})"));
    sql
}

#[tokio::test(flavor = "multi_thread")]
async fn one_row_is_booked_as_many_are() {
    let url = new_database();
    let settings = PostgresSettings { url: url.clone(), connections: 1, stay: Stay::Keeper };
    let adapters = Arc::new(Registry::standard());
    let store = PostgresStore::open(&settings, &adapters, None, Arc::new(|| {})).await.expect("a database");
    store.close().await;
    psql(&url, &changes(1, true)).expect("changes");
    psql(&url, &changes(2, false)).expect("changes");
    let booked = |whose: u8| {
        let scope = format!("user:00000000-0000-4000-8000-0000000000{whose}0");
        let entries = format!(
            "SELECT string_agg(concat_ws(' ', c.version, c.table_name, right(c.row_id::text, 1), c.operation, c.source_device, \
             c.field_versions, regexp_replace((c.previous - 'updated_at')::text, '0{whose}([0-9])', '0?\\1', 'g')), E'\n' ORDER BY c.version) \
             FROM ryzed.changes c WHERE c.scope = '{scope}'"
        );
        let sums = format!(
            "SELECT string_agg(concat_ws(' ', s.table_name, s.rows, s.version_sum), E'\n' ORDER BY s.table_name) FROM ryzed.sums s \
             WHERE s.scope = '{scope}'"
        );
        (psql(&url, &entries).expect("entries"), psql(&url, &sums).expect("sums"))
    };
    let (one, many) = (booked(1), booked(2));
    assert!(one.0.lines().count() > 8, "{}", one.0);
    assert_eq!(one, many);
    let wrong = "SELECT count(*) FROM ryzed.sums s FULL JOIN ryzed.count_scopes(NULL) c USING (scope, table_name) \
        WHERE (s.rows, s.version_sum, s.hash_p, s.hash_q) IS DISTINCT FROM (c.rows, c.version_sum, c.hash_p, c.hash_q) AND s.rows <> 0";
    assert_eq!(psql(&url, wrong).expect("an answer"), "0");
}
