use diesel_async::AsyncPgConnection;
use ryzed_tests::postgres::{new_database, psql};

use super::super::migrate::{self, Migrations};
use super::super::turn;
use super::*;

/// What the text is known by. Whoever changes it raises the number and writes the new digest here: else databases of a release
/// that has the number already would keep their functions.
const RELEASED: (u32, &str) = (1, "3bdd3b368b54e291");

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
