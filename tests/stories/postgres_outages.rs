//! The database server goes away under load: restarted, crashed, its connections cut, its network silent. Nothing that was
//! acknowledged is lost, nothing that was rolled back is delivered, sockets stay open, and nobody is told a lie.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ryzed_tests::postgres::Cluster;
use ryzed_tests::rows::food_entry;
use ryzed_tests::{Account, Api, Daemon, Database, Proxy, Socket, insert};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// The rows of one push while the server goes away: enough to be caught in the middle.
const ROWS: usize = 20;
/// The number of parallel writers.
const WRITERS: usize = 3;
/// The time that the daemon may take to notice, and to be well again.
const SOON: Duration = Duration::from_secs(15);

/// The time between two looks of the tablet at what has come.
const GLANCE: Duration = Duration::from_millis(50);

/// A daemon on a server of its own.
fn house() -> (Cluster, Daemon) {
    let cluster = Cluster::start();
    let daemon = Daemon::builder().env("RYZED_DATABASE__URL", cluster.new_database()).start();
    (cluster, daemon)
}

/// The traffic while the server comes and goes: writers, one who pulls page by page, one who listens.
struct Traffic {
    me: Account,
    tablet: JoinHandle<Socket>,
    writing: Vec<JoinHandle<Vec<Value>>>,
    reading: JoinHandle<BTreeMap<i64, Value>>,
    enough: Arc<AtomicBool>,
    all_written: Arc<AtomicBool>,
    refused: Arc<AtomicUsize>,
}

impl Traffic {
    async fn begin(daemon: &Daemon) -> Self {
        let me = daemon.account();
        me.push([]).await;
        let tablet = me.socket("tablet").await;
        let (enough, all_written, refused) = <(Arc<AtomicBool>, Arc<AtomicBool>, Arc<AtomicUsize>)>::default();
        let writing = (0..WRITERS).map(|number| {
            tokio::spawn(write(me.api.clone(), format!("writer{number}"), Arc::clone(&enough), Arc::clone(&refused)))
        });
        let writing = writing.collect();
        let reading = tokio::spawn(read(me.api.clone(), Arc::clone(&all_written)));
        let tablet = tokio::spawn(listen(tablet, Arc::clone(&all_written)));
        Self { me, tablet, writing, reading, enough, all_written, refused }
    }

    /// Ends it, and compares what everybody was told with what there is.
    async fn settle(self, database: &Database) {
        self.enough.store(true, Ordering::SeqCst);
        let mut acknowledged = BTreeSet::new();
        for writer in self.writing {
            acknowledged.extend(writer.await.expect("a writer").iter().map(Value::to_string));
        }
        let last = food_entry(json!({}));
        self.me.store("food_entries", &last).await;
        acknowledged.insert(last["id"].to_string());
        self.all_written.store(true, Ordering::SeqCst);

        let stored: BTreeMap<i64, String> = database
            .run(&format!(
                "SELECT version || '|' || to_json(row_id) FROM ryzed.changes \
                 WHERE table_name = 'food_entries' AND scope = 'user:{}'",
                self.me.person.id
            ))
            .lines()
            .map(|line| line.split_once('|').expect("two columns"))
            .map(|(version, id)| (version.parse().expect("a version"), id.to_owned()))
            .collect();
        let ids: BTreeSet<String> = stored.values().cloned().collect();
        assert_eq!(ids, acknowledged, "what is stored is what was acknowledged");
        assert!(database.is_sound());

        // In order, without a hole, and nothing that is not there.
        let mut tablet = self.tablet.await.expect("a listener");
        let is_last = |message: &Value| message["data"]["id"] == last["id"];
        let mut delivered = tablet.received("data_updated");
        if !delivered.iter().any(is_last) {
            tablet.next_where("data_updated", is_last).await;
            delivered.extend(tablet.received("data_updated"));
        }
        delivered.retain(|message| message["table"] == "food_entries" && !is_last(message));
        let delivered: Vec<(i64, String)> = delivered
            .iter()
            .map(|message| (message["version"].as_i64().expect("a version"), message["data"]["id"].to_string()))
            .collect();
        let last_id = last["id"].to_string();
        let expected: Vec<(i64, String)> = stored.clone().into_iter().filter(|(_, id)| *id != last_id).collect();
        assert_eq!(delivered, expected, "the tablet was told something else than what is stored");

        let read = self.reading.await.expect("a reader");
        for (version, row) in &read {
            assert_eq!(stored.get(version), Some(&row["id"].to_string()), "the reader got what is not there");
        }
        assert_eq!(read.len(), stored.len(), "the reader's cursor jumped over something");
        assert!(self.refused.load(Ordering::SeqCst) > 0, "the server's absence was not noticed at all");
    }
}

