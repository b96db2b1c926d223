//! Parts of the daemon that fail or hang, by a build that can be told to: what is promised happens, and nobody else notices.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ryzed_tests::rows::{self, food, food_entry};
use ryzed_tests::supervision::{REPLACED, Scene, breakable, fail, versions};
use ryzed_tests::{Account, Api, Person, Socket, delete};
use serde_json::json;
use uuid::Uuid;

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_replaced_and_its_devices_notice_nothing() {
    Scene::begin().await.nobody_notices("session", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_registry_of_sessions_is_replaced_and_nobody_notices() {
    Scene::begin().await.nobody_notices("sessions", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bridge_is_replaced_and_nobody_notices() {
    Scene::begin().await.nobody_notices("bridge", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_catalogue_is_replaced_and_goes_on() {
    let mut scene = Scene::begin().await;
    let keeper = scene.daemon.account_of(Person::admin());
    for how in ["panic", "hang"] {
        fail(&scene.daemon, "catalogue", how, None).await;
        let entry = food(json!({"user_id": null}));
        keeper.store("foods", &entry).await;
        for socket in [&mut scene.left, &mut scene.right, &mut scene.others] {
            socket.next_where("data_updated", |message| message["data"]["id"] == entry["id"]).await;
        }
    }
    scene.end(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_feed_is_replaced_and_hears_of_outside_writes() {
    let mut scene = Scene::begin().await;
    let quiet = scene.daemon.account();
    quiet.push([]).await;
    let mut socket = quiet.socket("d").await;
    for how in ["panic", "hang"] {
        fail(&scene.daemon, "feed", how, None).await;
        let (id, now) = (Uuid::new_v4(), rows::time(chrono::TimeDelta::zero()));
        scene.daemon.database().run(&format!(
            "INSERT INTO food_entries (id, user_id, quantity, unit, consumed_at, created_at, updated_at) \
             VALUES ('{id}', '{}', 1, 'g', '{now}', '{now}', '{now}')",
            quiet.person.id
        ));
        socket.next_where("database_change", |message| message["new_record"]["id"] == id.to_string()).await;
    }
    scene.left.fence().await;
    scene.end(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_janitor_is_replaced_and_goes_on_forgetting() {
    let scene = Scene::begin().await;
    let old = scene.daemon.account();
    for how in ["panic", "hang"] {
        let entry = food_entry(json!({}));
        old.store("food_entries", &entry).await;
        old.apply(delete("food_entries", &entry["id"])).await;
        fail(&scene.daemon, "janitor", how, None).await;
        scene.daemon.database().age_tombstones(old.person.id);
        let asked = Instant::now();
        while scene.daemon.database().tombstones(old.person.id) != "0" {
            assert!(asked.elapsed() < REPLACED, "nothing was forgotten after a {how}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    scene.end(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_fails_loses_its_socket_and_resumes_and_nobody_else_notices() {
    let mut scene = Scene::begin().await;
    let mut seen = Vec::new();
    for how in ["panic", "hang"] {
        fail(&scene.daemon, "device", how, Some(&scene.victim)).await;
        scene.left = resumed(&scene.victim, "left", scene.left, &mut seen).await;
    }
    scene.end(Some(seen)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_supervisor_of_the_devices_takes_its_sockets_along_and_all_resume() {
    let scene = Scene::begin().await;
    let (mut left, mut right, mut others) = (scene.left, scene.right, scene.others);
    let mut seen = [vec![], vec![], vec![]];
    for how in ["panic", "hang"] {
        fail(&scene.daemon, "devices", how, None).await;
        left = resumed(&scene.victim, "left", left, &mut seen[0]).await;
        right = resumed(&scene.victim, "right", right, &mut seen[1]).await;
        others = resumed(&scene.other, "d", others, &mut seen[2]).await;
    }
    scene.stop.store(true, Ordering::Relaxed);
    let [victims, theirs] = scene.writers;
    let written = [victims.await.expect("writes"), theirs.await.expect("writes")];
    for (mut socket, mut seen, written) in [left, right, others]
        .into_iter()
        .zip(seen)
        .zip([&written[0], &written[0], &written[1]])
        .map(|((a, b), c)| (a, b, c))
    {
        socket.fence().await;
        let last = *written.last().expect("something was written");
        let asked = Instant::now();
        while seen.last() != Some(&last) {
            assert!(asked.elapsed() < REPLACED, "{last} did not come: {seen:?}");
            socket.fence().await;
            seen.extend(versions(&mut socket));
        }
        assert_eq!(&seen, written);
    }
}

/// The socket closes with 1011, and its device comes back with the cursor of what it saw.
async fn resumed(account: &Account, device: &str, mut socket: Socket, seen: &mut Vec<i64>) -> Socket {
    assert_eq!(socket.expect_close_within(REPLACED).await.0, 1011);
    seen.extend(versions(&mut socket));
    let mut cursor = socket.hello["cursor"].clone();
    if let Some(last) = seen.last() {
        cursor["user"] = json!(last);
    }
    let mut again = account.connect(device).from_cursor(&cursor).open().await;
    let asked = Instant::now();
    // The supervisor may still be pausing.
    loop {
        match again.try_hello().await {
            Ok(()) => return again,
            Err(code) => assert_eq!(code, 1013, "the device may not come back"),
        }
        assert!(asked.elapsed() < REPLACED, "the device can't come back");
        tokio::time::sleep(Duration::from_millis(100)).await;
        again = account.connect(device).from_cursor(&cursor).open().await;
    }
}

/// Nobody is above the root: whoever looks after the process starts it again.
#[tokio::test(flavor = "multi_thread")]
async fn the_root_takes_the_daemon_along() {
    let mut daemon = breakable().start();
    let mut socket = daemon.account().socket("left").await;
    let api = Api::new(&daemon.address(), None);
    api.post("//faults/root", &json!({"do": "panic"})).await.done();
    // Sent away as from a restart, or by an actor that went first.
    assert!([1011, 1012].contains(&socket.expect_close().await.0));
    assert_eq!(daemon.exit_code().await, 1, "{}", daemon.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_a_panic_names_its_line_and_with_rust_backtrace_the_functions_above_it() {
    for wanted in [false, true] {
        let daemon = breakable().env("RUST_BACKTRACE", u8::from(wanted)).start();
        fail(&daemon, "bridge", "panic", None).await;
        let log = daemon.log();
        let line = log.lines().find(|line| line.contains("a task failed")).expect("its line");
        assert!(line.contains("fault.rs:"), "{line}");
        assert_eq!(line.contains("BridgeActor") && line.contains("backtrace="), wanted, "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_returns_to_where_it_was_after_many_failures() {
    const EACH: usize = 60;
    /// The memory that an allocator may keep, in KiB; a leak of one device's 20 KiB each would be several times as
    /// much.
    const SLACK: u64 = 3 << 10;
    let daemon = breakable().start();
    let mut after = Vec::new();
    for _ in 0..5 {
        let people: Vec<Account> = (0..EACH).map(|_| daemon.account()).collect();
        for person in &people {
            let mut socket = person.socket("left").await;
            let other = person.socket("right").await;
            fail(&daemon, "session", "panic", Some(person)).await;
            fail(&daemon, "device", "panic", Some(person)).await;
            assert_eq!(socket.expect_close().await.0, 1011);
            drop(other);
        }
        after.push(daemon.resident_kib());
    }
    let (warm, end) = (after[1], after[4]);
    assert!(end <= warm + SLACK, "resident after each {EACH} failures of two kinds, in KiB: {after:?}");
    eprintln!("resident after each {EACH} failures of two kinds, in KiB: {after:?}");
}
