//! Messages over Redis pub/sub: a channel a person, one for the catalogue, one an instance. Their names tell nobody whose they
//! are.
//!
//! The connection is made again, with a growing and jittered pause, for as long as the task runs. A probe that goes round
//! over the instance's own channel tells a server that hangs from one that is only quiet.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use redis::RedisError;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;
use tracing::debug;

use super::line::{RedisLine, Signs, locked};
use super::subscriptions::Subscriptions;
use super::trust::Trust;
use super::{Carrier, CarrierEvent, LARGEST_MESSAGE, Listener, Start, Started, Topic};
use crate::backoff::Backoff;
use crate::config::RedisAddress;
use crate::sync::{Scope, UserId};

/// Messages that wait to be published; more are dropped, and the sweep finds what they told of.
const QUEUE: usize = 2048;
/// The same in bytes.
const QUEUE_BYTES: usize = 8 << 20;
/// Messages that are published at once.
const BATCH: usize = 128;
/// Channels that are subscribed to at once.
const CHANNELS: usize = 500;
/// The time between two probes.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// The time that a probe may take to come back.
const PROBE_WITHIN: Duration = Duration::from_secs(3);
/// The pause before the connection is tried again is a random part of this, which doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The connection settings of Redis.
#[derive(Debug, Clone)]
pub struct RedisSettings {
    /// The server's address.
    pub address: RedisAddress,
    /// The prefix of every channel, so that two installations can share a server.
    pub prefix: String,
}

/// The carrier; its task is beside it.
struct RedisCarrier {
    queue: mpsc::Sender<(Topic, Bytes)>,
    waits: Arc<AtomicUsize>,
    names: Names,
    wishes: Arc<Wishes>,
}

/// The names of the channels.
#[derive(Clone)]
struct Names {
    prefix: String,
    trust: Arc<Trust>,
}

impl Names {
    /// The braces keep what belongs together in one slot of a Cluster.
    fn of(&self, topic: Topic) -> String {
        format!("{}:{{{}}}", self.prefix, self.trust.name(topic))
    }
}

/// The requests to the task.
#[derive(Default)]
struct Wishes {
    subscriptions: Mutex<Subscriptions>,
    changed: Notify,
    /// Told whenever something was carried out.
    done: watch::Sender<()>,
}

impl Wishes {
    /// The connection is a new one, or is gone.
    fn begin(&self, is_connected: bool) {
        locked(&self.subscriptions).begin(is_connected);
        self.done.send_replace(());
    }

    /// The server has confirmed these channels.
    fn confirm(&self, channels: Vec<String>) {
        locked(&self.subscriptions).confirm(channels);
        self.done.send_replace(());
    }
}

#[async_trait]
impl Carrier for RedisCarrier {
    fn publish(&self, topic: Topic, message: Bytes) -> bool {
        let size = message.len();
        if size > LARGEST_MESSAGE || !self.names.trust.is_ready() {
            return false;
        }
        if self.waits.fetch_add(size, Ordering::AcqRel) + size <= QUEUE_BYTES
            && self.queue.try_send((topic, message)).is_ok()
        {
            return true;
        }
        self.waits.fetch_sub(size, Ordering::AcqRel);
        false
    }

    fn is_idle(&self) -> bool {
        self.waits.load(Ordering::Acquire) == 0
    }

    fn follow(&self, user: UserId, is_wanted: &dyn Fn() -> bool) {
        let channel = self.names.of(Topic::Scope(Scope::User(user)));
        let mut subscriptions = locked(&self.wishes.subscriptions);
        subscriptions.want(channel, user, is_wanted());
        drop(subscriptions);
        self.wishes.changed.notify_one();
    }

    async fn followed(&self, user: UserId) {
        let channel = self.names.of(Topic::Scope(Scope::User(user)));
        let mut done = self.wishes.done.subscribe();
        while !locked(&self.wishes.subscriptions).is_settled(&channel) && done.changed().await.is_ok() {}
    }
}

impl Start for RedisSettings {
    fn start(&self, trust: Arc<Trust>, listener: Listener) -> Started {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let wishes = Arc::new(Wishes::default());
        let waits = Arc::new(AtomicUsize::new(0));
        let names = Names { prefix: self.prefix.clone(), trust };
        let job = RedisTask {
            address: self.address.clone(),
            names: names.clone(),
            listener,
            wishes: Arc::clone(&wishes),
            waits: Arc::clone(&waits),
        };
        let task = tokio::spawn(job.run(waiting));
        Started { carrier: Arc::new(RedisCarrier { queue, waits, names, wishes }), task }
    }
}

/// The state of the task.
struct RedisTask {
    address: RedisAddress,
    names: Names,
    listener: Listener,
    wishes: Arc<Wishes>,
    /// Bytes in the queue.
    waits: Arc<AtomicUsize>,
}

