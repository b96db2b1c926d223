//! Every bound on what one client can use, by name.

use serde::{Deserialize, Serialize};

/// Every bound on what one client can use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// The largest WebSocket message, in bytes.
    pub message_bytes: usize,
    /// The largest request body, in bytes, after decompression.
    pub request_bytes: usize,
    /// The most changes in one request.
    pub changes_per_request: usize,
    /// The most devices of one person.
    pub devices_per_user: usize,
    /// The most tokens of one person that are remembered with the devices that came with them.
    pub tokens_per_user: usize,
    /// The most tables that one socket subscribes to by name.
    pub subscriptions: usize,
    /// What may wait for one slow device, in bytes.
    pub outbox_bytes: usize,
    /// How long a socket may take to authenticate, in seconds.
    pub auth_seconds: u64,
    /// Messages that one socket may send a second, on average.
    pub messages_per_second: u32,
    /// Messages that one socket may send at once.
    pub message_burst: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_bytes: 1 << 20,
            request_bytes: 8 << 20,
            changes_per_request: 1000,
            devices_per_user: 20,
            tokens_per_user: 200,
            subscriptions: 100,
            outbox_bytes: 256 << 10,
            auth_seconds: 5,
            messages_per_second: 100,
            message_burst: 400,
        }
    }
}

impl Limits {
    /// The limits that are zero, which would lock everybody out.
    pub(super) fn zeros(&self) -> impl Iterator<Item = &'static str> {
        let amounts = [
            ("limits.message_bytes", self.message_bytes),
            ("limits.request_bytes", self.request_bytes),
            ("limits.changes_per_request", self.changes_per_request),
            ("limits.devices_per_user", self.devices_per_user),
            ("limits.tokens_per_user", self.tokens_per_user),
            ("limits.subscriptions", self.subscriptions),
            ("limits.outbox_bytes", self.outbox_bytes),
            ("limits.auth_seconds", self.auth_seconds as usize),
            ("limits.messages_per_second", self.messages_per_second as usize),
            ("limits.message_burst", self.message_burst as usize),
        ];
        amounts.into_iter().filter(|(_, amount)| *amount == 0).map(|(name, _)| name)
    }
}