/// Takes in what comes; a device that does not would be told to pull.
async fn listen(mut tablet: Socket, all_written: Arc<AtomicBool>) -> Socket {
    while !all_written.load(Ordering::SeqCst) {
        tablet.fence().await;
        tokio::time::sleep(GLANCE).await;
    }
    tablet
}

/// Pushes until it is over, each push until it is acknowledged; the ids of the rows.
async fn write(api: Api, device: String, enough: Arc<AtomicBool>, refused: Arc<AtomicUsize>) -> Vec<Value> {
    let mut acknowledged = Vec::new();
    while !enough.load(Ordering::SeqCst) {
        let rows: Vec<Value> = (0..ROWS).map(|_| food_entry(json!({}))).collect();
        let changes: Vec<Value> = rows.iter().map(|row| insert("food_entries", row).json()).collect();
        let body = json!({"device_id": device, "tables": ["users"], "changes": changes});
        loop {
            let answer = api.post("/sync", &body).await;
            if answer.status == 200 {
                let results = answer.json()["results"].clone();
                assert!(
                    results.as_array().is_some_and(|all| all.iter().all(|r| r["status"] == "applied")),
                    "{results}"
                );
                break;
            }
            answer.problem(&[503]);
            assert!(answer.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds > 0), "no Retry-After");
            refused.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        acknowledged.extend(rows.into_iter().map(|row| row["id"].clone()));
    }
    acknowledged
}

