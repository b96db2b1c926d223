//! The path of log lines to the standard error: a bounded queue and a thread, so that logging never waits for the log's
//! reader, nor fails with it.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::metrics::metrics;

/// The size of the lines that may wait for the log's reader, in bytes.
const MOST_BYTES: usize = 1 << 20;

/// Lines on their way. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Queue(Arc<(Mutex<Waiting>, Condvar)>);

#[derive(Default)]
struct Waiting {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Lines for which there was no room since the last one that was written.
    dropped: u64,
    /// True while a line is being written.
    is_writing: bool,
}

impl Queue {
    /// Starts a queue whose lines are written to `out` by a thread of its own, as long as the process lives. `missed`
    /// gets the number of dropped lines, once there is room again.
    pub(super) fn start(out: impl Write + Send + 'static, missed: fn(u64)) -> io::Result<Self> {
        let queue = Self::default();
        let reader = queue.clone();
        thread::Builder::new().name("log".into()).spawn(move || reader.write_all_to(out, missed))?;
        Ok(queue)
    }

    /// Takes a line, or drops it when the reader is too far behind.
    pub(super) fn push(&self, line: &[u8]) {
        let mut waiting = self.lock();
        if waiting.bytes + line.len() > MOST_BYTES {
            waiting.dropped += 1;
            metrics().log_lines_dropped.inc();
            return;
        }
        waiting.bytes += line.len();
        waiting.lines.push_back(line.to_vec());
        self.0.1.notify_all();
    }

    /// Waits until everything is written, but no longer than `patience`.
    pub(super) fn flush(&self, patience: Duration) {
        let end = Instant::now() + patience;
        let mut waiting = self.lock();
        while !waiting.lines.is_empty() || waiting.is_writing {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            waiting = self.0.1.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn write_all_to(&self, mut out: impl Write, missed: fn(u64)) {
        loop {
            let line = self.next();
            // A reader that went away reads nothing any more, and there is nobody else to be told.
            let is_written = out.write_all(&line).and_then(|()| out.flush()).is_ok();
            let mut waiting = self.lock();
            waiting.bytes -= line.len();
            waiting.is_writing = false;
            let dropped = if is_written { std::mem::take(&mut waiting.dropped) } else { 0 };
            self.0.1.notify_all();
            drop(waiting);
            if !is_written {
                metrics().log_lines_dropped.inc();
            }
            if dropped > 0 {
                missed(dropped);
            }
        }
    }

    fn next(&self) -> Vec<u8> {
        let mut waiting = self.lock();
        loop {
            if let Some(line) = waiting.lines.pop_front() {
                waiting.is_writing = true;
                return line;
            }
            waiting = self.0.1.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The buffer of one event, which is handed on as one line.
pub(super) struct LineOf<'q> {
    queue: &'q Queue,
    line: Vec<u8>,
}

impl Write for LineOf<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.line.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for LineOf<'_> {
    fn drop(&mut self) {
        if !self.line.is_empty() {
            self.queue.push(&self.line);
        }
    }
}

impl<'q> tracing_subscriber::fmt::MakeWriter<'q> for Queue {
    type Writer = LineOf<'q>;

    fn make_writer(&'q self) -> LineOf<'q> {
        LineOf { queue: self, line: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// A reader that takes a line only on request.
    struct Slow(Receiver<()>, Sender<Vec<u8>>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            let _ = self.1.send(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn who_does_not_read_is_waited_for_by_nobody_and_holds_a_bounded_amount() {
        let ((go, gone), (told, heard)) = (channel(), channel());
        let queue = Queue::start(Slow(gone, told), |_| {}).unwrap();
        let line = vec![b'x'; 1 << 10];
        let start = Instant::now();
        for _ in 0..5_000 {
            queue.push(&line);
        }
        queue.flush(Duration::from_millis(10));
        assert!(start.elapsed() < Duration::from_secs(5));
        let held = queue.lock().bytes;
        let dropped = queue.lock().dropped;
        assert!(held <= MOST_BYTES && dropped >= 3_000, "{held} {dropped}");
        // Once there is a reader again, all that is held is written, and the count begins anew.
        (0..5_000).for_each(|_| go.send(()).unwrap());
        queue.flush(Duration::from_secs(10));
        assert_eq!(heard.try_iter().count() as u64, 5_000 - dropped);
        assert_eq!(queue.lock().dropped, 0);
    }
}
