//! Parts of a daemon that fail or hang while two people go on, and what both have to get all the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::rows::food_entry;
use crate::{Account, Api, Builder, Daemon, Metrics, Socket, insert};

/// The time that an actor may take for one message, in seconds.
const PATIENCE: u64 = 2;
/// The time until an actor was replaced: the watchdog's patience, the look after it, the pause, and a busy machine.
pub const REPLACED: Duration = Duration::from_secs(20);

/// A daemon that can be broken from inside.
#[must_use]
pub fn breakable() -> Builder {
    Daemon::builder().with_faults().env("RYZED_SERVER__HANG_TIMEOUT_SECONDS", PATIENCE)
}

/// Has an actor fail and waits until it was counted.
pub async fn fail(daemon: &Daemon, actor: &str, how: &str, victim: Option<&Account>) {
    let counted =
        async |name: &str| Metrics::of(&daemon.address()).await.value(&format!("{name}{{actor=\"{actor}\"}}"));
    let (restarts, hangs) = (counted("ryzed_actor_restarts_total").await, counted("ryzed_actor_hangs_total").await);
    let mut wish = json!({"do": how});
    if let Some(victim) = victim {
        wish["user"] = victim.user();
    }
    if actor == "device" {
        wish["device"] = "left".into();
    }
    let (api, asked) = (Api::new(&daemon.address(), None), Instant::now());
    // One that has just failed is not there before its pause is over.
    while api.post(&format!("//faults/{actor}"), &wish).await.status == 404 {
        assert!(asked.elapsed() < REPLACED, "{actor} does not run; the log:\n{}", daemon.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    while counted("ryzed_actor_restarts_total").await <= restarts {
        assert!(asked.elapsed() < REPLACED, "{actor} was not replaced after {how}; the log:\n{}", daemon.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(counted("ryzed_actor_hangs_total").await > hangs, how == "hang", "{actor} {how}");
}

/// Writes until told to stop; returns the versions.
fn busy(account: &Account, stop: &Arc<AtomicBool>) -> JoinHandle<Vec<i64>> {
    let (account, stop) = (account.clone(), Arc::clone(stop));
    tokio::spawn(async move {
        let mut versions = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            let version = account.apply(insert("food_entries", &food_entry(json!({})))).await;
            versions.push(version.as_i64().expect("a version"));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        versions
    })
}

/// Two people under load: one whose parts fail and one who must not notice.
#[derive(Debug)]
pub struct Scene {
    /// The daemon.
    pub daemon: Daemon,
    /// The person whose actors fail.
    pub victim: Account,
    /// A socket of the victim's.
    pub left: Socket,
    /// Another.
    pub right: Socket,
    /// The person who must not notice.
    pub other: Account,
    /// The other's socket.
    pub others: Socket,
    /// Ends the load.
    pub stop: Arc<AtomicBool>,
    /// The load: the versions that each has taken.
    pub writers: [JoinHandle<Vec<i64>>; 2],
}

impl Scene {
    /// On the database that the stories run on.
    pub async fn begin() -> Self {
        Self::at(breakable().start()).await
    }

    /// At a daemon that is breakable.
    pub async fn at(daemon: Daemon) -> Self {
        let (victim, other) = (daemon.account(), daemon.account());
        for account in [&victim, &other] {
            account.push([]).await;
        }
        let (left, right, others) =
            (victim.socket("left").await, victim.socket("right").await, other.socket("d").await);
        let stop = Arc::<AtomicBool>::default();
        let writers = [busy(&victim, &stop), busy(&other, &stop)];
        Self { daemon, victim, left, right, other, others, stop, writers }
    }

    /// The part is replaced while all sockets stay open.
    pub async fn nobody_notices(self, actor: &str, of_victim: bool) {
        for how in ["panic", "hang"] {
            fail(&self.daemon, actor, how, of_victim.then_some(&self.victim)).await;
        }
        self.end(None).await;
    }

    /// Stops the load; everybody gets every version, in order, over the sockets that they have.
    pub async fn end(self, lost: Option<Vec<i64>>) {
        self.stop.store(true, Ordering::Relaxed);
        let [victims, theirs] = self.writers;
        let (victims, theirs) =
            (victims.await.expect("the victim's writes"), theirs.await.expect("the other's writes"));
        let before = lost.unwrap_or_default();
        for (mut socket, before, written) in
            [(self.left, before, &victims), (self.right, vec![], &victims), (self.others, vec![], &theirs)]
        {
            let last = *written.last().expect("something was written");
            let mut seen = before;
            if seen.last() != Some(&last) {
                let is_last = |message: &Value| message["version"] == last && message["scope"] != "global";
                let message = socket.next_where("data_updated", is_last).await;
                seen.extend(versions(&mut socket));
                seen.push(message["version"].as_i64().expect("a version"));
            }
            assert_eq!(&seen, written, "every version, in order; the log:\n{}", self.daemon.log());
        }
    }
}

/// The versions of a person's own rows that came so far.
#[must_use]
pub fn versions(socket: &mut Socket) -> Vec<i64> {
    let messages = socket.received("data_updated").into_iter();
    messages.filter(|message| message["scope"] != "global").filter_map(|message| message["version"].as_i64()).collect()
}
