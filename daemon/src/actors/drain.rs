//! The shutdown: closes sockets in slices, so that they do not all come to the next instance at once, then the actors.

use std::time::Duration;

use rand::seq::SliceRandom;
use tracing::{debug, info};

use super::close::CloseReason;
use super::realtime::Realtime;
use crate::sync::Scope;

/// The pause between two slices.
const PAUSE: Duration = Duration::from_millis(50);
/// The smallest slice: a few devices are not kept waiting.
const SMALLEST: usize = 10;
/// The part of the time in which sockets are closed; the rest is for those that take long to go.
const PART: f64 = 0.75;
/// The pause between two checks whether the sockets are gone.
const POLL: Duration = Duration::from_millis(20);
/// The time limit for messages on their way to other instances.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// The number of sockets closed at once, so that all are after [`PART`] of `window`.
fn slice(sockets: usize, window: Duration) -> usize {
    let slices = (window.as_secs_f64() * PART / PAUSE.as_secs_f64()).max(1.0);
    // Both are small enough to be exact.
    let needed = (sockets as f64 / slices).ceil() as usize;
    needed.max(SMALLEST)
}

impl Realtime {
    /// Closes every socket with 1012 and a jittered delay, spread over most of `window`, and waits until they are gone, but no
    /// longer than that. From the beginning on no new one is let in.
    pub async fn drain(&self, window: Duration) {
        self.begin_to_drain();
        let mut links = self.shared.connections.links(Scope::Global);
        links.shuffle(&mut rand::rng());
        let at_once = slice(links.len(), window);
        let gone = async {
            for (index, slice) in links.chunks(at_once).enumerate() {
                if index > 0 {
                    tokio::time::sleep(PAUSE).await;
                }
                slice.iter().for_each(|link| link.close(CloseReason::restarting()));
            }
            while self.sockets() > 0 {
                tokio::time::sleep(POLL).await;
            }
        };
        if tokio::time::timeout(window, gone).await.is_err() {
            info!(sockets = self.sockets(), "sockets were still open at the end");
        }
    }

    /// Ends the actors, once no request is left, and tells other instances.
    pub async fn stop(&self) {
        let bridge = &self.shared.bridge;
        let said = async {
            while !bridge.is_idle() || !self.shared.moves.is_empty() {
                tokio::time::sleep(POLL).await;
            }
        };
        let _: Result<(), _> = tokio::time::timeout(LAST_WORDS, said).await;
        let me = bridge.cluster.me();
        if let Some(directory) = &bridge.cluster.directory
            && let Err(error) = directory.write(move |presence| presence.retire(me)).await
        {
            debug!(%error, "the lease could not be released at shutdown; it will expire");
        }
        self.root.stop(None);
    }

    /// Ready when the actors have ended. Nobody replaces their root: the daemon has to.
    pub async fn ended(&self) {
        // Nothing is ever sent.
        let _ = self.root_ended.clone().changed().await;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn all_are_closed_in_time(sockets in 0usize..200_000, seconds in 1u64..600) {
            let window = Duration::from_secs(seconds);
            let slices = sockets.div_ceil(slice(sockets, window));
            prop_assert!(PAUSE * u32::try_from(slices.saturating_sub(1)).unwrap() <= window.mul_f64(PART));
        }
    }

    #[test]
    fn a_few_go_at_once_and_many_do_not() {
        let window = Duration::from_secs(8);
        assert_eq!(slice(5, window), SMALLEST);
        assert_eq!(slice(2400, window), 20);
    }
}
