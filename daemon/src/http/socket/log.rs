//! The line in the log that a socket leaves when it ends, also one that was refused at once.

use std::time::Instant;

use super::stream::Ended;
use crate::actors::CloseReason;
use crate::sync::UserId;

/// The longest device id that is written to the log, in characters: what came may be none.
const LONGEST_DEVICE: usize = 64;

/// The facts about a socket for its log line.
pub(super) struct SocketLog {
    began: Instant,
    device: Box<str>,
    user: Option<UserId>,
    received: u64,
    sent: u64,
}

impl SocketLog {
    /// Of a socket that has just begun; `device` is what stands in its address.
    pub(super) fn of(device: &str) -> Self {
        let device: String = device.escape_debug().take(LONGEST_DEVICE).collect();
        Self { began: Instant::now(), device: device.into(), user: None, received: 0, sent: 0 }
    }

    /// Notes whose it is.
    pub(super) fn is_of(&mut self, user: UserId) {
        self.user = Some(user);
    }

    /// Notes a message from the client.
    pub(super) fn received(&mut self) {
        self.received += 1;
    }

    /// Notes a message to the client.
    pub(super) fn sent(&mut self) {
        self.sent += 1;
    }

    /// Writes the line.
    pub(super) fn write(&self, ended: &Ended) {
        let (by, closed) = match ended {
            Ended::Closed(reason) => ("daemon", Some(reason)),
            Ended::ByPeer => ("client", None),
            Ended::Gone => ("network", None),
        };
        tracing::info!(
            target: "ryzed::socket",
            by,
            code = closed.map(CloseReason::code),
            reason = closed.map(said),
            user_id = self.user.map(tracing::field::display),
            device_id = %self.device,
            seconds = self.began.elapsed().as_millis() as f64 / 1000.0,
            received = self.received,
            sent = self.sent,
            "a socket ended"
        );
    }
}

/// The words of the close frame, but for what they repeat of the client's.
fn said(reason: &CloseReason) -> String {
    if matches!(reason, CloseReason::Restarting { .. }) {
        return "the daemon stops".into();
    }
    let text = reason.text();
    text.split('"').next().unwrap_or_default().trim_end().to_owned()
}
