//! Compares the change index with the tables, and mends it.

use async_trait::async_trait;

use super::StoreError;
use crate::sync::RowId;

/// The log line of a table whose index was compared with its rows, at a start or later.
pub const COMPARED: &str = "the index was held against the rows";

/// A disagreement between the index and the table about a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    /// The row is there, and the index does not know it.
    Missing,
    /// The row is there, and the index has it as deleted.
    Buried,
    /// The index has a row that is not there.
    Extra,
    /// The index has the row as somebody else's than the table does.
    Moved,
    /// The row was written while no trigger saw it, and may have other values than devices were given.
    Changed,
}

impl Difference {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Missing, Self::Buried, Self::Extra, Self::Moved, Self::Changed];

    /// The kind in a word, as reports and the databases' statements name it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Buried => "buried",
            Self::Extra => "extra",
            Self::Moved => "moved",
            Self::Changed => "changed",
        }
    }

    /// The kind that a word stands for.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

/// The part of a transaction that compares the index with the tables. A read sees one moment, in which a row and its
/// entry agree whoever writes; so a difference means that no trigger saw a write.
#[async_trait]
pub trait Compare {
    /// The next ids behind `after`, at most `most`, in order: those of rows, and those that the index has as being there.
    async fn ids_after(&mut self, table: &str, after: Option<&RowId>, most: i64) -> Result<Vec<RowId>, StoreError>;

    /// The differences between index and table at these ids.
    async fn differences(&mut self, table: &str, ids: &[RowId]) -> Result<Vec<(RowId, Difference)>, StoreError>;

    /// Enters into the index what the table has under these ids, where they differ, as changes that every device gets.
    /// Returns of how many rows; one that moves meanwhile is left for another time.
    async fn mend(&mut self, table: &str, ids: &[RowId]) -> Result<usize, StoreError>;

    /// Switches triggers of ours on again that somebody has switched off, and notes that rows may have changed unseen.
    async fn switch_on(&mut self, _table: &str) -> Result<(), StoreError> {
        Ok(())
    }

    /// The note that rows of the table may have changed unseen, if there is one.
    async fn blind_note(&mut self, table: &str) -> Result<Option<BlindNote>, StoreError>;

    /// Takes back the notes up to this one: the whole table was held against the index since. False when triggers are still
    /// missing or switched off, so that the notes stay.
    async fn settle(&mut self, table: &str, note: &BlindNote) -> Result<bool, StoreError>;

    /// The next scopes behind `after`, at most `most`, in order.
    async fn scopes_after(&mut self, after: &str, most: i64) -> Result<Vec<String>, StoreError>;

    /// The tables of which the digest says something else in these scopes than the index has.
    async fn miscounted(&mut self, scopes: &[String]) -> Result<Vec<String>, StoreError>;

    /// Counts these scopes anew for the digest.
    async fn recount(&mut self, scopes: &[String]) -> Result<(), StoreError>;
}

/// A note that rows of a table may have changed unseen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlindNote {
    /// The time of the note, as the database writes times.
    pub at: String,
    /// The cause.
    pub reason: String,
}
