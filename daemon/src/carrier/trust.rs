//! Whom instances believe: what goes over a carrier is sealed here, and what comes is believed only from an instance that is
//! alive, on the channel it was sealed for, once, and soon after it was sent. Nothing here asks anybody.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tracing::warn;
use uuid::Uuid;

use super::clock::{Reading, micros};
use super::seal::{ADDED, Header, Keys, SenderKey};
use super::window::Window;
use super::{CarrierEvent, LARGEST_MESSAGE, Letter, Topic};
use crate::metrics::{Disbelief, metrics};

/// The greatest age of a message that is believed, by the database's clock; also the tolerance for one from the future.
const FRESH: Duration = Duration::from_secs(10);
/// The messages of unknown instances kept until the next read of the living ones; more are dropped.
const ROOM: usize = 256;
/// The same in bytes.
const ROOM_BYTES: usize = 4 << 20;
/// After a line about messages that are not believed, others are only counted for so long.
const QUIET: Duration = Duration::from_secs(60);

/// By which way a message came. Each keeps its own order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Redis.
    Redis,
    /// Notices of PostgreSQL.
    Notices,
}

/// The keys of this instance, and the known senders.
pub struct Trust {
    me: Uuid,
    keys: Keys,
    mine: SenderKey,
    /// The number of sealed messages.
    sealed: AtomicU64,
    known: Mutex<KnownSenders>,
}

#[derive(Default)]
struct KnownSenders {
    clock: Option<Reading>,
    /// The other instances that are alive and seal what they say.
    senders: HashMap<Uuid, Sender>,
    /// One is alive that seals nothing, as it is of an older release.
    has_elders: bool,
    /// Genuine messages of instances that are not known yet.
    room: Vec<Waiting>,
    complaints: Complaints,
}

struct Sender {
    key: Arc<SenderKey>,
    heard: [Window; 2],
    /// Since when it is no longer alive, if it isn't. What it had said is remembered for as long as it would be believed.
    gone: Option<Instant>,
}

struct Waiting {
    came: Instant,
    way: Way,
    number: u64,
    letter: Letter,
}

/// The reason for not passing a message on.
enum Aside {
    /// This instance has sent it itself.
    Own,
    /// It is genuine, and its sender is not known yet.
    Waits,
    /// It is not believed.
    Not(Disbelief),
}

impl Trust {
    /// Derives the keys of the instance `me` from the database's key and epoch.
    #[must_use]
    pub fn new(me: Uuid, secret: &[u8], epoch: &str) -> Self {
        let keys = Keys::new(secret, epoch);
        let mine = keys.of(me);
        Self { me, keys, mine, sealed: AtomicU64::new(0), known: Mutex::default() }
    }

    /// Which instance this is.
    #[must_use]
    pub fn me(&self) -> Uuid {
        self.me
    }

    /// Nothing that is done under this lock can panic halfway.
    fn known(&self) -> MutexGuard<'_, KnownSenders> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The database was asked for the time, and answered so.
    pub fn tick(&self, asked: Instant, answered: Instant, micros: i64) {
        let mut known = self.known();
        let newer = Reading::new(asked, answered, micros);
        known.clock = Some(known.clock.map_or(newer, |former| former.or_newer(newer)));
    }

    /// These others are alive, as the database said to whoever `asked` it then, and seal what they say; `has_elders` when
    /// others are that don't. Returns what had come from those that were not known yet.
    #[must_use]
    pub fn living(&self, asked: Instant, others: impl IntoIterator<Item = Uuid>, has_elders: bool) -> Vec<Letter> {
        let (mut known, now) = (self.known(), Instant::now());
        known.senders.values_mut().for_each(|sender| _ = sender.gone.get_or_insert(now));
        for id in others {
            let fresh = || Sender { key: Arc::new(self.keys.of(id)), heard: Default::default(), gone: None };
            known.senders.entry(id).or_insert_with(fresh).gone = None;
        }
        known.senders.retain(|_, sender| sender.gone.is_none_or(|gone| now < gone + 2 * FRESH));
        known.has_elders = has_elders;
        let mut believed = Vec::new();
        for waiting in std::mem::take(&mut known.room) {
            let sender = known.senders.get_mut(&waiting.letter.from).filter(|sender| sender.gone.is_none());
            match sender.map(|sender| sender.heard[waiting.way as usize].note(waiting.number)) {
                Some(true) => believed.push(waiting.letter),
                Some(false) => metrics().bridge_disbelieved.inc(Disbelief::Replayed),
                // Its sender may have come after the question, too.
                None if waiting.came > asked => known.room.push(waiting),
                None => metrics().bridge_disbelieved.inc(Disbelief::Stranger),
            }
        }
        believed
    }

    /// True if a living instance seals nothing.
    #[must_use]
    pub fn has_elders(&self) -> bool {
        self.known().has_elders
    }

    /// True once messages can be sealed: not before the database has told the time.
    pub(super) fn is_ready(&self) -> bool {
        self.known().clock.is_some()
    }

