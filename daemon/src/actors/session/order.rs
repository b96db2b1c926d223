//! The order of a scope's changes: hands on those that follow, and asks for a read of the database at a gap. Pure.

use crate::service::{Committed, ScopePage};
use crate::sync::{ChangeRecord, Version};

/// The version up to which a scope was handed on.
#[derive(Debug)]
pub(super) struct Order {
    last: Version,
}

/// The next step after a commit.
#[derive(Debug)]
pub(super) enum Next {
    /// It was handed on before.
    Nothing,
    /// These follow on what was handed on.
    Deliver(Vec<ChangeRecord>),
    /// There is a hole: read from [`Order::last`].
    Read,
}

impl Order {
    /// Everything up to `last` was handed on.
    pub(super) fn at(last: Version) -> Self {
        Self { last }
    }

    /// The version up to which it was handed on.
    pub(super) fn last(&self) -> Version {
        self.last
    }

    /// Handles a commit; commits come in any order and any number of times.
    pub(super) fn committed(&mut self, commit: Committed) -> Next {
        if commit.version <= self.last {
            return Next::Nothing;
        }
        let mut records = commit.records;
        records.retain(|record| record.version > self.last);
        let follows = records.iter().zip(self.last + 1..).all(|(record, version)| record.version == version);
        if records.is_empty() || !follows || records.last().is_none_or(|last| last.version != commit.version) {
            return Next::Read;
        }
        self.last = commit.version;
        Next::Deliver(records)
    }

    /// A page was read after [`Order::last`]. Returns what to hand on, and whether to read again.
    pub(super) fn page(&mut self, page: ScopePage) -> (Vec<ChangeRecord>, bool) {
        let mut records = page.records;
        records.retain(|record| record.version > self.last);
        let moved = page.version > self.last;
        self.last = self.last.max(page.version);
        (records, page.has_more && moved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::{Operation, Scope};

    fn record(version: Version) -> ChangeRecord {
        ChangeRecord {
            scope: Scope::Global,
            version,
            table: "foods",
            operation: Operation::Insert,
            id: "f".into(),
            source_device: None,
            row: None,
            old: None,
        }
    }

    fn commit(version: Version, records: &[Version]) -> Committed {
        Committed { scope: Scope::Global, version, records: records.iter().copied().map(record).collect() }
    }

    fn delivered(next: Next) -> Option<Vec<Version>> {
        match next {
            Next::Deliver(records) => Some(records.iter().map(|record| record.version).collect()),
            Next::Nothing | Next::Read => None,
        }
    }

    #[test]
    fn what_follows_is_handed_on_and_what_is_old_is_not() {
        let mut order = Order::at(4);
        assert_eq!(delivered(order.committed(commit(6, &[5, 6]))), Some(vec![5, 6]));
        assert!(matches!(order.committed(commit(6, &[5, 6])), Next::Nothing));
        assert_eq!(delivered(order.committed(commit(7, &[6, 7]))), Some(vec![7]), "half of it was old");
    }

    #[test]
    fn a_hole_is_read() {
        let mut order = Order::at(4);
        for holed in [commit(6, &[6]), commit(7, &[5, 7]), commit(7, &[5, 6]), commit(9, &[])] {
            assert!(matches!(order.committed(holed), Next::Read));
            assert_eq!(order.last(), 4);
        }
        let page = ScopePage { records: vec![record(3), record(6)], version: 6, has_more: true };
        let (records, more) = order.page(page);
        assert_eq!((records.len(), more, order.last()), (1, true, 6));
    }

    #[test]
    fn a_page_that_does_not_move_ends_the_reading() {
        let mut order = Order::at(4);
        let (records, more) = order.page(ScopePage { records: vec![], version: 4, has_more: true });
        assert!(records.is_empty() && !more);
    }
}
