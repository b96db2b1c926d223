//! The database server refuses for a while: what passes by itself is tried again, what does not is a 503 that says when to come
//! back, and over a socket an error with which the change stays on the device. Errors that can't be provoked are raised by a
//! trigger of the story, with the server's own code and words.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use ryzed_tests::postgres::{Cluster, psql};
use ryzed_tests::rows::{food_entry, workout_session};
use ryzed_tests::{Account, Daemon, Database, Session, insert, update};
use serde_json::{Value, json};

static CLUSTER: LazyLock<Cluster> = LazyLock::new(Cluster::start);

/// Raises what the table `faults` holds for an entry's `unit`, as many times as it says; sequences count on through rollbacks.
const FAULTY: &str = "
    CREATE TABLE public.faults (unit text PRIMARY KEY, code text, words text, times bigint);
    CREATE SEQUENCE public.tries;
    CREATE FUNCTION public.fail() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    DECLARE
        fault public.faults;
    BEGIN
        SELECT * INTO fault FROM public.faults f WHERE f.unit = NEW.unit;
        IF fault.unit IS NOT NULL AND nextval('public.tries') <= fault.times THEN
            IF fault.code = 'kill' THEN
                PERFORM pg_terminate_backend(pg_backend_pid());
                PERFORM pg_sleep(5);
            END IF;
            RAISE EXCEPTION USING ERRCODE = fault.code, MESSAGE = fault.words;
        END IF;
        RETURN NEW;
    END $$;
    CREATE TRIGGER fail BEFORE INSERT OR UPDATE ON public.food_entries FOR EACH ROW EXECUTE FUNCTION public.fail()";

/// Errors of the server, and the daemon's reaction: `true` when the same may succeed at once.
const ERRORS: [(&str, &str, bool); 13] = [
    ("40001", "could not serialize access due to concurrent update", true),
    ("40P01", "deadlock detected", true),
    ("kill", "", true),
    ("57P01", "terminating connection due to administrator command", true),
    ("57P02", "terminating connection because of crash of another server process", true),
    ("25P03", "terminating connection due to idle-in-transaction timeout", true),
    ("0A000", "cached plan must not change result type", true),
    ("25006", "cannot execute INSERT in a read-only transaction", true),
    ("57014", "canceling statement due to statement timeout", false),
    ("55P03", "canceling statement due to lock timeout", true),
    ("53100", "could not extend file \"base/16384/16385\": No space left on device", false),
    ("53200", "out of memory", false),
    ("53300", "sorry, too many clients already", false),
];

fn house(setting: impl FnOnce(ryzed_tests::Builder) -> ryzed_tests::Builder) -> (Daemon, Account) {
    let daemon = setting(Daemon::builder().env("RYZED_DATABASE__URL", CLUSTER.new_database())).start();
    let me = daemon.account();
    (daemon, me)
}

/// The trigger raises this error so many times from now on.
fn break_with(database: &Database, (code, words): (&str, &str), times: u64) {
    database.run(&format!(
        "DELETE FROM public.faults; INSERT INTO public.faults VALUES ('bad', '{code}', $words${words}$words$, {times}); \
         ALTER SEQUENCE public.tries RESTART"
    ));
}

fn bad_entry() -> Value {
    food_entry(json!({"unit": "bad"}))
}

fn push_of(row: &Value) -> Value {
    json!({"device_id": "phone", "tables": ["users"], "changes": [insert("food_entries", row).json()]})
}

/// The answer is a 503 as it should be; what it says.
fn unavailable(answer: &ryzed_tests::api::Answer) -> Value {
    let problem = answer.problem(&[503]);
    assert!(answer.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds > 0), "no Retry-After: {problem}");
    assert_eq!(problem["type"], "/problems/unavailable");
    problem
}

