//! A limit on incomplete messages: few bytes of a client that is not authenticated, and of a device as many as
//! its person's share of memory holds. The rest of a larger message is not read, and the socket closes, at once or at a
//! time limit, so that its client gets the reason.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::budget::{Arriving, Budget, Refused};
use crate::sync::UserId;

/// The bytes of an incomplete message that an unauthenticated client may send: more than any token.
const OF_NOBODY: usize = 64 << 10;
/// The bytes of an incomplete message that a device may send without a share of memory.
const FREE: usize = 16 << 10;
/// The least that is asked for, in bytes.
const LEAST: usize = 64 << 10;
/// The bytes of a frame besides its payload. A longer head only belongs to complete messages.
const HEAD: usize = 6;

/// Measures what comes.
pub(super) struct Meter {
    /// Bytes since the last whole message.
    coming: usize,
    /// The largest message.
    most: usize,
    whose: Option<(Arc<Budget>, UserId)>,
    is_off: bool,
    is_refused: bool,
    /// Made for what is large, so that an idle socket has none.
    memory: Option<Box<Memory>>,
}

#[derive(Default)]
struct Memory {
    /// For so many bytes.
    bytes: usize,
    held: Option<Arriving>,
    asking: Option<BoxFuture<'static, Result<Arriving, Refused>>>,
}

impl Meter {
    pub(super) fn new(most: usize) -> Self {
        Self { coming: 0, most, whose: None, is_off: false, is_refused: false, memory: None }
    }

    pub(super) fn belongs_to(&mut self, budget: &Arc<Budget>, user: UserId) {
        self.whose = Some((Arc::clone(budget), user));
    }

    pub(super) fn switch_off(&mut self) {
        self.is_off = true;
        self.memory = None;
    }

    /// True if there is no memory for the rest of the message.
    pub(super) fn is_refused(&self) -> bool {
        self.is_refused
    }

    /// Waits for memory where what is coming has none; for ever where there is none.
    pub(super) fn poll_may_read(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_off {
            return Poll::Ready(());
        }
        if self.is_refused {
            return Poll::Pending;
        }
        let Some((budget, user)) = &self.whose else {
            return if self.coming <= OF_NOBODY { Poll::Ready(()) } else { Poll::Pending };
        };
        let wanted = self.coming.min(self.most);
        let is_enough = |memory: &Memory| memory.asking.is_none() && memory.bytes >= wanted;
        if wanted <= FREE || self.memory.as_deref().is_some_and(is_enough) {
            return Poll::Ready(());
        }
        let memory = self.memory.get_or_insert_default();
        let Memory { bytes, held, asking } = &mut **memory;
        let asking = asking.get_or_insert_with(|| {
            *bytes = (wanted * 2).clamp(LEAST, self.most.max(LEAST));
            more(budget, *user, self.most, *bytes, held.take())
        });
        let outcome = ready!(asking.as_mut().poll(cx));
        memory.asking = None;
        match outcome {
            Ok(held) => {
                memory.held = Some(held);
                Poll::Ready(())
            }
            Err(_) => {
                self.is_refused = true;
                Poll::Pending
            }
        }
    }

    pub(super) fn came(&mut self, bytes: usize) {
        self.coming = self.coming.saturating_add(bytes);
    }

    pub(super) fn delivered(&mut self, bytes: usize, is_whole: bool) {
        if is_whole {
            (self.coming, self.memory) = (0, None);
        } else {
            self.coming = self.coming.saturating_sub(bytes + HEAD);
        }
    }
}

/// Memory for so many bytes of at most so many, with what there is already.
fn more(
    budget: &Arc<Budget>,
    user: UserId,
    most: usize,
    bytes: usize,
    held: Option<Arriving>,
) -> BoxFuture<'static, Result<Arriving, Refused>> {
    let budget = Arc::clone(budget);
    async move {
        let mut held = match held {
            Some(held) => held,
            None => budget.arriving(user, most).await?,
        };
        held.came(bytes).await?;
        Ok(held)
    }
    .boxed()
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use tokio::time::timeout;
    use uuid::Uuid;

    use super::*;
    use crate::config::Limits;

    const MESSAGE: usize = 1 << 20;

    fn user(number: u128) -> UserId {
        UserId(Uuid::from_u128(number))
    }

    fn budget() -> Arc<Budget> {
        let limits = Limits { bytes_per_user: 8 * MESSAGE, wait_seconds: 1, ..Limits::default() };
        Budget::new(Arc::new(limits))
    }

    /// True if reading may go on, before anybody would give up.
    async fn may_read(meter: &mut Meter) -> bool {
        timeout(Duration::from_secs(5), poll_fn(|cx| meter.poll_may_read(cx))).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_not_said_who_they_are_may_send_little() {
        let mut meter = Meter::new(MESSAGE);
        meter.came(OF_NOBODY);
        assert!(may_read(&mut meter).await);
        meter.came(1);
        assert!(!may_read(&mut meter).await);
        meter.switch_off();
        assert!(may_read(&mut meter).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_persons_messages_share_what_they_have() {
        let budget = budget();
        let half = |bytes: usize| {
            let mut meter = Meter::new(MESSAGE);
            meter.belongs_to(&budget, user(1));
            meter.came(bytes);
            meter
        };
        let mut meters: Vec<Meter> = (0..8).map(|_| half(MESSAGE / 2)).collect();
        for meter in &mut meters {
            assert!(may_read(meter).await);
        }
        let mut last = half(MESSAGE / 2);
        assert!(!may_read(&mut last).await && last.is_refused());
        meters[0].delivered(MESSAGE, true);
        assert!(may_read(&mut half(MESSAGE)).await);
        meters[1].came(MESSAGE / 2);
        assert!(may_read(&mut meters[1]).await, "what has begun may end");
    }

    #[tokio::test(start_paused = true)]
    async fn small_messages_and_pings_ask_for_nothing() {
        let budget = budget();
        let mut meter = Meter::new(MESSAGE);
        meter.belongs_to(&budget, user(1));
        for _ in 0..10_000 {
            meter.came(100 + HEAD);
            assert!(may_read(&mut meter).await);
            meter.delivered(100, false);
        }
        meter.came(FREE);
        assert!(may_read(&mut meter).await && meter.memory.is_none());
        assert!(size_of::<Meter>() <= 64, "an idle socket has one");
    }
}
