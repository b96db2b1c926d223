//! The people of a run and what they hear: each change is entered in its person's ledger, and its times in the run's histograms.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{ops::Range, sync::Arc};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::mpsc::UnboundedSender;
use uuid::Uuid;

use super::ledger::Ledger;
use super::times::Times;
use super::words::{self, Heard};

/// The most changes of one run: a ledger holds about 100 bytes for each.
pub const MOST_CHANGES: u64 = 8_000_000;
/// The most kinds of trouble that are told apart.
const MOST_TROUBLES: usize = 20;

/// The moment that decides if a change is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MeasuredBy {
    /// The time at which it was due: an open loop.
    Due,
    /// The time at which it was heard of: a closed loop.
    Arrival,
}

/// The common state of a run.
#[derive(Debug)]
pub struct Hub {
    began: Instant,
    by: MeasuredBy,
    window: [AtomicU64; 2],
    is_looping: AtomicBool,
    is_ending: AtomicBool,
    sent: AtomicU64,
    /// From due to the arrival at another device.
    delivery: Mutex<Times>,
    /// From due to the answer at the writing device.
    answer: Mutex<Times>,
    troubles: Mutex<BTreeMap<String, u64>>,
}

impl Hub {
    /// A run in which nothing is measured yet.
    #[must_use]
    pub fn new(by: MeasuredBy) -> Arc<Self> {
        Arc::new(Self {
            began: Instant::now(),
            by,
            window: [AtomicU64::new(u64::MAX), AtomicU64::new(u64::MAX)],
            is_looping: AtomicBool::new(false),
            is_ending: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            delivery: Mutex::default(),
            answer: Mutex::default(),
            troubles: Mutex::default(),
        })
    }

    /// Nanoseconds since the run began.
    #[must_use]
    pub fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Measures what falls into this time and nothing else.
    pub fn measure(&self, window: Range<u64>) {
        self.window[0].store(window.start, Relaxed);
        self.window[1].store(window.end, Relaxed);
    }

    /// Has each person send another change for each that is complete, or stops that.
    pub fn set_looping(&self, is_looping: bool) {
        self.is_looping.store(is_looping, Relaxed);
    }

    /// Says that sockets end now because they are meant to.
    pub fn end(&self) {
        self.is_ending.store(true, Relaxed);
    }

    /// The number of changes that were sent.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }

    /// Times of deliveries so far.
    pub fn delivery(&self) -> MutexGuard<'_, Times> {
        held(&self.delivery)
    }

    /// Times of answers so far.
    pub fn answer(&self) -> MutexGuard<'_, Times> {
        held(&self.answer)
    }

    /// Everything that went wrong, with its count.
    #[must_use]
    pub fn troubles(&self) -> BTreeMap<String, u64> {
        held(&self.troubles).clone()
    }

    /// Counts something that went wrong while it was not meant to.
    pub fn trouble(&self, what: String) {
        let mut troubles = held(&self.troubles);
        if !self.is_ending.load(Relaxed) && (troubles.len() < MOST_TROUBLES || troubles.contains_key(&what)) {
            *troubles.entry(what).or_default() += 1;
        }
    }

    fn record(&self, times: &Mutex<Times>, due: u64, now: u64) {
        let at = if self.by == MeasuredBy::Due { due } else { now };
        if (self.window[0].load(Relaxed)..self.window[1].load(Relaxed)).contains(&at) {
            held(times).record(Duration::from_nanos(now.saturating_sub(due)));
        }
    }
}

/// The next thing that a device does of its own accord.
#[derive(Debug)]
pub enum Order {
    /// Sends a frame.
    Say(String),
    /// Ends politely.
    Leave,
}

/// A person of the run with their devices.
#[derive(Debug)]
pub struct Person {
    id: Uuid,
    hub: Arc<Hub>,
    scope: String,
    ledger: Mutex<Ledger>,
    chance: Mutex<StdRng>,
    devices: Vec<UnboundedSender<Order>>,
}

impl Person {
    /// The person whose devices take these orders; device 0 writes.
    #[must_use]
    pub fn new(hub: Arc<Hub>, id: Uuid, devices: Vec<UnboundedSender<Order>>) -> Self {
        let ledger = Mutex::new(Ledger::of_devices(devices.len()));
        let chance = Mutex::new(StdRng::from_rng(&mut rand::rng()));
        Self { id, hub, scope: format!("user:{id}"), ledger, chance, devices }
    }

    /// The `sub` of the person's tokens.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// The run.
    #[must_use]
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// The person's ledger.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        held(&self.ledger)
    }

    /// Sends a change that was due at this time, unless the run has sent all that it may. It does not wait.
    pub fn send(&self, due: u64) {
        let number = self.hub.sent.fetch_add(1, Relaxed);
        if number >= MOST_CHANGES {
            self.hub.sent.store(MOST_CHANGES, Relaxed);
            return;
        }
        let row = uuid::Builder::from_random_bytes(held(&self.chance).random()).into_uuid();
        self.ledger().send(row, due);
        self.order(0, Order::Say(words::frame(row, number)));
    }

    /// Has each device end.
    pub fn leave(&self) {
        (0..self.devices.len()).for_each(|device| self.order(device, Order::Leave));
    }

    /// Enters a frame that a device has read.
    pub fn hear(&self, device: usize, text: &str) {
        let now = self.hub.now();
        let heard = match words::hear(text) {
            Heard::Answer { row, is_accepted } => {
                let heard = self.ledger().answer(row, is_accepted);
                if !is_accepted {
                    self.hub.trouble(format!("refused: {}", short(text)));
                } else if let Some(heard) = heard {
                    self.hub.record(&self.hub.answer, heard.due, now);
                }
                heard
            }
            // The catalogue is everybody's, and nobody's of this run.
            Heard::Row { scope, .. } if scope == "global" => None,
            Heard::Row { scope, .. } if scope != self.scope => {
                self.ledger().deliver_foreign();
                None
            }
            Heard::Row { row, version, .. } => {
                let heard = self.ledger().deliver(device, row, version);
                if let Some(heard) = heard {
                    self.hub.record(&self.hub.delivery, heard.due, now);
                }
                heard
            }
            Heard::Behind | Heard::Error | Heard::Unknown => {
                self.hub.trouble(short(text));
                None
            }
            Heard::Ready | Heard::Other => None,
        };
        if heard.is_some_and(|heard| heard.is_complete) && self.hub.is_looping.load(Relaxed) {
            self.send(self.hub.now());
        }
    }

    fn order(&self, device: usize, order: Order) {
        // A device that is gone has said so, and what is due to it is counted as lost.
        let _ = self.devices[device].send(order);
    }
}

/// The beginning of a frame, without what differs from one to the next.
fn short(text: &str) -> String {
    let part = text.char_indices().nth(200).map_or(text, |(end, _)| &text[..end]);
    part.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect()
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