#[tokio::test]
async fn what_passes_by_itself_is_tried_again_and_what_does_not_is_put_off() {
    let (daemon, me) = house(|builder| builder);
    let database = daemon.database();
    database.run(FAULTY);
    me.push([]).await;
    let mut tablet = me.socket("tablet").await;
    for (code, words, passes) in ERRORS {
        let row = bad_entry();
        break_with(&database, (code, words), 1);
        if passes {
            me.store("food_entries", &row).await;
            assert_eq!(tablet.next("data_updated").await["data"]["id"], row["id"], "{code}");
            continue;
        }
        let cursor = me.cursor().await;
        let body = push_of(&row);
        let problem = unavailable(&me.api.post("/sync", &body).await);
        assert!(!problem.to_string().contains(words), "the database's words left the house: {problem}");
        // Nothing of it is there or was told, and the same again goes well.
        assert_eq!(database.run(&format!("SELECT count(*) FROM food_entries WHERE id = {}", quoted(&row["id"]))), "0");
        assert_eq!(me.cursor().await, cursor, "{code}: a version of nothing");
        tablet.fence().await;
        assert!(tablet.received("data_updated").is_empty(), "{code}: what was rolled back was delivered");
        assert_eq!(me.api.post("/sync", &body).await.ok()["results"][0]["status"], "applied", "{code}");
        assert_eq!(tablet.next("data_updated").await["data"]["id"], row["id"], "{code}");
    }
    assert_eq!(me.rows("food_entries").await.len(), ERRORS.len());
    // A full disk alone is the operator's.
    let log = daemon.log();
    let mut errors = log.lines().filter(|line| line.contains("ERROR"));
    assert!(errors.all(|line| line.contains("the disk of the database is full")), "{log}");
}

#[tokio::test]
async fn what_never_passes_is_given_up_in_time() {
    let (daemon, me) = house(|builder| builder);
    daemon.database().run(FAULTY);
    me.push([]).await;
    for (code, words, _) in ERRORS {
        break_with(&daemon.database(), (code, words), 1000);
        let begun = Instant::now();
        let body = push_of(&bad_entry());
        let answer = me.api.post("/sync", &body).await;
        assert_eq!(answer.status, 503, "{code}: {}", daemon.log());
        unavailable(&answer);
        assert!(begun.elapsed() < Duration::from_secs(10), "{code} took {:?}", begun.elapsed());
        let tries: u64 = daemon.database().run("SELECT last_value FROM public.tries").parse().expect("a number");
        assert!(tries <= 6, "{code} was tried {tries} times");
        // Others are served meanwhile.
        me.store("food_entries", &food_entry(json!({}))).await;
    }
    let lines = daemon.log().lines().filter(|line| line.contains("can't serve")).count();
    assert!((1..=3).contains(&lines), "{lines} lines:\n{}", daemon.log());
}

#[tokio::test]
async fn over_a_socket_the_change_stays_with_the_device() {
    let (daemon, me) = house(|builder| builder);
    daemon.database().run(FAULTY);
    me.push([]).await;
    let mut phone = me.socket("phone").await;
    let mut tablet = me.socket("tablet").await;
    let row = bad_entry();
    let change = insert("food_entries", &row);
    break_with(&daemon.database(), ("53100", "could not extend file \"x\": No space left on device"), 2);
    for _ in 0..2 {
        phone.send(change.message()).await;
        let error = phone.next("error").await;
        assert_eq!((&error["code"], &error["mutation_id"]), (&json!("unavailable"), &change.id()), "{error}");
        assert!(error["detail"].as_str().is_some_and(|text| text.contains("try again")), "{error}");
    }
    phone.send(change.message()).await;
    assert_eq!(phone.next("change_result").await["status"], "applied");
    assert_eq!(tablet.next("data_updated").await["data"]["id"], row["id"]);

    break_with(&daemon.database(), ("57014", "canceling statement due to statement timeout"), 1);
    let body = json!({"type": "sync", "request_id": "r1", "changes": [insert("food_entries", &bad_entry()).json()]});
    phone.send(body).await;
    let error = phone.next("error").await;
    assert_eq!((&error["code"], &error["request_id"]), (&json!("unavailable"), &json!("r1")), "{error}");
}

#[tokio::test]
async fn a_transaction_from_outside_that_locks_the_other_way_round_costs_a_push_nothing_but_time() {
    let (daemon, me) = house(|builder| builder.env("RYZED_LOG__LEVEL", "ryzed=debug"));
    let row = food_entry(json!({"quantity": 1}));
    let version = me.store("food_entries", &row).await;
    let database = daemon.database();
    // It holds the row and then wants the scope; the push holds the scope and then wants the row. It is in no hurry to look for
    // deadlocks, so that the push is the one that is sent back.
    let outside = format!(
        "SET deadlock_timeout = '20s'; BEGIN; SELECT 1 FROM food_entries WHERE id = {} FOR UPDATE",
        quoted(&row["id"])
    );
    let locking = Session::that(daemon.database_url(), &outside).await;
    let pushing = tokio::spawn({
        let (me, change) = (me.clone(), update("food_entries", &row["id"], json!({"quantity": 3})).base(&version));
        async move { me.apply(change).await }
    });
    locking.is_waited_for_by(1).await;
    locking
        .run(&format!(
            "INSERT INTO food_entries (id, user_id, quantity, consumed_at) \
             VALUES (gen_random_uuid(), '{}', 2, now()); COMMIT",
            me.person.id
        ))
        .await;
    pushing.await.expect("a push");
    assert!(daemon.log().contains("begun again"), "there was no deadlock:\n{}", daemon.log());
    let mut quantities: Vec<i64> =
        me.rows("food_entries").await.iter().filter_map(|row| row["quantity"].as_i64()).collect();
    quantities.sort_unstable();
    assert_eq!(quantities, [2, 3]);
    assert!(database.is_sound());
}

