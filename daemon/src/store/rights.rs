//! The rights of devices on a table's rows, where an application's grants limit them.

use std::collections::BTreeSet;

/// The grants of an application to the role of its people; columns by their names on the wire.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rights {
    /// The columns that a new row may bring; none means that there may be no new rows.
    pub insert: BTreeSet<String>,
    /// The columns that may be changed.
    pub update: BTreeSet<String>,
    /// True if rows may be deleted.
    pub delete: bool,
}
