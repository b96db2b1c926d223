//! A cache for the public calls: however many requests come, the work behind them is done once in a while.

use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// A cached value with a time limit.
pub(super) struct Recent<T>(Mutex<Option<Dated<T>>>);

struct Dated<T> {
    value: T,
    good_until: Instant,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T: Clone> Recent<T> {
    /// Returns the cached value if it is no older than `age`, else computes a new one while other callers wait.
    pub(super) async fn get(&self, age: Duration, ask: impl Future<Output = T>) -> T {
        let mut known = self.0.lock().await;
        if let Some(known) = known.as_ref().filter(|known| Instant::now() < known.good_until) {
            return known.value.clone();
        }
        let value = ask.await;
        *known = Some(Dated { value: value.clone(), good_until: Instant::now() + age });
        value
    }
}

/// The cached values behind the public calls.
#[derive(Default)]
pub(super) struct Kept {
    /// The number of devices; none when the database did not say.
    pub(super) devices: Recent<Option<i64>>,
    /// The number of sockets of other instances.
    pub(super) on_other_instances: Recent<usize>,
    /// True if the database answers.
    pub(super) ready: Recent<bool>,
    /// The description of the interface, which stays the same.
    pub(super) description: OnceLock<Bytes>,
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const AGE: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn what_is_young_is_not_asked_for_again() {
        let (kept, asked) = (Recent::default(), AtomicUsize::new(0));
        let get = || {
            let (kept, asked) = (&kept, &asked);
            kept.get(AGE, async move {
                tokio::time::sleep(Duration::from_millis(50)).await;
                asked.fetch_add(1, Ordering::Relaxed)
            })
        };
        assert_eq!(tokio::join!(get(), get(), get()), (0, 0, 0), "one asks for all");
        tokio::time::advance(AGE - Duration::from_millis(1)).await;
        assert_eq!(get().await, 0);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(get().await, 1);
    }
}
