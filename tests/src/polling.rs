//! Requests that wait for news.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::account::cursor_text;
use crate::{Account, Answer};

/// How long a request is to wait, in seconds, and how soon it has to be there.
const WAIT: u64 = 25;
const THERE: Duration = Duration::from_secs(15);
/// Less than `WAIT`: an answer by then did not come because the time was over.
pub const EARLY: Duration = Duration::from_secs(20);

/// A request that waits.
#[derive(Debug)]
pub struct Poll(JoinHandle<(Answer, Duration)>);

impl Poll {
    /// From this device, for changes after `cursor`; returns once the daemon says that it waits.
    pub async fn begin(me: &Account, device: &str, cursor: &Value, more: &str) -> Self {
        let poll = Self::ask(me, device, cursor, more);
        let asked = Instant::now();
        while !is_online(me, device).await {
            assert!(asked.elapsed() < THERE, "it does not wait");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        poll
    }

    /// The same without looking whether it waits.
    #[must_use]
    pub fn ask(me: &Account, device: &str, cursor: &Value, more: &str) -> Self {
        let path = format!("/changes?wait={WAIT}&device_id={device}&cursor={}{more}", cursor_text(cursor));
        let api = me.api.clone();
        Self(tokio::spawn(async move {
            let asked = Instant::now();
            let answer = api.raw(hyper::Method::GET, &path, &[], "").await;
            (answer.unwrap_or_else(|error| panic!("{path}: {error:#}")), asked.elapsed())
        }))
    }

    /// The answer, which has to come before the time is over.
    pub async fn early(self) -> Answer {
        let (answer, took) = self.0.await.expect("an answer");
        assert!(took < EARLY, "it came after {took:?}: {}", answer.text());
        answer
    }
}

/// Whether a device counts as connected.
pub async fn is_online(me: &Account, device: &str) -> bool {
    let devices = me.api.get(&format!("/sync-status?device_id={device}")).await.ok();
    devices["is_online"] == json!(true)
}
