//! The generator itself: it finds nothing wrong with a daemon that is right, and each fault of a server that is not.
//!
//! The daemon has to be built, as for the stories.

use std::process::{Command, Output};

use futures_util::future::join_all;
use ryzed_benches::relay::{Fault, Place, Relay};
use ryzed_tests::{Daemon, SECRET};
use serde_json::Value;
use tempfile::TempDir;

/// A short closed loop: few enough changes for a build without optimisation.
const LOOP: [&str; 10] =
    ["throughput", "--people", "5", "--devices", "3", "--in-flight", "2", "--seconds", "1", "--json"];

/// Runs the generator against a server of this machine.
fn load(address: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ryzed-load"));
    command.args(arguments).args(["--url", &format!("http://{address}")]).env("RYZED_AUTH__SECRET", SECRET);
    command.output().expect("the generator runs")
}

fn result(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// Runs the generator against a relay, which ends with the test; its verdict and its figures.
async fn beside(fault: Option<Fault>) -> (bool, Value) {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("relay.db").display().to_string();
    // The disk is not what is tested.
    let place = Place::Sqlite { file, is_full: false };
    let relay = Relay::open("127.0.0.1:0", SECRET, &place, fault).await.expect("a relay");
    let address = relay.address().expect("its address");
    let serving = tokio::spawn(relay.serve());
    let arguments = [&LOOP[..], &["--warm-up", "0"]].concat();
    let output = tokio::task::spawn_blocking(move || load(&address, &arguments)).await.expect("a run");
    serving.abort();
    (output.status.success(), result(&output))
}

#[test]
fn a_daemon_loses_doubles_and_misdelivers_nothing() {
    let daemon = Daemon::builder()
        .env("RYZED_LIMITS__MESSAGES_PER_SECOND", 1_000_000)
        .env("RYZED_LIMITS__MESSAGE_BURST", 1_000_000)
        .env("RYZED_LIMITS__REQUESTS_PER_SECOND", 1_000_000)
        .env("RYZED_LIMITS__REQUEST_BURST", 1_000_000)
        .start();
    let output = load(&daemon.address(), &[&LOOP[..], &["--warm-up", "0"]].concat());
    let result = result(&output);
    assert!(output.status.success(), "{result:#}");
    assert_eq!(result["accepted"], result["sent"], "{result:#}");
    assert!(result["accepted"].as_u64().is_some_and(|count| count > 0), "{result:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_yardstick_is_exact() {
    let (is_good, result) = beside(None).await;
    assert!(is_good, "{result:#}");
    assert_eq!(result["delivered"].as_u64(), result["sent"].as_u64().map(|sent| 2 * sent), "{result:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_of_a_server_is_found() {
    const FAULTS: [(Fault, &str); 4] = [
        (Fault::Drop, "lost"),
        (Fault::Double, "doubled"),
        (Fault::Echo, "misdelivered"),
        (Fault::Old, "out_of_order"),
    ];
    // All at once: a run with losses waits a while for what may still come.
    let told = join_all(FAULTS.map(|(fault, _)| beside(Some(fault)))).await;
    for ((fault, name), (is_good, result)) in FAULTS.into_iter().zip(told) {
        assert!(!is_good, "{fault:?}: {result:#}");
        for (_, other) in FAULTS {
            let count = result[other].as_u64().unwrap_or_default();
            assert_eq!(count > 0, other == name, "{fault:?}, {other}: {result:#}");
        }
    }
}

#[test]
fn wrong_use_is_told_from_failure() {
    let elsewhere = Command::new(env!("CARGO_BIN_EXE_ryzed-load"))
        .args(["throughput", "--url", "https://sync.example"])
        .env("RYZED_AUTH__SECRET", SECRET)
        .output()
        .expect("the generator runs");
    assert_eq!(elsewhere.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&elsewhere.stderr).contains("--allow-host"), "{elsewhere:?}");
    assert_eq!(load("127.0.0.1:1", &["throughput"]).status.code(), Some(1));
}

#[test]
fn a_database_of_somebody_else_is_left_alone() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("app.db");
    let made = Command::new("sqlite3").arg(&file).arg("CREATE TABLE precious (id)").status().expect("sqlite3");
    assert!(made.success());
    let refused = Command::new(env!("CARGO_BIN_EXE_ryzed-relay"))
        .args(["--listen", "127.0.0.1:0", "--sqlite"])
        .arg(&file)
        .env("RYZED_AUTH__SECRET", SECRET)
        .output()
        .expect("the relay runs");
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("name a new file"), "{refused:?}");
}
