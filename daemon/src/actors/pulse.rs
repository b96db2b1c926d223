//! The watchdog's view of an actor. The actor notes when it begins with a message, gets on with a long one, and is done;
//! its supervisor looks now and then. Nothing is sent for that: an idle actor sleeps on, and a long queue is no hang.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tokio::time::Instant;

/// The number of checks within the hang timeout.
const LOOKS: u32 = 4;
/// The content of [`Pulse`] while there is nothing to do.
const IDLE: u64 = 0;

/// A moment, in milliseconds since some moment before, and never [`IDLE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Moment(u64);

impl Moment {
    fn now() -> Self {
        static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
        Self(u64::try_from(BEGIN.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1)
    }
}

/// Since when an actor has been busy with the same thing. Cheap to clone; shared by the actor and its supervisor.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pulse(Arc<AtomicU64>);

/// An actor at work; dropping it is being done.
pub(crate) struct Working(Pulse);

impl Pulse {
    /// The actor takes a message.
    pub(crate) fn begin(&self) -> Working {
        self.heartbeat();
        Working(self.clone())
    }

    /// The actor has come further with a message that is long by its nature.
    pub(crate) fn heartbeat(&self) {
        self.set(Some(Moment::now()));
    }

    /// True if the actor has been busy with the same thing for longer than `patience`.
    pub(crate) fn is_hung(&self, patience: Duration) -> bool {
        self.was_hung_at(Moment::now(), patience)
    }

    fn was_hung_at(&self, now: Moment, patience: Duration) -> bool {
        match self.0.load(Ordering::Relaxed) {
            IDLE => false,
            since => u128::from(now.0.saturating_sub(since)) > patience.as_millis(),
        }
    }

    fn set(&self, since: Option<Moment>) {
        self.0.store(since.map_or(IDLE, |moment| moment.0), Ordering::Relaxed);
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.0.set(None);
    }
}

/// The pause between two checks of actors that may be busy for `patience`.
pub(crate) fn interval(patience: Duration) -> Duration {
    patience / LOOKS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A step of an actor, with the time since the step before, in milliseconds.
    #[derive(Debug, Clone, Copy)]
    enum Step {
        Begin(u64),
        GetOn(u64),
        Done(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = (0..3, 0..5_000u64).prop_map(|(kind, later)| match kind {
            0 => Step::Begin(later),
            1 => Step::GetOn(later),
            _ => Step::Done(later),
        });
        proptest::collection::vec(step, 0..30)
    }

    proptest! {
        #[test]
        fn only_who_is_busy_and_has_not_got_on_in_time_is_hung(steps in steps(), later in 0..9_000u64, patience in 1..4_000u64) {
            let pulse = Pulse::default();
            let (mut now, mut busy_since) = (1, None);
            for step in steps {
                let (later, state) = match step {
                    Step::Begin(later) => (later, Some(())),
                    // Only an actor at work gets on.
                    Step::GetOn(later) => (later, busy_since.map(|_| ())),
                    Step::Done(later) => (later, None),
                };
                now += later;
                busy_since = state.map(|()| now);
                pulse.set(busy_since.map(Moment));
            }
            let hung = busy_since.is_some_and(|since| now + later - since > patience);
            prop_assert_eq!(pulse.was_hung_at(Moment(now + later), Duration::from_millis(patience)), hung);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_actor_never_hangs_and_a_busy_one_does_unless_it_gets_on() {
        const PATIENCE: Duration = Duration::from_secs(60);
        let pulse = Pulse::default();
        tokio::time::advance(PATIENCE * 10).await;
        assert!(!pulse.is_hung(PATIENCE));
        let working = pulse.begin();
        for _ in 0..10 {
            tokio::time::advance(PATIENCE).await;
            assert!(!pulse.is_hung(PATIENCE));
            pulse.heartbeat();
        }
        tokio::time::advance(PATIENCE + Duration::from_millis(1)).await;
        assert!(pulse.is_hung(PATIENCE));
        drop(working);
        assert!(!pulse.is_hung(PATIENCE));
    }
}