#[tokio::test]
async fn a_lock_that_is_not_given_is_a_503_for_reads_and_writes() {
    let url = CLUSTER.new_database();
    let name = url.rsplit_once('/').expect("a database").1;
    psql(&url, &format!("ALTER DATABASE {name} SET lock_timeout = '300ms'")).expect("a setting");
    let daemon = Daemon::builder().env("RYZED_DATABASE__URL", &url).start();
    let me = daemon.account();
    let row = food_entry(json!({}));
    me.store("food_entries", &row).await;
    let locking = Session::that(&url, "BEGIN; LOCK TABLE food_entries").await;
    unavailable(&me.api.get("/changes?tables=food_entries").await);
    unavailable(&me.api.post("/sync", &push_of(&food_entry(json!({})))).await);
    assert_eq!(me.api.get("//livez").await.status, 200);
    locking.run("COMMIT").await;
    assert_eq!(me.rows("food_entries").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_every_connection_is_busy_callers_are_put_off_and_nobody_hangs() {
    let (daemon, me) = house(|builder| builder.env("RYZED_DATABASE__CONNECTIONS", 2));
    let slow = "CREATE FUNCTION public.slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
        IF NEW.unit = 'slow' THEN PERFORM pg_sleep(8); END IF; RETURN NEW; END $$; \
        CREATE TRIGGER slow BEFORE INSERT ON public.food_entries FOR EACH ROW EXECUTE FUNCTION public.slow()";
    daemon.database().run(slow);
    let others = [daemon.account(), daemon.account()];
    for other in &others {
        other.push([]).await;
    }
    me.push([]).await;
    let sleeping = others.clone().map(|other| {
        tokio::spawn(async move { other.store("food_entries", &food_entry(json!({"unit": "slow"}))).await })
    });
    while daemon.database().run("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") != "2" {}
    unavailable(&me.api.post("/sync", &push_of(&food_entry(json!({})))).await);
    assert_eq!(me.api.get("//livez").await.status, 200);
    assert_eq!(me.api.get("//readyz").await.status, 200, "the database is there");
    for pushed in sleeping {
        pushed.await.expect("a push that takes long");
    }
    me.store("workout_sessions", &workout_session(json!({}))).await;
    assert!(daemon.log().contains("database.connections"), "the log names the key");
}

#[tokio::test]
async fn when_the_server_gives_no_more_connections_callers_share_those_there_are() {
    let url = CLUSTER.new_database();
    let name = url.rsplit_once('/').expect("a database").1.to_owned();
    psql(&url, &format!("CREATE ROLE few LOGIN CREATEROLE CONNECTION LIMIT 4; ALTER DATABASE {name} OWNER TO few"))
        .expect("a role");
    // Whoever creates the daemon's role is a member of it; here a story before may have been first.
    let grant = "DO $$ BEGIN IF to_regrole('ryzed_daemon') IS NULL THEN CREATE ROLE ryzed_daemon NOLOGIN; END IF; END $$; \
        GRANT ryzed_daemon TO few; ALTER SCHEMA public OWNER TO few";
    psql(&url, grant).expect("a grant");
    let few = url.replace("postgres@", "few@");
    let daemon = tokio::task::spawn_blocking(move || Daemon::builder().env("RYZED_DATABASE__URL", few).start());
    let daemon = daemon.await.expect("a daemon");
    let people: Vec<Account> = (0..12).map(|_| daemon.account()).collect();
    for _ in 0..10 {
        let calls = people.iter().map(|me| {
            let (api, body) = (me.api.clone(), push_of(&food_entry(json!({}))));
            tokio::spawn(async move { api.post("/sync", &body).await })
        });
        for call in calls.collect::<Vec<_>>() {
            call.await.expect("an answer").ok();
        }
    }
    assert!(!daemon.log().contains("ERROR"), "{}", daemon.log());
}

fn quoted(id: &Value) -> String {
    format!("'{}'", id.as_str().expect("an id"))
}
