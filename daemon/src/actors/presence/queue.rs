//! Devices that have come and gone and are to be entered into the database, in groups as large as their order allows. No I/O.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use crate::actors::link::Link;
use crate::sync::{DeviceId, UserId};

/// Devices that are entered with one statement.
const MOST: usize = 500;

/// A change of a device's presence.
pub(crate) enum PresenceChange {
    /// It has connected; the channel gets true once the database has its entry.
    Joined(Arc<Link>, Option<oneshot::Sender<bool>>),
    /// It has gone.
    Left(Arc<Link>),
}

/// Devices that have come or gone, until the actor takes them. It outlives the actor.
#[derive(Default)]
pub(crate) struct PresenceQueue(Mutex<VecDeque<PresenceChange>>);

impl PresenceQueue {
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut VecDeque<PresenceChange>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether all were taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.with(|waiting| waiting.is_empty())
    }
}

/// Changes of different devices, which can be entered in any order.
#[derive(Default)]
pub(super) struct Group {
    pub came: Vec<(Arc<Link>, Option<oneshot::Sender<bool>>)>,
    pub went: Vec<Arc<Link>>,
}

/// Takes the next moves up to one of a device that is among them already. Empty when there are none.
pub(super) fn next(waiting: &mut VecDeque<PresenceChange>) -> Group {
    let (mut group, mut met): (Group, HashSet<(UserId, DeviceId)>) = Default::default();
    while met.len() < MOST {
        let Some(PresenceChange::Joined(link, _) | PresenceChange::Left(link)) = waiting.front() else { break };
        if !met.insert((link.user, link.device.clone())) {
            break;
        }
        match waiting.pop_front() {
            Some(PresenceChange::Joined(link, waits)) => group.came.push((link, waits)),
            Some(PresenceChange::Left(link)) => group.went.push(link),
            None => break,
        }
    }
    group
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::actors::outbox::Outbox;

    fn link(id: u64, device: u8) -> Arc<Link> {
        let device = format!("d-{device}").parse().unwrap();
        Arc::new(Link::new(id, UserId(uuid::Uuid::nil()), device, None, Outbox::new(1000, None)))
    }

    proptest! {
        #[test]
        fn what_a_device_does_stays_in_order_and_nothing_is_lost(moves in prop::collection::vec((0u8..5, any::<bool>()), 0..80)) {
            let mut waiting = VecDeque::new();
            for (id, (device, came)) in moves.iter().enumerate() {
                let link = link(id as u64, *device);
                waiting.push_back(if *came { PresenceChange::Joined(link, None) } else { PresenceChange::Left(link) });
            }
            let mut seen: Vec<Vec<(u64, bool)>> = vec![Vec::new(); 5];
            while !waiting.is_empty() {
                let group = next(&mut waiting);
                let came = group.came.iter().map(|(link, _)| (link, true));
                let all: Vec<_> = came.chain(group.went.iter().map(|link| (link, false))).collect();
                prop_assert!(!all.is_empty());
                for (link, came) in all {
                    let device: usize = link.device.as_str()[2..].parse().unwrap();
                    seen[device].push((link.id, came));
                }
            }
            for (device, seen) in seen.into_iter().enumerate() {
                let done: Vec<(u64, bool)> = moves.iter().enumerate().filter(|(_, (d, _))| usize::from(*d) == device)
                    .map(|(id, (_, came))| (id as u64, *came)).collect();
                prop_assert_eq!(seen, done);
            }
        }
    }
}
