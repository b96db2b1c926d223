//! The trait that the author of a table implements.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{FieldError, Row};

/// One synced table. Implement it for a struct whose public fields are the table's columns.
///
/// The base columns are not part of the struct: `id`, `created_at`, `updated_at` are on every
/// table, and `user_id` on every table whose [`ScopeRule`] says so. What a field's attributes mean:
///
/// | attribute | meaning |
/// |---|---|
/// | `Option<T>` | may be `null`, and may be absent from an insert |
/// | `#[serde(default)]` | may be absent from an insert: the default is stored. From a client `null` means the default |
/// | `#[schemars(range(min = …, max = …))]`, `length(…)` | checked on every write |
/// | `extend("x-merge" = Merge::…)` | how the `merge` strategy settles the field, else the latest write |
/// | `extend("x-references" = "table")` | a foreign key: the row must exist and be visible to the writer |
pub trait TableAdapter: JsonSchema + 'static {
    /// The table's name in the database and on the wire.
    const NAME: &'static str;
    /// The name of the part of the app that the table belongs to; groups tables in `/tables`.
    const DOMAIN: &'static str;
    /// The rule for the owner of a row.
    const SCOPE: ScopeRule;
    /// The strategy for conflicts when the request names none.
    const STRATEGY: Strategy = Strategy::ServerWins;
    /// Hours that a row's times may lie ahead of the server's clock, where that is more than for all tables
    /// (`sync.future_hours`): plans and best-before dates do so by nature.
    const FUTURE_HOURS: u32 = 0;

    /// Pairs of fields of which the later one must not be less than the earlier one, where a row has both.
    const ORDERED: &'static [(&'static str, &'static str)] = &[];

    /// Other rules that span fields, checked on the whole row as it would be stored.
    /// An empty list means that the row is fine.
    fn check(_row: &Row) -> Vec<FieldError> {
        Vec::new()
    }
}

/// The rule that finds the scope of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScopeRule {
    /// The row is the person: its `id` is the user's.
    Person,
    /// `user_id` names the owner and is never null.
    Owner,
    /// `user_id` names the owner; null means the catalogue that everyone reads.
    OwnerOrGlobal,
    /// The owner is the one of the row in `parent` that `column` points to.
    Via {
        /// The column that holds the parent's id.
        column: &'static str,
        /// The parent's table.
        parent: &'static str,
    },
}

impl ScopeRule {
    /// True if the table has a `user_id` column.
    #[must_use]
    pub fn has_user_id(self) -> bool {
        matches!(self, Self::Owner | Self::OwnerOrGlobal)
    }

    /// The column by which the owner is found.
    #[must_use]
    pub fn column(self) -> &'static str {
        match self {
            Self::Person => "id",
            Self::Owner | Self::OwnerOrGlobal => "user_id",
            Self::Via { column, .. } => column,
        }
    }

    /// The table of the row that a row is a part of.
    #[must_use]
    pub fn parent(self) -> Option<&'static str> {
        match self {
            Self::Via { parent, .. } => Some(parent),
            Self::Person | Self::Owner | Self::OwnerOrGlobal => None,
        }
    }

    /// The rule in a word, as `/tables` shows it.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Owner => "user",
            Self::OwnerOrGlobal => "user_or_global",
            Self::Via { .. } => "via",
        }
    }
}

/// The rule that settles the fields that two sides changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// The server's value stays.
    #[default]
    ServerWins,
    /// The client's value is taken.
    ClientWins,
    /// Each column's [`Merge`](crate::Merge) rule decides.
    Merge,
    /// The server's value stays for now; a person decides later.
    Manual,
}
