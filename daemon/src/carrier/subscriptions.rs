//! The wanted channels and the subscribed ones: the difference is the work to do. No I/O.

use std::collections::{HashMap, HashSet};

use crate::sync::UserId;

/// Channels of people whose messages are wanted, and channels that were subscribed to, each with whose it is.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    wanted: HashMap<String, UserId>,
    held: HashMap<String, UserId>,
    /// Of those held, the ones that the server has confirmed.
    confirmed: HashSet<String>,
    /// There is a connection to subscribe over.
    is_connected: bool,
}

/// The changes to the subscriptions, limited to a number at once.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    /// To subscribe to.
    pub begin: Vec<(String, UserId)>,
    /// To unsubscribe from.
    pub end: Vec<String>,
}

impl Subscriptions {
    pub(super) fn want(&mut self, channel: String, user: UserId, wanted: bool) {
        if wanted {
            self.wanted.insert(channel, user);
        } else {
            self.wanted.remove(&channel);
        }
    }

    /// True if the messages of a channel should come by now.
    pub(super) fn is_held(&self, channel: &str) -> bool {
        self.held.contains_key(channel)
    }

    /// True if there is nothing to wait for: the messages of a channel come, or nobody wants them, or they can't come.
    pub(super) fn is_settled(&self, channel: &str) -> bool {
        !self.is_connected || self.confirmed.contains(channel) || !self.wanted.contains_key(channel)
    }

    /// The connection is a new one, with nothing subscribed to yet, or is gone.
    pub(super) fn begin(&mut self, is_connected: bool) {
        self.held.clear();
        self.confirmed.clear();
        self.is_connected = is_connected;
    }

    /// The server has confirmed these.
    pub(super) fn confirm(&mut self, channels: Vec<String>) {
        self.confirmed.extend(channels);
    }

    /// The next things to do, which count as done. Empty when there are none.
    pub(super) fn next(&mut self, most: usize) -> Difference {
        let begin = self.wanted.iter().filter(|(channel, _)| !self.held.contains_key(*channel)).take(most);
        let begin: Vec<(String, UserId)> = begin.map(|(channel, user)| (channel.clone(), *user)).collect();
        let end = self.held.keys().filter(|channel| !self.wanted.contains_key(*channel)).take(most);
        let end: Vec<String> = end.cloned().collect();
        self.held.extend(begin.iter().cloned());
        self.held.retain(|channel, _| !end.contains(channel));
        self.confirmed.retain(|channel| !end.contains(channel));
        Difference { begin, end }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn want(subscriptions: &mut Subscriptions, n: u8, wanted: bool) {
        subscriptions.want(format!("c-{n}"), UserId(uuid::Uuid::from_u128(n.into())), wanted);
    }

    proptest! {
        #[test]
        fn what_is_held_becomes_what_is_wanted(steps in prop::collection::vec((0u8..6, 0u8..4), 0..60)) {
            let mut subscriptions = Subscriptions::default();
            let mut server = HashSet::new();
            let mut carry_out = |difference: Difference| {
                for (channel, _) in difference.begin {
                    assert!(server.insert(channel), "subscribed twice");
                }
                for channel in difference.end {
                    assert!(server.remove(&channel), "was not subscribed");
                }
                server.clone()
            };
            for (who, what) in steps {
                match what {
                    0 => want(&mut subscriptions, who, true),
                    1 => want(&mut subscriptions, who, false),
                    _ => drop(carry_out(subscriptions.next(1))),
                }
            }
            for _ in 0..6 {
                carry_out(subscriptions.next(2));
            }
            prop_assert_eq!(carry_out(subscriptions.next(1)), subscriptions.wanted.keys().cloned().collect());
            prop_assert_eq!(subscriptions.next(9), Difference::default());
        }
    }

    #[test]
    fn a_channel_is_waited_for_until_it_is_confirmed() {
        let mut subscriptions = Subscriptions::default();
        want(&mut subscriptions, 1, true);
        assert!(subscriptions.is_settled("c-1"), "there is no connection");
        subscriptions.begin(true);
        assert!(!subscriptions.is_settled("c-1") && subscriptions.is_settled("c-2"));
        subscriptions.next(9);
        assert!(!subscriptions.is_settled("c-1"));
        subscriptions.confirm(vec!["c-1".into()]);
        assert!(subscriptions.is_settled("c-1"));
        want(&mut subscriptions, 1, false);
        subscriptions.next(9);
        want(&mut subscriptions, 1, true);
        assert!(!subscriptions.is_settled("c-1"));
    }

    #[test]
    fn a_new_connection_begins_with_nothing() {
        let mut subscriptions = Subscriptions::default();
        subscriptions.begin(true);
        want(&mut subscriptions, 1, true);
        assert_eq!(subscriptions.next(9).begin.len(), 1);
        assert!(subscriptions.is_held("c-1") && !subscriptions.is_held("c-2"));
        subscriptions.begin(true);
        assert!(!subscriptions.is_held("c-1"));
        assert_eq!(subscriptions.next(9).begin.len(), 1);
    }
}
