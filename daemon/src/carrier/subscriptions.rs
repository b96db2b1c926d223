//! Whose messages are wanted, and whose are subscribed to: what is between the two is to be done. No I/O.

use std::collections::HashMap;

use crate::sync::UserId;

/// Channels of people whose messages are wanted, and channels whose messages come, each with whose it is.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    wanted: HashMap<String, UserId>,
    held: HashMap<String, UserId>,
}

/// What is to be done, at most so much at once.
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

    /// Whether the messages of a channel should come by now.
    pub(super) fn is_held(&self, channel: &str) -> bool {
        self.held.contains_key(channel)
    }

    /// The connection is another: nothing is subscribed to any more.
    pub(super) fn lost(&mut self) {
        self.held.clear();
    }

    /// The next things to do, which count as done. Empty when there are none.
    pub(super) fn next(&mut self, most: usize) -> Difference {
        let begin = self.wanted.iter().filter(|(channel, _)| !self.held.contains_key(*channel)).take(most);
        let begin: Vec<(String, UserId)> = begin.map(|(channel, user)| (channel.clone(), *user)).collect();
        let end = self.held.keys().filter(|channel| !self.wanted.contains_key(*channel)).take(most);
        let end: Vec<String> = end.cloned().collect();
        self.held.extend(begin.iter().cloned());
        self.held.retain(|channel, _| !end.contains(channel));
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
    fn a_new_connection_begins_with_nothing() {
        let mut subscriptions = Subscriptions::default();
        want(&mut subscriptions, 1, true);
        assert_eq!(subscriptions.next(9).begin.len(), 1);
        assert!(subscriptions.is_held("c-1") && !subscriptions.is_held("c-2"));
        subscriptions.lost();
        assert!(!subscriptions.is_held("c-1"));
        assert_eq!(subscriptions.next(9).begin.len(), 1);
    }
}
