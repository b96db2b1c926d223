//! Messages as notices of PostgreSQL, for instances without Redis or while it is away. Everybody hears all of them.
//!
//! A notice takes a lock of the whole server at its commit, so they are sent many at a time and never with a push.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::mpsc;
use tracing::debug;

use super::{Carrier, Started, Topic};
use crate::sync::UserId;

/// Messages that wait to be sent; more are dropped, and the sweep finds what they told of.
const QUEUE: usize = 1024;
/// Messages that are sent with one commit.
const BATCH: usize = 200;
/// The pause between two commits, in which messages gather.
const PAUSE: Duration = Duration::from_millis(5);

/// Who sends notices.
#[async_trait]
pub trait Notify: Send + Sync + 'static {
    /// Sends them, in one transaction of their own. False when that failed.
    async fn notify(&self, messages: Vec<String>) -> bool;
}

struct Notices {
    queue: mpsc::Sender<Bytes>,
    /// The longest message that a notice can hold.
    largest: usize,
    /// Messages that wait or are being sent.
    waits: Arc<AtomicUsize>,
}

impl Carrier for Notices {
    fn publish(&self, _: Topic, message: Bytes) -> bool {
        self.waits.fetch_add(1, Ordering::AcqRel);
        if message.len() <= self.largest && self.queue.try_send(message).is_ok() {
            return true;
        }
        self.waits.fetch_sub(1, Ordering::AcqRel);
        false
    }

    fn is_idle(&self) -> bool {
        self.waits.load(Ordering::Acquire) == 0
    }

    fn follow(&self, _: UserId, _: &dyn Fn() -> bool) {}
}

/// Starts to send what is no longer than `largest`. What comes is heard elsewhere.
pub fn start(notify: Arc<dyn Notify>, largest: usize) -> Started {
    let (queue, mut waiting) = mpsc::channel(QUEUE);
    let waits = Arc::new(AtomicUsize::new(0));
    let left = Arc::clone(&waits);
    let task = tokio::spawn(async move {
        let mut messages: Vec<Bytes> = Vec::with_capacity(BATCH);
        while waiting.recv_many(&mut messages, BATCH).await > 0 {
            let count = messages.len();
            let texts = messages.drain(..).map(|message| String::from_utf8_lossy(&message).into_owned());
            if !notify.notify(texts.collect()).await {
                debug!("notices could not be sent; whoever needs them asks the database");
            }
            left.fetch_sub(count, Ordering::AcqRel);
            tokio::time::sleep(PAUSE).await;
        }
    });
    Started { carrier: Arc::new(Notices { queue, largest, waits }), task }
}
