//! A timeout for writes to a connection: a client that does not read its answer is cut off, and the read of the
//! database for it ends. A connection that has become a WebSocket has bounds of its own.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Ends the waiting for good: the connection is no longer HTTP.
#[derive(Debug, Clone, Default)]
pub(super) struct Upgraded(Arc<AtomicBool>);

impl Upgraded {
    /// Says that it is a WebSocket now.
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A stream whose writes fail when not a byte was taken in time.
pub(super) struct WriteTimeout<S> {
    stream: S,
    within: Duration,
    upgraded: Upgraded,
    /// Made when a write has to wait, so that an idle connection has none.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<S> WriteTimeout<S> {
    pub(super) fn new(stream: S, within: Duration, upgraded: Upgraded) -> Self {
        Self { stream, within, upgraded, deadline: None }
    }

    /// The result of a write, or an error when it takes too long.
    fn in_time<T>(&mut self, cx: &mut Context<'_>, write: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if write.is_ready() || self.upgraded.0.load(Ordering::Relaxed) {
            self.deadline = None;
            return write;
        }
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(self.within)));
        deadline.as_mut().poll(cx).map(|()| Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteTimeout<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteTimeout<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.in_time(cx, write)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let write = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.in_time(cx, write)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let write = Pin::new(&mut self.stream).poll_flush(cx);
        self.in_time(cx, write)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let write = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.in_time(cx, write)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const WITHIN: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn who_reads_now_and_then_is_served_and_who_never_does_is_cut_off() {
        let (near, mut far) = duplex(100);
        let mut near = WriteTimeout::new(near, WITHIN, Upgraded::default());
        let reader = tokio::spawn(async move {
            let mut part = [0; 100];
            for _ in 0..5 {
                sleep(WITHIN - Duration::from_secs(1)).await;
                far.read_exact(&mut part).await.expect("a part");
            }
            far
        });
        near.write_all(&[1; 500]).await.expect("the reader is slow, not dead");
        let _far = reader.await.expect("the reader");
        near.write_all(&[1; 100]).await.expect("there is room");
        let error = near.write_all(&[1; 100]).await.expect_err("nobody reads");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn an_upgraded_connection_waits_for_as_long_as_it_likes() {
        let (near, _far) = duplex(10);
        let upgraded = Upgraded::default();
        let mut near = WriteTimeout::new(near, WITHIN, upgraded.clone());
        upgraded.set();
        let writing = tokio::time::timeout(WITHIN * 100, near.write_all(&[1; 100]));
        assert!(writing.await.is_err(), "it still waits");
    }
}
