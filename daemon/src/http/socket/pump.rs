//! The main loop of a connected socket: writes waiting messages, passes incoming ones on, one at a time.
//!
//! Nothing is read while a message is being served or its answer waits to be written, so a client
//! that does not read can't make the daemon hold more than one message of it.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, SinkExt};
use tokio::time::{Instant, Sleep, sleep_until};
use yawc::frame::{Frame, OpCode};

use super::Socket;
use super::log::SocketLog;
use super::stream::{Ended, SharedStream};
use crate::actors::{Answer, CloseReason, Connection, Input, Link, Replay, ReplayPage};
use crate::budget::{Held, Who, note};
use crate::metrics::Limit;
use crate::sync::{ChangeRecord, Scope, Version};

/// The time for the last messages once a socket is to be closed.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// The time that a reader may take for an answer, whatever its size.
const ANSWER: Duration = Duration::from_secs(30);
/// The time that a slow reader may take for the next message of a replay before its heartbeat is judged.
const SLOW_READER: Duration = Duration::from_secs(10);

/// Serves a device until its socket ends.
pub(super) async fn run(
    socket: &mut Socket,
    stream: &SharedStream,
    mut connection: Connection,
    log: &mut SocketLog,
) -> Ended {
    let link = Arc::clone(connection.link());
    let welcome = connection.take_welcome().into_iter().map(Direct::Message).collect();
    let replay = connection.take_replay();
    let mut pump = Pump {
        socket,
        stream,
        log,
        link: Arc::clone(&link),
        direct: welcome,
        unread: None,
        after: 0,
        serving: None,
        replay,
        held: true,
        close: None,
        unflushed: false,
        progress: false,
        connection,
    };
    let mut deadline = pin!(sleep_until(pump.connection.first_deadline()));
    loop {
        if let Some(ended) = pump.prepare(deadline.as_mut()) {
            return ended;
        }
        let rung = pin!(link.rung());
        let turn = pump.turn(rung, deadline.as_mut()).await;
        if let Some(ended) = pump.take_turn(turn, deadline.as_mut()) {
            return ended;
        }
    }
}

struct Pump<'a> {
    socket: &'a mut Socket,
    stream: &'a SharedStream,
    log: &'a mut SocketLog,
    connection: Connection,
    link: Arc<Link>,
    /// The messages written past the outbox: the welcome, the replay, answers.
    direct: VecDeque<Direct>,
    /// A long answer, until it has left the library's buffer.
    unread: Option<Unread>,
    /// The place in the outbox that the answer waits for: frames queued before it go first.
    after: u64,
    serving: Option<BoxFuture<'static, Served>>,
    replay: Option<Replay>,
    held: bool,
    close: Option<CloseReason>,
    unflushed: bool,
    progress: bool,
}

/// An answer that its client has not read yet.
struct Unread {
    _memory: Held,
    until: Instant,
}

/// One thing to write past the outbox.
enum Direct {
    Message(Bytes),
    Change(Box<ChangeRecord>),
    /// Nothing to write: everything up to here was.
    Reached(Scope, Version),
}

/// The result that the socket waited for.
enum Served {
    Answer(Option<Answer>),
    Page(Result<ReplayPage, CloseReason>),
}

/// The event that woke the pump.
enum Turn {
    Rung,
    Written,
    Deadline,
    Came(Frame),
    Served(Served),
    Broken(Ended),
}

