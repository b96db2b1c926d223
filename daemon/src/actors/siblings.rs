//! What a device does, as the user's other devices hear of it: one place for REST and socket.

use super::bridge::envelope::Addressees;
use super::context::ActorContext;
use super::message::ServerMessage;
use crate::sync::wire::SyncResponse;
use crate::sync::{DeviceId, UserId};

impl ActorContext {
    /// Sends to the user's devices but one, wherever they are. Returns how many there were here.
    pub(crate) fn tell_others(&self, user: UserId, except: Option<&DeviceId>, message: &ServerMessage<'_>) -> usize {
        let bytes = self.encoded(message);
        let to = Addressees { user: Some(user), except: except.cloned(), ..Addressees::default() };
        self.bridge.pass(to, &bytes);
        self.connections.tell_others(user, except, &bytes)
    }

    /// Asks the user's devices to sync, but not the one that wants them to. Returns how many were asked.
    pub(crate) fn trigger_sync(&self, user: UserId, from: Option<&DeviceId>) -> usize {
        self.tell_others(user, from, &ServerMessage::SyncTriggered { device_id: from, changes_count: 0 })
    }

    /// Tells the user's other devices of a device's sync, if that is of note. Returns how many changes its own socket is to
    /// hear of, then.
    pub(crate) fn synced(&self, user: UserId, device: &DeviceId, answer: &SyncResponse, full: bool) -> Option<usize> {
        let changes_count = answer.notable_changes(full)?;
        self.tell_others(user, Some(device), &ServerMessage::OtherDeviceSynced { device_id: device, changes_count });
        Some(changes_count)
    }
}