    /// A message as it goes over a channel. None before the database has told the time.
    pub(super) fn seal(&self, channel: &str, plain: &[u8]) -> Option<Bytes> {
        let at = self.known().clock?.at(Instant::now());
        let number = self.sealed.fetch_add(1, Ordering::AcqRel) + 1;
        Some(self.mine.seal(&Header { from: self.me, number, at }, channel, plain))
    }

    /// The secret name of a topic in its channel; nobody else can tell whose it is.
    pub(super) fn name(&self, topic: Topic) -> String {
        match topic {
            Topic::Scope(scope) => self.keys.name(&scope.to_string()),
            Topic::Instance(id) => self.keys.name(&format!("instance:{id}")),
        }
    }

    /// Checks a message that came; returns the event for the listener, or none.
    pub(super) fn hear(&self, way: Way, channel: &str, message: &[u8]) -> Option<CarrierEvent> {
        match self.read(way, channel, message) {
            Ok(letter) => Some(CarrierEvent::Letter(letter)),
            Err(Aside::Own) => None,
            Err(Aside::Waits) => Some(CarrierEvent::Stranger),
            Err(Aside::Not(why)) => self.not_believed(why, channel),
        }
    }

    fn read(&self, way: Way, channel: &str, message: &[u8]) -> Result<Letter, Aside> {
        let not = |why| Err(Aside::Not(why));
        if message.len() > LARGEST_MESSAGE + ADDED {
            return not(Disbelief::Forged);
        }
        let Some(header) = Header::of(message) else { return not(Disbelief::Forged) };
        if header.from == self.me {
            return Err(Aside::Own);
        }
        let now = Instant::now();
        let Some(age) = self.known().clock.map(|clock| clock.at(now).saturating_sub(header.at)) else {
            return not(Disbelief::Stranger);
        };
        let is_fresh = age.unsigned_abs() <= micros(FRESH).unsigned_abs();
        let known = self.known().senders.get(&header.from).map(|sender| {
            let is_new = sender.heard[way as usize].is_new(header.number);
            (Arc::clone(&sender.key), is_new, sender.gone.is_none())
        });
        // What can't be believed is not opened.
        let (key, is_alive) = match known {
            Some((_, false, _)) => return not(Disbelief::Replayed),
            Some((key, true, true)) => (key, true),
            _ if !is_fresh => return not(Disbelief::Stranger),
            Some((key, true, false)) => (key, false),
            None => (Arc::new(self.keys.of(header.from)), false),
        };
        let Some(text) = key.open(&header, channel, message) else { return not(Disbelief::Forged) };
        let age = Duration::from_micros(u64::try_from(age).unwrap_or(0));
        let letter = Letter { from: header.from, sent: now.checked_sub(age).unwrap_or(now), text };
        if !is_alive {
            return Err(self.wait(Waiting { came: now, way, number: header.number, letter }));
        }
        let mut known = self.known();
        let sender = known.senders.get_mut(&header.from);
        if !sender.is_some_and(|sender| sender.heard[way as usize].note(header.number)) {
            return not(Disbelief::Replayed);
        }
        if is_fresh { Ok(letter) } else { not(Disbelief::Late) }
    }

    /// Keeps a genuine message until the next read of the instances shows if its sender is alive.
    fn wait(&self, waiting: Waiting) -> Aside {
        let mut known = self.known();
        let is_same = |other: &Waiting| {
            other.letter.from == waiting.letter.from && other.way == waiting.way && other.number == waiting.number
        };
        if known.room.iter().any(is_same) {
            return Aside::Not(Disbelief::Replayed);
        }
        let bytes: usize = known.room.iter().map(|waiting| waiting.letter.text.len()).sum();
        if known.room.len() == ROOM || bytes + waiting.letter.text.len() > ROOM_BYTES {
            return Aside::Not(Disbelief::Stranger);
        }
        known.room.push(waiting);
        Aside::Waits
    }

    /// Counts it, and says what is worth looking for all the same.
    fn not_believed(&self, why: Disbelief, channel: &str) -> Option<CarrierEvent> {
        metrics().bridge_disbelieved.inc(why);
        match why {
            // Genuine, but late: what it tells of may not be known here.
            Disbelief::Late => Some(CarrierEvent::Late),
            Disbelief::Forged => {
                let said = self.known().complaints.one_more(Instant::now());
                if let Some(others) = said {
                    warn!(channel, others, "a message on the bridge failed authentication; it was not believed");
                }
                None
            }
            Disbelief::Replayed | Disbelief::Stranger | Disbelief::Plain => None,
        }
    }

    /// A message that nobody has sealed. It counts for a wish to look while an instance is alive that seals nothing.
    pub(super) fn hear_plain(&self, channel: &str) -> Option<CarrierEvent> {
        if !self.known().has_elders {
            return self.not_believed(Disbelief::Forged, channel);
        }
        metrics().bridge_disbelieved.inc(Disbelief::Plain);
        Some(CarrierEvent::Late)
    }
}

/// A limit on log lines about messages that are not believed.
#[derive(Debug, Default)]
struct Complaints {
    told: Option<Instant>,
    untold: u64,
}

impl Complaints {
    /// The number of messages since the last line, when it is time for another.
    fn one_more(&mut self, now: Instant) -> Option<u64> {
        if self.told.is_some_and(|told| now < told + QUIET) {
            self.untold += 1;
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests;