impl RedisTask {
    async fn run(self, mut waiting: mpsc::Receiver<(Topic, Bytes)>) {
        let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        loop {
            let (wishes, own) = (Arc::clone(&self.wishes), self.own().map(|topic| self.names.of(topic)));
            let is_wanted = move |channel: &str| {
                own.iter().any(|own| own == channel) || locked(&wishes.subscriptions).is_held(channel)
            };
            let signs = Signs::new(Arc::clone(&self.names.trust), Arc::clone(&self.listener), is_wanted);
            let reason = match RedisLine::open(&self.address, &signs).await {
                Ok(line) => {
                    // What waited meanwhile went another way, or is found by the sweep.
                    while let Ok((_, message)) = waiting.try_recv() {
                        self.waits.fetch_sub(message.len(), Ordering::AcqRel);
                    }
                    let begun = Instant::now();
                    let reason = self.serve(line, &signs, &mut waiting).await;
                    if begun.elapsed() > LONGEST_PAUSE {
                        backoff.reset();
                    }
                    reason
                }
                Err(error) => words(&error),
            };
            debug!(reason, "no connection to Redis");
            self.wishes.begin(false);
            (self.listener)(CarrierEvent::Down(reason));
            tokio::time::sleep(rand::random_range(Duration::ZERO..backoff.pause())).await;
        }
    }

    /// The topics subscribed to from the beginning.
    fn own(&self) -> [Topic; 2] {
        [Topic::Scope(Scope::Global), Topic::Instance(self.names.trust.me())]
    }

    /// Works until the connection fails; why it did.
    async fn serve(&self, mut line: RedisLine, signs: &Signs, waiting: &mut mpsc::Receiver<(Topic, Bytes)>) -> String {
        self.wishes.begin(true);
        let own = self.own();
        if let Err(error) = line.subscribe(&own.map(|topic| self.names.of(topic))).await {
            return words(&error);
        }
        if let Err(error) = self.catch_up(&mut line).await {
            return words(&error);
        }
        // It works once a message has gone all the way round.
        let works = async {
            signs.first.notified().await;
            (self.listener)(CarrierEvent::Up);
            (self.listener)(CarrierEvent::Following(own.to_vec()));
            std::future::pending().await
        };
        tokio::select! {
            error = self.publish(line.clone(), waiting) => words(&error),
            error = self.follow(line.clone()) => words(&error),
            reason = self.probe(line, signs) => reason,
            () = signs.broken.notified() => "the connection was lost".into(),
            reason = works => reason,
        }
    }

    async fn publish(&self, mut line: RedisLine, waiting: &mut mpsc::Receiver<(Topic, Bytes)>) -> RedisError {
        let mut messages = Vec::with_capacity(BATCH);
        loop {
            if waiting.recv_many(&mut messages, BATCH).await == 0 {
                // Nobody publishes any more; the task is about to be ended.
                std::future::pending::<()>().await;
            }
            let taken: usize = messages.iter().map(|(_, message)| message.len()).sum();
            let sealed = messages.drain(..).filter_map(|(topic, message)| {
                let channel = self.names.of(topic);
                self.names.trust.seal(&channel, &message).map(|sealed| (channel, sealed))
            });
            let published = line.publish(&sealed.collect::<Vec<_>>()).await;
            self.waits.fetch_sub(taken, Ordering::AcqRel);
            if let Err(error) = published {
                return error;
            }
        }
    }

    async fn follow(&self, mut line: RedisLine) -> RedisError {
        loop {
            self.wishes.changed.notified().await;
            if let Err(error) = self.catch_up(&mut line).await {
                return error;
            }
        }
    }

    /// Brings the subscriptions to what is wanted.
    async fn catch_up(&self, line: &mut RedisLine) -> Result<(), RedisError> {
        loop {
            let difference = locked(&self.wishes.subscriptions).next(CHANNELS);
            if difference.begin.is_empty() && difference.end.is_empty() {
                return Ok(());
            }
            line.unsubscribe(&difference.end).await?;
            let (channels, users): (Vec<String>, Vec<UserId>) = difference.begin.into_iter().unzip();
            line.subscribe(&channels).await?;
            self.wishes.confirm(channels);
            let begun = users.into_iter().map(|user| Topic::Scope(Scope::User(user)));
            (self.listener)(CarrierEvent::Following(begun.collect()));
        }
    }

    /// Sends probes until one does not come back.
    async fn probe(&self, mut line: RedisLine, signs: &Signs) -> String {
        let (sent, channel) = (AtomicU64::new(0), self.names.of(Topic::Instance(self.names.trust.me())));
        let sending = async {
            loop {
                let number = sent.fetch_add(1, Ordering::AcqRel) + 1;
                if let Err(error) = line.publish(&[(channel.clone(), signs.probe(number))]).await {
                    return words(&error);
                }
                tokio::time::sleep(PROBE_EVERY).await;
            }
        };
        tokio::select! {
            reason = sending => reason,
            () = silent(&sent, signs) => "it does not answer in time".into(),
        }
    }
}

/// Ready when what was sent has not come back for too long.
async fn silent(sent: &AtomicU64, signs: &Signs) {
    loop {
        let number = sent.load(Ordering::Acquire);
        tokio::time::sleep(PROBE_WITHIN).await;
        if signs.returned() < number {
            return;
        }
    }
}

/// The text of an error, without the data that was sent.
fn words(error: &RedisError) -> String {
    let detail = error.detail().unwrap_or_default();
    if error.is_io_error() || error.is_timeout() {
        return error.to_string();
    }
    format!("{:?} {} {detail}", error.kind(), error.code().unwrap_or_default()).trim_end().to_owned()
}
