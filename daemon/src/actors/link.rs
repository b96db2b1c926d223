//! The state of a connected device that its sessions and its socket share. It outlives every actor of the device.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::Instant;

use super::close::CloseReason;
use super::frame::{ChangeFrame, Mark};
use super::outbox::{Outbox, Outgoing};
use super::pulse::Pulse;
use crate::sync::presence::DevicePlace;
use crate::sync::token::{Credentials, Presented};
use crate::sync::{Cursor, DeviceId, Scope, Token, UserId, Version};

/// One connected device: who it is, what waits for it, and the bell that wakes its socket.
#[derive(Debug)]
pub struct Link {
    /// Tells two sockets of one device apart.
    pub(crate) id: u64,
    /// The owner of the device.
    pub(crate) user: UserId,
    /// The device's id.
    pub(crate) device: DeviceId,
    /// `mobile`, `web`, `desktop`, `watch`.
    pub(crate) device_type: Option<Box<str>>,
    /// The time at which it connected.
    pub(crate) since: Instant,
    /// The heartbeat of its actor.
    pub(crate) pulse: Pulse,
    token: Mutex<Option<Arc<Token>>>,
    outbox: Mutex<Outbox>,
    bell: Notify,
    /// The database knows of it, or knew.
    entered: AtomicBool,
}

impl Link {
    pub(crate) fn new(id: u64, user: UserId, device: DeviceId, device_type: Option<Box<str>>, outbox: Outbox) -> Self {
        let (token, outbox) = (Mutex::default(), Mutex::new(outbox));
        let (since, pulse) = (Instant::now(), Pulse::default());
        let (bell, entered) = (Notify::new(), AtomicBool::new(false));
        Self { id, user, device, device_type, since, pulse, token, outbox, bell, entered }
    }

    /// Notes what the device has come with, or was renewed with.
    pub(crate) fn came_with(&self, token: Option<Arc<Token>>) {
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = token;
    }

    /// Its identity and credentials, to check if it may stay.
    pub(crate) fn presented(&self) -> Presented {
        let token = self.token.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Presented { user: self.user, credentials: Credentials { token, device: Some(self.device.clone()) } }
    }

    /// As the database knows it.
    pub(crate) fn place(&self) -> DevicePlace {
        DevicePlace { user: self.user, device: self.device.clone(), link: self.id }
    }

    /// True if this link belongs to the connection at `place`.
    pub(crate) fn is(&self, place: &DevicePlace) -> bool {
        self.id == place.link && self.user == place.user && self.device == place.device
    }

    /// True if the database has, or had, an entry of this connection.
    pub(crate) fn is_entered(&self) -> bool {
        self.entered.load(Ordering::Acquire)
    }

    /// Notes that the database knows of it.
    pub(crate) fn set_entered(&self) {
        self.entered.store(true, Ordering::Release);
    }

    /// Nothing that is done under this lock can panic halfway, so a poisoned one is as good as any.
    pub(crate) fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn change(&self, frame: &ChangeFrame) {
        self.outbox().change(&self.device, frame);
        self.bell.notify_one();
    }

    pub(crate) fn message(&self, bytes: Bytes) {
        self.outbox().message(bytes);
        self.bell.notify_one();
    }

    pub(crate) fn joined(&self, scope: Scope, version: Version) {
        self.outbox().joined(scope, version);
    }

    /// Asks the socket to close. The first reason stays.
    pub fn close(&self, reason: CloseReason) {
        self.outbox().close(reason);
        self.bell.notify_one();
    }

    /// The reason to close the socket, if there is one.
    #[must_use]
    pub fn closing(&self) -> Option<CloseReason> {
        self.outbox().closing().cloned()
    }

    /// Rings when something was queued or the socket is to be closed.
    pub fn rung(&self) -> Notified<'_> {
        self.bell.notified()
    }

    /// Takes the next item to write.
    #[must_use]
    pub fn take(&self) -> Option<Outgoing> {
        self.outbox().take()
    }

    /// True if there is something to write.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.outbox().is_ready()
    }

    /// The number of messages that have left the queue, and the number once all that wait now have left.
    #[must_use]
    pub fn progress(&self) -> (u64, u64) {
        self.outbox().progress()
    }

    /// Everything of `scope` up to `version` was written past the queue.
    pub fn reached(&self, scope: Scope, version: Version) {
        self.outbox().reached(Mark { scope, version });
    }

    /// Goes live.
    pub fn release(&self) {
        self.outbox().release();
    }

    pub(crate) fn start(&self, cursor: Cursor) {
        self.outbox().start(cursor);
    }
}