/// Pulls small pages, goes on at the cursor after each failure, and ends with one that found nothing new; rows by version.
async fn read(api: Api, all_written: Arc<AtomicBool>) -> BTreeMap<i64, Value> {
    let (mut found, mut cursor, mut failed) = (BTreeMap::new(), String::new(), 0);
    loop {
        let is_last = all_written.load(Ordering::SeqCst);
        let from = if cursor.is_empty() { String::new() } else { format!("&cursor={cursor}") };
        let answer = api.get(&format!("/changes?tables=food_entries&limit=7{from}")).await;
        if answer.status != 200 {
            answer.problem(&[503]);
            failed += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        }
        let page = answer.json();
        assert_eq!(page["reset"], false, "{page}");
        let rows = page["changes"]["food_entries"].as_array().cloned().unwrap_or_default();
        let is_done = rows.is_empty() && page["has_more"] == false;
        for row in rows {
            let twice = found.insert(row["_version"].as_i64().expect("a version"), row);
            assert!(twice.is_none(), "a version came twice: {twice:?}");
        }
        cursor = ryzed_tests::account::cursor_text(&page["cursor"]);
        if is_done {
            if is_last {
                println!("the reader met {failed} failures and {} rows", found.len());
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Waits until `/readyz` answers so.
async fn readiness(api: &Api, status: u16) {
    let asked = Instant::now();
    loop {
        let answer = api.get("//readyz").await;
        if answer.status == status {
            if status == 503 {
                answer.problem(&[503]);
                assert!(!answer.header("retry-after").is_empty());
            }
            return;
        }
        assert!(asked.elapsed() < SOON, "/readyz is {} and not {status}", answer.status);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The number of warnings and errors in the log, apart from lines of requests.
fn warnings(daemon: &Daemon) -> usize {
    daemon.log().lines().filter(|line| line.contains("WARN") || line.contains("ERROR")).count()
}

async fn survives(stop: fn(&Cluster)) {
    let (cluster, daemon) = house();
    let api = Api::new(&daemon.address(), None);
    let traffic = Traffic::begin(&daemon).await;
    for round in 0..3 {
        tokio::time::sleep(Duration::from_millis(400)).await;
        tokio::task::block_in_place(|| stop(&cluster));
        readiness(&api, 503).await;
        assert_eq!(api.get("//livez").await.status, 200);
        assert_eq!(api.get("/health").await.ok()["status"], "degraded");
        let late = daemon.account();
        assert_eq!(late.connect("late").refused().await, 1013, "round {round}");
        tokio::task::block_in_place(|| cluster.start_again());
        readiness(&api, 200).await;
    }
    tokio::time::sleep(Duration::from_millis(400)).await;
    traffic.settle(&daemon.database()).await;
    assert!(warnings(&daemon) <= 20, "a storm in the log:\n{}", daemon.log());
    assert!(!daemon.log().contains("ERROR"), "{}", daemon.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_the_server_in_mid_push_and_mid_pull_costs_time_only() {
    survives(Cluster::shut_down).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_of_the_server_in_mid_push_and_mid_pull_costs_time_only() {
    survives(Cluster::crash).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_killed_all_the_time_cost_time_only() {
    let (_cluster, daemon) = house();
    let traffic = Traffic::begin(&daemon).await;
    let (database, is_over) = (daemon.database(), Arc::new(AtomicBool::new(false)));
    let killer = {
        let (database, is_over) = (database.clone(), Arc::clone(&is_over));
        std::thread::spawn(move || {
            let mut killed = 0;
            while !is_over.load(Ordering::SeqCst) {
                let count = database.run(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                     WHERE datname = current_database() AND pid <> pg_backend_pid()",
                );
                killed += count.parse::<usize>().expect("a count");
            }
            killed
        })
    };
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(Api::new(&daemon.address(), None).get("//livez").await.status, 200);
    is_over.store(true, Ordering::SeqCst);
    let killed = tokio::task::block_in_place(|| killer.join().expect("psql"));
    assert!(killed > 20, "only {killed} connections were killed");
    traffic.settle(&database).await;
    assert!(warnings(&daemon) <= 20, "a storm in the log:\n{}", daemon.log());
}

#[tokio::test]
async fn a_silent_network_is_told_by_readyz_and_a_push_goes_on_after_it() {
    let (cluster, _) = house();
    let proxy = Proxy::in_front_of(format!("127.0.0.1:{}", cluster.port())).await;
    let url = cluster.new_database().replace(&format!("127.0.0.1:{}", cluster.port()), &proxy.address());
    let daemon = tokio::task::spawn_blocking(|| Daemon::builder().env("RYZED_DATABASE__URL", url).start());
    let daemon = daemon.await.expect("a daemon");
    let api = Api::new(&daemon.address(), None);
    let me = daemon.account();
    me.push([]).await;
    let mut tablet = me.socket("tablet").await;
    proxy.pause();
    let row = food_entry(json!({}));
    let pushing = tokio::spawn({
        let (me, row) = (me.clone(), row.clone());
        async move { me.store("food_entries", &row).await }
    });
    readiness(&api, 503).await;
    assert_eq!(api.get("//livez").await.status, 200);
    assert!(!pushing.is_finished(), "a push was acknowledged that never reached the database");
    proxy.go_on();
    pushing.await.expect("the push");
    readiness(&api, 200).await;
    assert_eq!(tablet.next("data_updated").await["data"]["id"], row["id"]);

    // Cut off for good, and back.
    proxy.close();
    readiness(&api, 503).await;
    proxy.open();
    readiness(&api, 200).await;
    me.store("food_entries", &food_entry(json!({}))).await;
    tablet.next("data_updated").await;
}
