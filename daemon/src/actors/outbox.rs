//! The queue of frames for one device: bounded in bytes, in version order, without duplicates. Pure; `Link` shares it.
//!
//! Two positions are kept for each scope. `seen` is what the session has handed to this device or will hand to it
//! beyond: a frame at or below it is a duplicate. `stands` is what was written to the socket: where the client can resume.

use std::collections::VecDeque;

use bytes::Bytes;

use super::close::CloseReason;
use super::frame::{ChangeFrame, Mark};
use crate::metrics::{Label, Loss, metrics};
use crate::sync::{Cursor, DeviceId, Scope, Version};

/// The cost of a waiting frame besides its bytes.
const OVERHEAD: usize = 64;
/// An emptied queue keeps no more room than this, in frames.
const KEPT_ROOM: usize = 8;

/// The frames that wait for one device, and where the device stands.
#[derive(Debug)]
pub(crate) struct Outbox {
    queue: VecDeque<Item>,
    bytes: usize,
    limit: usize,
    held: bool,
    seen: [Option<Version>; 2],
    stands: Cursor,
    lost: Option<[Version; 2]>,
    notice: Option<&'static str>,
    taken: u64,
    tables: Option<Vec<&'static str>>,
    uploading: bool,
    close: Option<CloseReason>,
}

#[derive(Debug)]
struct Item {
    bytes: Bytes,
    mark: Option<Mark>,
}

/// The next item for the socket to write.
#[derive(Debug, PartialEq)]
pub enum Outgoing {
    /// A message, and where the device stands once it has it.
    Message(Bytes),
    /// The one message that tells of a loss.
    SyncRequired {
        /// The reason.
        reason: &'static str,
        /// The position of the device.
        cursor: Cursor,
    },
}

impl Outbox {
    /// Held until [`Outbox::release`]. `tables` limits what is sent; none means all.
    pub(crate) fn new(limit: usize, tables: Option<Vec<&'static str>>) -> Self {
        Self {
            queue: VecDeque::new(),
            bytes: 0,
            limit,
            held: true,
            seen: [None; 2],
            stands: Cursor::default(),
            lost: None,
            notice: None,
            taken: 0,
            tables,
            uploading: false,
            close: None,
        }
    }

    /// The session has handed on everything up to `version` before this device came: it will get what is beyond.
    pub(crate) fn joined(&mut self, scope: Scope, version: Version) {
        let seen = &mut self.seen[side(scope)];
        *seen = Some(seen.unwrap_or_default().max(version));
    }

    /// The version up to which the session need not hand on again; none before it ever did.
    pub(crate) fn seen(&self, scope: Scope) -> Option<Version> {
        self.seen[side(scope)]
    }

    /// Sets the start of the stream.
    pub(crate) fn start(&mut self, cursor: Cursor) {
        self.stands = cursor;
    }

    /// Written to the socket: from the queue, or past it while it is held. What goes past it comes from the database
    /// without holes, so a loss in the queue does not matter to it.
    pub(crate) fn reached(&mut self, mark: Mark) {
        if self.held || self.lost.is_none() {
            self.stands.set(mark.scope, self.stands.at(mark.scope).max(mark.version));
        }
    }

    /// Goes live: what waits and was already written is dropped.
    pub(crate) fn release(&mut self) {
        self.held = false;
        let stands = &self.stands;
        self.queue.retain(|item| item.mark.is_none_or(|mark| mark.version > stands.at(mark.scope)));
        self.bytes = self.queue.iter().map(cost).sum();
        for (seen, at) in self.seen.iter_mut().zip([stands.global, stands.user]) {
            *seen = Some(seen.unwrap_or_default().max(at));
        }
        self.settle();
    }

    /// Queues a change, unless this device has it, made it or did not ask for its table.
    pub(crate) fn change(&mut self, device: &DeviceId, frame: &ChangeFrame) {
        let seen = &mut self.seen[side(frame.mark.scope)];
        if seen.is_none_or(|seen| frame.mark.version <= seen) {
            return;
        }
        *seen = Some(frame.mark.version);
        if self.wants(frame.table) && !self.made(device, frame) {
            if frame.is_hidden {
                return self.lose(Loss::NotShown);
            }
            self.put(Item { bytes: frame.bytes.clone(), mark: Some(frame.mark) });
        } else if !self.held {
            self.settle();
        }
    }

    /// Queues a message that is no change.
    pub(crate) fn message(&mut self, bytes: Bytes) {
        self.put(Item { bytes, mark: None });
    }

    /// True if changes of this table are sent.
    pub(crate) fn wants(&self, table: &str) -> bool {
        self.tables.as_ref().is_none_or(|tables| tables.contains(&table))
    }

