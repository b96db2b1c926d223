//! Ending well: what is being written is finished, everybody is told, nothing hangs.

use ryzed_tests::rows::food_entry;
use ryzed_tests::{Daemon, Ran, insert};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

#[tokio::test]
async fn control_c_ends_it_well() {
    let mut daemon = Daemon::start();
    daemon.interrupt();
    assert_eq!(daemon.exit_code().await, 0);
}

#[tokio::test]
async fn a_half_sent_request_and_idle_connections_do_not_hold_it_up() {
    let mut daemon = Daemon::start();
    let me = daemon.account();
    me.push([]).await;
    let mut half = TcpStream::connect(daemon.address()).await.expect("a connection");
    half.write_all(b"POST /api/realtime/sync HTTP/1.1\r\nHost: x\r\nContent-Le").await.expect("half a request");
    let mut body = TcpStream::connect(daemon.address()).await.expect("a connection");
    let head = format!(
        "POST /api/realtime/sync HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: 500\r\n\r\n{{",
        me.person.token()
    );
    body.write_all(head.as_bytes()).await.expect("a head and the start of a body");
    let _idle = TcpStream::connect(daemon.address()).await.expect("a connection");
    let _socket = me.socket("tablet").await;
    daemon.terminate();
    assert_eq!(daemon.exit_code().await, 0);
}

#[tokio::test]
async fn everything_acknowledged_before_a_stop_is_there_afterwards() {
    let mut daemon = Daemon::start();
    let me = daemon.account();
    me.push([]).await;
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let writer = {
        let me = me.clone();
        tokio::spawn(async move {
            loop {
                let entry = food_entry(json!({}));
                let changes = [insert("food_entries", &entry).json()];
                let body = json!({"device_id": "phone", "tables": ["users"], "changes": changes});
                match me.api.try_post("/sync", &body).await {
                    Ok(answer) if answer.status == 200 => told.send(entry["id"].clone()).expect("somebody listens"),
                    _ => break,
                }
            }
        })
    };
    let mut acknowledged = vec![heard.recv().await.expect("a first change")];
    daemon.terminate();
    while let Some(id) = heard.recv().await {
        acknowledged.push(id);
    }
    writer.await.expect("the writer");
    assert_eq!(daemon.exit_code().await, 0);
    daemon.restart();
    let me = daemon.account_of(me.person);
    let stored = me.rows("food_entries").await;
    for id in acknowledged {
        assert!(stored.iter().any(|row| row["id"] == id), "{id} was acknowledged and is gone");
    }
}

#[tokio::test]
async fn it_says_so_when_its_address_is_taken() {
    let daemon = Daemon::start();
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = daemon.command(&["serve"]);
    command.env("RYZED_SERVER__LISTEN", daemon.address()).env("RYZED_DATA_DIR", folder.path());
    let ran = Ran::of(&mut command);
    assert_eq!(ran.code, 1, "{}", ran.said());
    assert!(ran.stderr.contains(&daemon.address()), "{}", ran.stderr);
}
