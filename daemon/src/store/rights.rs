//! What devices may do with the rows of a table, where an application's grants say so.

use std::collections::BTreeSet;

/// What an application has granted to the role that its people have; columns by their names on the wire.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rights {
    /// The columns that a new row may bring; none means that there may be no new rows.
    pub insert: BTreeSet<String>,
    /// The columns that may be changed.
    pub update: BTreeSet<String>,
    /// Whether rows may be deleted.
    pub delete: bool,
}