    /// Device ids are unique for one user only: in the catalogue a namesake's change is not one's own. There, a
    /// change is taken for one's own only while this very socket is uploading.
    fn made(&self, device: &DeviceId, frame: &ChangeFrame) -> bool {
        frame.source.as_ref() == Some(device) && (frame.mark.scope != Scope::Global || self.uploading)
    }

    /// Notes whether this socket's own upload is under way.
    pub(crate) fn set_uploading(&mut self, uploading: bool) {
        self.uploading = uploading;
    }

    /// The first `subscribe` narrows "all" to what it names, later ones add; none named means all. Refused beyond `most`.
    pub(crate) fn subscribe(&mut self, tables: &[&'static str], most: usize) -> bool {
        let mut wanted = self.tables.clone().unwrap_or_default();
        wanted.extend(tables);
        wanted.sort_unstable();
        wanted.dedup();
        let fits = wanted.len() <= most;
        if fits {
            self.tables = (!tables.is_empty()).then_some(wanted);
        }
        fits
    }

    /// Takes tables away from what is sent; `all` are those that "all" stands for.
    pub(crate) fn unsubscribe(&mut self, tables: &[&'static str], all: impl Iterator<Item = &'static str>) {
        let mut wanted = self.tables.take().unwrap_or_else(|| all.collect());
        wanted.retain(|table| !tables.contains(table));
        self.tables = Some(wanted);
    }

    /// Empties the queue and owes the client one `sync_required`, however often this happens before it is written.
    pub(crate) fn lose(&mut self, reason: Loss) {
        metrics().outbox_losses.inc(reason);
        self.taken += self.queue.len() as u64;
        self.queue = VecDeque::new();
        self.bytes = 0;
        self.notice = Some(reason.value());
        let [global, user] = self.seen.map(Option::unwrap_or_default);
        self.lost = Some([global.max(self.stands.global), user.max(self.stands.user)]);
    }

    /// The device has pulled everything up to `cursor`; if that covers what was lost, it stands there.
    pub(crate) fn pulled(&mut self, cursor: &Cursor) {
        if self.lost.is_some_and(|[global, user]| cursor.global >= global && cursor.user >= user) {
            self.lost = None;
            self.stands.global = cursor.global;
            self.stands.user = cursor.user;
        }
    }

    /// Takes the next item to write, if any.
    pub(crate) fn take(&mut self) -> Option<Outgoing> {
        if self.held {
            return None;
        }
        if let Some(reason) = self.notice.take() {
            return Some(Outgoing::SyncRequired { reason, cursor: self.stands.clone() });
        }
        let item = self.queue.pop_front()?;
        self.taken += 1;
        self.bytes -= cost(&item);
        if let Some(mark) = item.mark {
            self.reached(mark);
        }
        if self.queue.is_empty() {
            self.queue.shrink_to(KEPT_ROOM);
            self.settle();
        }
        Some(Outgoing::Message(item.bytes))
    }

    /// True if [`Outbox::take`] has something.
    pub(crate) fn is_ready(&self) -> bool {
        !self.held && (self.notice.is_some() || !self.queue.is_empty())
    }

    /// The number of messages that have left the queue, and the number once all that wait now have left.
    pub(crate) fn progress(&self) -> (u64, u64) {
        (self.taken, self.taken + self.queue.len() as u64)
    }

    /// Asks for the socket to be closed. The first reason stays.
    pub(crate) fn close(&mut self, reason: CloseReason) {
        self.close.get_or_insert(reason);
    }

    /// The reason to close the socket, if there is one.
    pub(crate) fn closing(&self) -> Option<&CloseReason> {
        self.close.as_ref()
    }

    fn put(&mut self, item: Item) {
        let after = self.bytes + cost(&item);
        // One message that is larger than the bound may still pass an empty queue: it is shared anyway.
        if after > self.limit && !self.queue.is_empty() {
            return self.lose(Loss::TooSlow);
        }
        self.bytes = after;
        self.queue.push_back(item);
    }

    /// With nothing waiting, what was passed over counts as written.
    fn settle(&mut self) {
        if self.queue.is_empty() && self.lost.is_none() {
            let [global, user] = self.seen.map(Option::unwrap_or_default);
            self.stands.global = self.stands.global.max(global);
            self.stands.user = self.stands.user.max(user);
        }
    }
}

fn cost(item: &Item) -> usize {
    item.bytes.len() + OVERHEAD
}

/// The place of a scope in the pairs above.
fn side(scope: Scope) -> usize {
    match scope {
        Scope::Global => 0,
        Scope::User(_) => 1,
    }
}

#[cfg(test)]
mod tests;
