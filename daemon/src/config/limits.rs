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
    /// The largest row, in bytes of its JSON.
    pub row_bytes: usize,
    /// The most values in one row, those within lists and objects counted.
    pub row_values: usize,
    /// What the rows that one request changes may take in memory together, in bytes. A single one always goes.
    pub work_bytes: usize,
    /// What an answer may tell of conflicting values, and of the rows that they are in, in bytes.
    pub conflict_bytes: usize,
    /// The most conflicts of one person that wait to be settled.
    pub open_conflicts: usize,
    /// What those conflicts may take, in bytes.
    pub open_conflict_bytes: usize,
    /// The most results of one person that are kept, by which a repeated upload is known.
    pub receipts_per_user: usize,
    /// The most devices of one person.
    pub devices_per_user: usize,
    /// The most tokens of one person that are remembered with the devices that came with them.
    pub tokens_per_user: usize,
    /// The most revoked devices of one person that are remembered.
    pub revoked_devices: usize,
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
            row_bytes: 8 << 20,
            row_values: 100_000,
            work_bytes: 64 << 20,
            conflict_bytes: 4 << 20,
            open_conflicts: 1000,
            open_conflict_bytes: 8 << 20,
            receipts_per_user: 10_000_000,
            devices_per_user: 20,
            tokens_per_user: 200,
            revoked_devices: 200,
            subscriptions: 100,
            outbox_bytes: 256 << 10,
            auth_seconds: 5,
            messages_per_second: 100,
            message_burst: 400,
        }
    }
}

impl Limits {
    /// The first limit that is zero, which would lock everybody out.
    pub(super) fn first_zero(&self) -> Option<&'static str> {
        let amounts = [
            ("limits.message_bytes", self.message_bytes),
            ("limits.request_bytes", self.request_bytes),
            ("limits.changes_per_request", self.changes_per_request),
            ("limits.row_bytes", self.row_bytes),
            ("limits.row_values", self.row_values),
            ("limits.work_bytes", self.work_bytes),
            ("limits.conflict_bytes", self.conflict_bytes),
            ("limits.open_conflicts", self.open_conflicts),
            ("limits.open_conflict_bytes", self.open_conflict_bytes),
            ("limits.receipts_per_user", self.receipts_per_user),
            ("limits.devices_per_user", self.devices_per_user),
            ("limits.tokens_per_user", self.tokens_per_user),
            ("limits.revoked_devices", self.revoked_devices),
            ("limits.subscriptions", self.subscriptions),
            ("limits.outbox_bytes", self.outbox_bytes),
            ("limits.auth_seconds", self.auth_seconds as usize),
            ("limits.messages_per_second", self.messages_per_second as usize),
            ("limits.message_burst", self.message_burst as usize),
        ];
        amounts.into_iter().find_map(|(name, amount)| (amount == 0).then_some(name))
    }
}
