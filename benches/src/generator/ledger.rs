//! The ledger of one person's changes: the changes that were sent, and the devices that had them. It knows no clock and no network.
//!
//! Device 0 writes, the others listen. Each change is due one answer at device 0 and one delivery at every other.

use std::collections::HashMap;

use serde::Serialize;
use uuid::Uuid;

/// The most devices of one person: a bit each.
pub const MOST_DEVICES: usize = 63;

/// One person's changes.
#[derive(Debug)]
pub struct Ledger {
    /// A bit for each device.
    everybody: u64,
    changes: HashMap<Uuid, Change>,
    /// The newest version that each device has heard of.
    newest: Vec<i64>,
    faults: Counts,
}

#[derive(Debug)]
struct Change {
    due: u64,
    had: u64,
    is_refused: bool,
}

/// A change of which a device heard for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// The time at which it was to be sent.
    pub due: u64,
    /// True when nothing more is to come of it.
    pub is_complete: bool,
}

/// The balance of one ledger, or of several.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Changes that were sent.
    pub sent: u64,
    /// Changes that were accepted.
    pub accepted: u64,
    /// Changes that were not.
    pub refused: u64,
    /// Deliveries to other devices.
    pub delivered: u64,
    /// Changes without an answer.
    pub unanswered: u64,
    /// Deliveries that never came.
    pub lost: u64,
    /// Answers and deliveries that came again.
    pub doubled: u64,
    /// Deliveries to somebody whom they were not for: another person, the writing device, anybody after a refusal.
    pub misdelivered: u64,
    /// Deliveries with a version below one that the device had.
    pub out_of_order: u64,
}

impl Counts {
    /// Adds what another ledger counted.
    pub fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.delivered += other.delivered;
        self.unanswered += other.unanswered;
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.misdelivered += other.misdelivered;
        self.out_of_order += other.out_of_order;
    }

    /// True when everything that was accepted came to everybody whom it was for, once and in order.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.unanswered + self.lost + self.doubled + self.misdelivered + self.out_of_order == 0
    }
}

impl Ledger {
    /// An empty ledger of a person with so many devices.
    ///
    /// # Panics
    /// With no device or more than [`MOST_DEVICES`].
    #[must_use]
    pub fn of_devices(count: usize) -> Self {
        assert!((1..=MOST_DEVICES).contains(&count), "a person has 1 to {MOST_DEVICES} devices, not {count}");
        let everybody = (1 << count) - 1;
        Self { everybody, changes: HashMap::new(), newest: vec![0; count], faults: Counts::default() }
    }

    /// Enters a change of a new row.
    pub fn send(&mut self, row: Uuid, due: u64) {
        self.changes.insert(row, Change { due, had: 0, is_refused: false });
    }

    /// Enters the answer to a change. None when it came before, or when there is no such change.
    pub fn answer(&mut self, row: Uuid, is_accepted: bool) -> Option<Heard> {
        let Some(change) = self.changes.get_mut(&row) else {
            self.faults.misdelivered += 1;
            return None;
        };
        if change.had & 1 != 0 {
            self.faults.doubled += 1;
            return None;
        }
        change.had |= 1;
        if !is_accepted {
            change.is_refused = true;
            self.faults.misdelivered += u64::from((change.had >> 1).count_ones());
        }
        let is_complete = change.is_refused || change.had == self.everybody;
        Some(Heard { due: change.due, is_complete })
    }

    /// Enters a delivery. None when it came before, or is not for this device.
    pub fn deliver(&mut self, device: usize, row: Uuid, version: i64) -> Option<Heard> {
        let change = self.changes.get_mut(&row).filter(|change| device > 0 && !change.is_refused);
        let Some(change) = change else {
            self.faults.misdelivered += 1;
            return None;
        };
        if change.had & (1 << device) != 0 {
            self.faults.doubled += 1;
            return None;
        }
        change.had |= 1 << device;
        let newest = &mut self.newest[device];
        self.faults.out_of_order += u64::from(version <= *newest);
        *newest = version.max(*newest);
        Some(Heard { due: change.due, is_complete: change.had == self.everybody })
    }

    /// Enters a delivery that is another person's.
    pub fn deliver_foreign(&mut self) {
        self.faults.misdelivered += 1;
    }

