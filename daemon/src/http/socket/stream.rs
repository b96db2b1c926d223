//! The stream below a socket, and how a socket is ended so that its client reads why.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::{FutureExt, SinkExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::timeout;
use yawc::WebSocketError;
use yawc::close::CloseCode;
use yawc::frame::{Frame, OpCode};

use super::Socket;
use super::meter::Meter;
use crate::actors::CloseReason;
use crate::budget::{Budget, Who, note};
use crate::metrics::{EndedBy, Limit, metrics};
use crate::sync::UserId;

/// The time limit for writing a close frame.
const WRITE_CLOSE: Duration = Duration::from_secs(2);
/// The time limit for the client's own close frame.
const AWAIT_CLOSE: Duration = Duration::from_secs(2);
/// The number of frames that may come before that.
const LAST_FRAMES: usize = 1000;
/// The time, and the number of bytes, for which a client's further data is read and thrown away.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 8 << 20;

/// The reason for the end of a socket.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The daemon closes it.
    Closed(CloseReason),
    /// The client closed it.
    ByPeer,
    /// The connection broke.
    Gone,
}

impl Ended {
    /// Maps an error of the library to the reason for the end.
    pub(super) fn of(error: &WebSocketError) -> Self {
        match error {
            WebSocketError::FrameTooLarge => Self::Closed(CloseReason::TooLarge),
            WebSocketError::InvalidUTF8 => Self::Closed(CloseReason::NotText),
            // What is no compressed message; nothing that a stream says.
            WebSocketError::IoError(error) if error.kind() == io::ErrorKind::InvalidInput => {
                Self::Closed(CloseReason::Malformed)
            }
            WebSocketError::ConnectionClosed | WebSocketError::IoError(_) => Self::Gone,
            _ => Self::Closed(CloseReason::Malformed),
        }
    }
}

/// Ends a socket: the close frame, the client's answer to it, and an orderly end of the stream below. Closing a stream
/// while data is on its way to it would make the client's system drop the close frame unread.
pub(super) async fn end(mut socket: Socket, mut stream: SharedStream, ended: Ended) {
    match &ended {
        Ended::Closed(reason) => {
            if *reason == CloseReason::TooLarge {
                note(Limit::MessageBytes, Who::Nobody);
            }
            metrics().closed(reason.code());
        }
        Ended::ByPeer => metrics().sockets_ended.inc(EndedBy::Client),
        Ended::Gone => metrics().sockets_ended.inc(EndedBy::Network),
    }
    match ended {
        Ended::Closed(reason) => {
            // The library closes by itself for the errors that it finds in a single frame.
            let closed_already =
                matches!(socket.next_frame().now_or_never(), Some(Err(WebSocketError::ConnectionClosed)));
            if !closed_already {
                let frame = Frame::close(CloseCode::from(reason.code()), reason.text().as_bytes());
                if !matches!(timeout(WRITE_CLOSE, socket.send(frame)).await, Ok(Ok(()))) {
                    return;
                }
                // Each ping wants an answer, and who does not read must not pile them up.
                let answered = async {
                    for _ in 0..LAST_FRAMES {
                        match socket.next_frame().await {
                            Ok(frame) if frame.opcode() != OpCode::Close => {}
                            _ => break,
                        }
                    }
                };
                let _ = timeout(AWAIT_CLOSE, answered).await;
            }
        }
        // The library answers a client's close frame, but only while it is asked for more.
        Ended::ByPeer => {
            let answer = async {
                for _ in 0..LAST_FRAMES {
                    if socket.next_frame().await.is_err() {
                        break;
                    }
                }
            };
            let _ = timeout(WRITE_CLOSE, answer).await;
        }
        Ended::Gone => return,
    }
    drop(socket);
    let _ = timeout(LINGER, stream.linger()).await;
}

/// Hyper's stream, shared by the library and the task that ends it, with a meter for incoming bytes.
#[derive(Clone)]
pub(super) struct SharedStream(Arc<Mutex<Metered>>);

struct Metered {
    stream: TokioIo<Upgraded>,
    meter: Meter,
}

impl SharedStream {
    pub(super) fn new(stream: TokioIo<Upgraded>, meter: Meter) -> Self {
        Self(Arc::new(Mutex::new(Metered { stream, meter })))
    }

    /// Notes the user of the connection, once it is known.
    pub(super) fn belongs_to(&self, budget: &Arc<Budget>, user: UserId) {
        self.inner().meter.belongs_to(budget, user);
    }

    /// The library has handed on a frame of so many bytes; `is_whole` when it was a message, and the last of what came.
    pub(super) fn delivered(&self, bytes: usize, is_whole: bool) {
        self.inner().meter.delivered(bytes, is_whole);
    }

    /// True if reading has stopped for lack of memory.
    pub(super) fn is_refused(&self) -> bool {
        self.inner().meter.is_refused()
    }

    /// One task uses it, so nobody ever waits here.
    fn inner(&self) -> MutexGuard<'_, Metered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads and throws away the rest, which therefore need not be measured.
    async fn linger(&mut self) -> io::Result<()> {
        self.inner().meter.switch_off();
        self.shutdown().await?;
        let mut waste = vec![0; 4096];
        let mut read = 0;
        while read < LINGER_BYTES {
            match self.read(&mut waste).await? {
                0 => break,
                count => read += count,
            }
        }
        Ok(())
    }
}

impl AsyncRead for SharedStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.inner();
        let Metered { stream, meter } = &mut *inner;
        ready!(meter.poll_may_read(cx));
        let before = buffer.filled().len();
        ready!(Pin::new(stream).poll_read(cx, buffer))?;
        meter.came(buffer.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for SharedStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner().stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner().stream).poll_shutdown(cx)
    }
}
