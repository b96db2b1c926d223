//! The messages of a device, its answers, and its start.

use std::sync::Arc;

use bytes::Bytes;
use ractor::RpcReplyPort;
use tokio::time::Instant;

use crate::actors::close::CloseReason;
#[cfg(any(test, feature = "faults"))]
use crate::actors::fault::Fault;
use crate::actors::link::Link;
use crate::auth::{Caller, Verify};
use crate::budget::Held;

/// What a socket passes on to its device.
#[derive(Debug)]
pub enum Input {
    /// A text message.
    Text(Bytes),
    /// A binary message.
    Binary,
    /// A ping or pong of the WebSocket protocol.
    Heard,
    /// The deadline of the last [`Answer`] has come.
    Tick,
}

/// What the socket does then.
#[derive(Debug)]
pub struct Answer {
    /// Messages to write, after what is queued.
    pub messages: Vec<Bytes>,
    /// What they hold until they are written.
    pub memory: Option<Held>,
    /// Whether to close after that.
    pub close: Option<CloseReason>,
    /// When to send [`Input::Tick`].
    pub deadline: Instant,
}

/// What a device's actor is started with.
pub(crate) struct Setup {
    pub link: Arc<Link>,
    pub caller: Caller,
    pub verify: Arc<dyn Verify>,
}

/// What a device's actor is asked.
pub(crate) enum DeviceMsg {
    /// Something happened at the socket.
    Input(Input, RpcReplyPort<Answer>),
    /// Fails, as a fault in the code would.
    #[cfg(any(test, feature = "faults"))]
    Fault(Fault),
}