    /// The rows of all changes that were accepted.
    pub fn accepted(&self) -> impl Iterator<Item = Uuid> + '_ {
        let is_accepted = |change: &Change| !change.is_refused && change.had & 1 != 0;
        self.changes.iter().filter(move |(_, change)| is_accepted(change)).map(|(row, _)| *row)
    }

    /// The balance if nothing more came.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = self.faults;
        for change in self.changes.values() {
            let devices = u64::from((self.everybody >> 1).count_ones());
            let delivered = u64::from((change.had >> 1).count_ones());
            counts.sent += 1;
            counts.delivered += delivered;
            match (change.had & 1 != 0, change.is_refused) {
                (_, true) => counts.refused += 1,
                (true, false) => counts.accepted += 1,
                (false, false) => counts.unanswered += 1,
            }
            if !change.is_refused {
                counts.lost += devices - delivered;
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    /// A person with three devices, and two changes that went well.
    fn exact() -> Ledger {
        let mut ledger = Ledger::of_devices(3);
        for number in [1, 2] {
            ledger.send(row(number), 10 * number as u64);
            ledger.answer(row(number), true);
            ledger.deliver(1, row(number), number as i64);
            ledger.deliver(2, row(number), number as i64);
        }
        ledger
    }

    #[test]
    fn what_came_to_everybody_once_and_in_order_is_exact() {
        let counts = exact().counts();
        assert_eq!(counts, Counts { sent: 2, accepted: 2, delivered: 4, ..Counts::default() });
        assert!(counts.is_exact());
    }

    #[test]
    fn a_change_is_complete_with_the_last_that_comes_of_it() {
        let mut ledger = Ledger::of_devices(3);
        ledger.send(row(1), 7);
        assert_eq!(ledger.deliver(2, row(1), 1), Some(Heard { due: 7, is_complete: false }));
        assert_eq!(ledger.answer(row(1), true), Some(Heard { due: 7, is_complete: false }));
        assert_eq!(ledger.deliver(1, row(1), 1), Some(Heard { due: 7, is_complete: true }));
    }

    #[test]
    fn what_never_comes_is_lost() {
        let mut ledger = exact();
        ledger.send(row(3), 0);
        ledger.answer(row(3), true);
        ledger.deliver(1, row(3), 3);
        assert_eq!((ledger.accepted().count(), ledger.counts().lost), (3, 1));
        assert!(!ledger.counts().is_exact());
    }

    #[test]
    fn a_change_without_an_answer_is_counted() {
        let mut ledger = Ledger::of_devices(1);
        ledger.send(row(1), 0);
        assert_eq!(ledger.counts(), Counts { sent: 1, unanswered: 1, ..Counts::default() });
        assert!(!ledger.counts().is_exact());
    }

    #[test]
    fn what_comes_again_is_doubled() {
        let mut ledger = exact();
        assert_eq!(ledger.deliver(1, row(2), 2), None);
        assert_eq!(ledger.answer(row(1), true), None);
        assert_eq!(ledger.counts().doubled, 2);
    }

    #[test]
    fn what_comes_to_another_is_misdelivered() {
        let mut ledger = exact();
        ledger.deliver(1, row(9), 3);
        ledger.deliver(0, row(1), 1);
        ledger.deliver_foreign();
        assert_eq!(ledger.counts().misdelivered, 3);
    }

    #[test]
    fn an_older_version_after_a_newer_one_is_out_of_order() {
        let mut ledger = Ledger::of_devices(2);
        for (number, version) in [(1, 5), (2, 4), (3, 6)] {
            ledger.send(row(number), 0);
            ledger.deliver(1, row(number), version);
        }
        assert_eq!(ledger.counts().out_of_order, 1);
    }

    #[test]
    fn a_refused_change_is_due_to_nobody() {
        let mut ledger = Ledger::of_devices(2);
        ledger.send(row(1), 0);
        assert_eq!(ledger.answer(row(1), false), Some(Heard { due: 0, is_complete: true }));
        assert_eq!(ledger.counts(), Counts { sent: 1, refused: 1, ..Counts::default() });
        ledger.deliver(1, row(1), 1);
        assert_eq!(ledger.counts().misdelivered, 1);
    }

    #[test]
    fn ledgers_add_up() {
        let mut all = exact().counts();
        all.add(&exact().counts());
        assert_eq!(all, Counts { sent: 4, accepted: 4, delivered: 8, ..Counts::default() });
    }
}
