//! Messages as notices of PostgreSQL, for instances without Redis or while it is away. Everybody hears all of them, whoever
//! may connect to the database, too.
//!
//! A notice takes a lock of the whole server at its commit, so they are sent many at a time and never with a push.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD as TEXT;
use bytes::Bytes;
use tokio::sync::mpsc;
use tracing::debug;

use super::seal::ADDED;
use super::trust::{Trust, Way};
use super::{Carrier, Listener, Started, Topic};
use crate::sync::UserId;

/// Messages that wait to be sent; more are dropped, and the sweep finds what they told of.
const QUEUE: usize = 1024;
/// Messages that are sent with one commit.
const BATCH: usize = 200;
/// The pause between two commits, in which messages gather.
const PAUSE: Duration = Duration::from_millis(5);

/// The channel name that all notices are sealed for: they have one channel.
const CHANNEL: &str = "notices";
/// The first character of messages of releases that sealed nothing; nothing sealed begins with it.
const PLAIN: char = '{';

/// A sender of notices.
#[async_trait]
pub trait Notify: Send + Sync + 'static {
    /// Sends them, in one transaction of their own. False when that failed.
    async fn notify(&self, messages: Vec<String>) -> bool;
}

struct Notices {
    queue: mpsc::Sender<Bytes>,
    trust: Arc<Trust>,
    /// The longest message that a notice can hold once it is sealed.
    largest: usize,
    /// Messages that wait or are being sent.
    waits: Arc<AtomicUsize>,
}

#[async_trait]
impl Carrier for Notices {
    fn publish(&self, _: Topic, message: Bytes) -> bool {
        self.waits.fetch_add(1, Ordering::AcqRel);
        if message.len() <= self.largest && self.trust.is_ready() && self.queue.try_send(message).is_ok() {
            return true;
        }
        self.waits.fetch_sub(1, Ordering::AcqRel);
        false
    }

    fn is_idle(&self) -> bool {
        self.waits.load(Ordering::Acquire) == 0
    }

    fn follow(&self, _: UserId, _: &dyn Fn() -> bool) {}

    async fn followed(&self, _: UserId) {}
}

/// Starts to send, in notices of at most `largest` bytes. [`hearing`] receives.
pub fn start(trust: Arc<Trust>, notify: Arc<dyn Notify>, largest: usize) -> Started {
    let (queue, mut waiting) = mpsc::channel(QUEUE);
    let waits = Arc::new(AtomicUsize::new(0));
    let (left, seals) = (Arc::clone(&waits), Arc::clone(&trust));
    let task = tokio::spawn(async move {
        let mut messages: Vec<Bytes> = Vec::with_capacity(BATCH);
        while waiting.recv_many(&mut messages, BATCH).await > 0 {
            let count = messages.len();
            let sealed = messages.drain(..).filter_map(|message| seals.seal(CHANNEL, &message));
            if !notify.notify(sealed.map(|message| TEXT.encode(message)).collect()).await {
                debug!("NOTIFY failed; other instances read the database instead");
            }
            left.fetch_sub(count, Ordering::AcqRel);
            tokio::time::sleep(PAUSE).await;
        }
    });
    let largest = (largest / 4 * 3).saturating_sub(ADDED);
    Started { carrier: Arc::new(Notices { queue, trust, largest, waits }), task }
}

/// Makes the receiver of notices.
pub fn hearing(trust: Arc<Trust>, listener: Listener) -> impl Fn(&str) + Send + Sync {
    move |notice| {
        let heard = if notice.starts_with(PLAIN) {
            trust.hear_plain(CHANNEL)
        } else {
            // What is no such text is no message either.
            trust.hear(Way::Notices, CHANNEL, &TEXT.decode(notice).unwrap_or_default())
        };
        heard.into_iter().for_each(|event| listener(event));
    }
}
