//! Whose messages are wanted, and whose are subscribed to: what is between the two is to be done. No I/O.

use std::collections::HashSet;

use crate::sync::UserId;

/// People whose messages are wanted, and people whose messages come.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    wanted: HashSet<UserId>,
    held: HashSet<UserId>,
}

/// What is to be done, at most so much at once.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    /// To subscribe to.
    pub begin: Vec<UserId>,
    /// To unsubscribe from.
    pub end: Vec<UserId>,
}

impl Subscriptions {
    pub(super) fn want(&mut self, user: UserId, wanted: bool) {
        if wanted {
            self.wanted.insert(user);
        } else {
            self.wanted.remove(&user);
        }
    }

    /// Whether a person's messages should come by now.
    pub(super) fn is_held(&self, user: UserId) -> bool {
        self.held.contains(&user)
    }

    /// The connection is another: nothing is subscribed to any more.
    pub(super) fn lost(&mut self) {
        self.held.clear();
    }

    /// The next things to do, which count as done. Empty when there are none.
    pub(super) fn next(&mut self, most: usize) -> Difference {
        let begin: Vec<UserId> = self.wanted.difference(&self.held).take(most).copied().collect();
        let end: Vec<UserId> = self.held.difference(&self.wanted).take(most).copied().collect();
        self.held.extend(&begin);
        self.held.retain(|user| !end.contains(user));
        Difference { begin, end }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn user(n: u8) -> UserId {
        UserId(uuid::Uuid::from_u128(n.into()))
    }

    proptest! {
        #[test]
        fn what_is_held_becomes_what_is_wanted(steps in prop::collection::vec((0u8..6, 0u8..4), 0..60)) {
            let mut subscriptions = Subscriptions::default();
            let mut server = HashSet::new();
            let mut carry_out = |difference: Difference| {
                for user in difference.begin {
                    assert!(server.insert(user), "subscribed twice");
                }
                for user in difference.end {
                    assert!(server.remove(&user), "was not subscribed");
                }
                server.clone()
            };
            for (who, what) in steps {
                match what {
                    0 => subscriptions.want(user(who), true),
                    1 => subscriptions.want(user(who), false),
                    _ => drop(carry_out(subscriptions.next(1))),
                }
            }
            for _ in 0..6 {
                carry_out(subscriptions.next(2));
            }
            prop_assert_eq!(carry_out(subscriptions.next(1)), subscriptions.wanted.clone());
            prop_assert_eq!(subscriptions.next(9), Difference::default());
        }
    }

    #[test]
    fn a_new_connection_begins_with_nothing() {
        let mut subscriptions = Subscriptions::default();
        subscriptions.want(user(1), true);
        assert_eq!(subscriptions.next(9).begin, [user(1)]);
        subscriptions.lost();
        assert_eq!(subscriptions.next(9).begin, [user(1)]);
    }
}