impl Pump<'_> {
    /// Between two turns: ends, or goes on with the replay, or goes live.
    fn prepare(&mut self, deadline: Pin<&mut Sleep>) -> Option<Ended> {
        // A client that sends heartbeats and never reads would hold it for ever.
        if self.unread.as_ref().is_some_and(|unread| unread.until < Instant::now()) {
            note(Limit::LeastBytesPerSecond, Who::User(self.link.user));
            return Some(Ended::Closed(CloseReason::Unread));
        }
        if self.close.is_none()
            && let Some(reason) = self.link.closing()
        {
            // What is being served when the daemon stops is finished, and its answer sent.
            let waits = matches!(reason, CloseReason::Restarting { .. }) && self.serving.is_some();
            if !waits {
                self.close_soon(reason, deadline);
            }
        }
        if !self.direct.is_empty() {
            return None;
        }
        if let Some(reason) = self.close.take() {
            return Some(Ended::Closed(reason));
        }
        if self.serving.is_none() && self.held {
            match self.replay.take() {
                Some(replay) => self.serving = Some(async { Served::Page(replay.next().await) }.boxed()),
                None => {
                    self.held = false;
                    self.link.release();
                }
            }
        }
        None
    }

    /// Closes once the answers are written, or cannot be.
    fn close_soon(&mut self, reason: CloseReason, deadline: Pin<&mut Sleep>) {
        self.close = Some(reason);
        self.direct.retain(|direct| matches!(direct, Direct::Message(_)));
        self.replay = None;
        deadline.reset(Instant::now() + LAST_WORDS);
    }

    /// Writes what can be written, and waits for the next thing to do.
    async fn turn(&mut self, mut rung: Pin<&mut impl Future<Output = ()>>, mut deadline: Pin<&mut Sleep>) -> Turn {
        poll_fn(|cx| {
            // First, so that nothing that is queued from here on is missed.
            if rung.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Turn::Rung);
            }
            let had_direct = !self.direct.is_empty();
            if let Poll::Ready(Err(ended)) = self.poll_write(cx) {
                return Poll::Ready(Turn::Broken(ended));
            }
            if had_direct && self.direct.is_empty() {
                return Poll::Ready(Turn::Written);
            }
            if let Some(serving) = &mut self.serving {
                if let Poll::Ready(served) = serving.as_mut().poll(cx) {
                    self.serving = None;
                    return Poll::Ready(Turn::Served(served));
                }
                // The heartbeat can't be judged while nothing is read; only last words have an end.
                if self.close.is_none() {
                    return Poll::Pending;
                }
            } else if self.direct.is_empty() {
                match self.socket.poll_next_frame(cx) {
                    Poll::Ready(Ok(frame)) => return Poll::Ready(Turn::Came(frame)),
                    Poll::Ready(Err(error)) => return Poll::Ready(Turn::Broken(Ended::of(&error))),
                    // There is no memory for what is coming.
                    Poll::Pending if self.stream.is_refused() && self.close.is_none() => {
                        return Poll::Ready(Turn::Broken(Ended::Closed(CloseReason::TryLater)));
                    }
                    Poll::Pending => {}
                }
            }
            deadline.as_mut().poll(cx).map(|()| Turn::Deadline)
        })
        .await
    }

    fn take_turn(&mut self, turn: Turn, deadline: Pin<&mut Sleep>) -> Option<Ended> {
        match turn {
            Turn::Rung | Turn::Written => {}
            Turn::Deadline => match self.close.take() {
                Some(reason) => return Some(Ended::Closed(reason)),
                // What a client says while it takes its time to read is not read: that is no silence.
                None if !self.direct.is_empty() && std::mem::take(&mut self.progress) => {
                    deadline.reset(Instant::now() + SLOW_READER);
                }
                None => self.ask(Input::Tick),
            },
            Turn::Came(frame) => match self.delivered(&frame) {
                OpCode::Close => return Some(Ended::ByPeer),
                OpCode::Text => {
                    self.log.received();
                    self.ask(Input::Text(frame.into_payload()));
                }
                OpCode::Binary | OpCode::Continuation => self.ask(Input::Binary),
                OpCode::Ping | OpCode::Pong => self.ask(Input::Heard),
            },
            Turn::Served(Served::Answer(Some(answer))) => {
                self.after = self.link.progress().1;
                self.direct.extend(answer.messages.into_iter().map(Direct::Message));
                self.unread = answer.memory.map(|memory| self.unread_from_now(memory));
                match answer.close {
                    Some(reason) if self.close.is_none() => self.close_soon(reason, deadline),
                    None if self.close.is_none() => deadline.reset(answer.deadline),
                    _ => {}
                }
            }
            // The device's actor has failed, or ended with the daemon in the middle of a request.
            Turn::Served(Served::Answer(None)) => {
                return Some(Ended::Closed(self.link.closing().unwrap_or(CloseReason::Internal)));
            }
            Turn::Served(Served::Page(Ok(page))) => {
                self.direct.extend(page.records.into_iter().map(|record| Direct::Change(Box::new(record))));
                self.direct.push_back(Direct::Reached(page.scope, page.reached));
                self.replay = page.rest;
            }
            Turn::Served(Served::Page(Err(reason))) => return Some(Ended::Closed(reason)),
            Turn::Broken(ended) => return Some(ended),
        }
        None
    }

    fn delivered(&self, frame: &Frame) -> OpCode {
        let is_whole = matches!(frame.opcode(), OpCode::Text | OpCode::Binary);
        self.stream.delivered(frame.payload().len(), is_whole);
        frame.opcode()
    }

    fn unread_from_now(&self, memory: Held) -> Unread {
        let seconds = memory.bytes() as u64 / self.connection.limits().least_bytes_per_second;
        Unread { _memory: memory, until: Instant::now() + ANSWER + Duration::from_secs(seconds) }
    }

    fn ask(&mut self, input: Input) {
        self.serving = Some(self.connection.input(input).map(Served::Answer).boxed());
    }

    /// Hands frames to the library as long as it takes them. A frame leaves the outbox only then.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        while self.has_output() {
            ready!(self.socket.poll_ready_unpin(cx)).map_err(|_| Ended::Gone)?;
            let Some(bytes) = self.next_output() else { continue };
            self.socket.start_send_unpin(Frame::text(bytes)).map_err(|_| Ended::Gone)?;
            self.log.sent();
            self.unflushed = true;
            self.progress = true;
        }
        if self.unflushed {
            ready!(self.socket.poll_flush_unpin(cx)).map_err(|_| Ended::Gone)?;
            self.unflushed = false;
        }
        self.unread = None;
        Poll::Ready(Ok(()))
    }

    fn direct_is_due(&self) -> bool {
        !self.direct.is_empty() && (self.held || self.close.is_some() || self.link.progress().0 >= self.after)
    }

    fn has_output(&self) -> bool {
        self.direct_is_due() || self.link.is_ready()
    }

    fn next_output(&mut self) -> Option<Bytes> {
        if !self.direct_is_due() {
            return self.link.take().map(|outgoing| self.connection.outgoing(outgoing));
        }
        match self.direct.pop_front()? {
            Direct::Message(bytes) => Some(bytes),
            Direct::Change(record) => {
                self.link.reached(record.scope, record.version);
                Some(self.connection.change(&record))
            }
            Direct::Reached(scope, version) => {
                self.link.reached(scope, version);
                None
            }
        }
    }
}
