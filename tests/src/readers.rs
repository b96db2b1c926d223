//! Devices that read the catalogue, and devices beside them that never read.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::rows::row;
use crate::{Account, Daemon, Person, Socket, insert};

/// The bytes that a device which never reads takes off the wire all the same. With much less, its system drops what
/// comes in small pieces, and asks for it again only after seconds.
pub const RECEIVE_BUFFER: u32 = 32 << 10;

/// A writer of the catalogue, and devices that read it.
#[derive(Debug)]
pub struct Readers {
    keeper: Account,
    sockets: Vec<Socket>,
}

impl Readers {
    /// So many readers, each another person's.
    pub async fn of(daemon: &Daemon, count: usize) -> Self {
        let keeper = daemon.account_of(Person::admin());
        keeper.push([]).await;
        let mut sockets = Vec::new();
        for _ in 0..count {
            sockets.push(daemon.account().connect("reader").query("tables", "recipes").established().await);
        }
        Self { keeper, sockets }
    }

    /// Writes this text so many times; from just before each write until each reader has it.
    pub async fn read(&mut self, text: &str, changes: usize) -> Vec<Duration> {
        let mut times = Vec::with_capacity(changes * self.sockets.len());
        for _ in 0..changes {
            let recipe = row("recipes", json!({"user_id": null, "steps_en": [text]}));
            let began = Instant::now();
            let version = self.keeper.apply(insert("recipes", &recipe)).await;
            for socket in &mut self.sockets {
                socket.next_where("data_updated", |message| message["version"] == version).await;
                times.push(began.elapsed());
            }
        }
        times
    }
}

/// A device that hears of the same and never reads.
pub async fn slow(account: &Account) -> Socket {
    account.connect("slow").receive_buffer(RECEIVE_BUFFER).query("tables", "recipes").established().await
}
