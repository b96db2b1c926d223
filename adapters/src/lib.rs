//! The synced tables: what a row is, who owns it, how it is checked and how two edits of it are merged.
//!
//! **Start here to add a table.** A table is one file: a documented struct that implements
//! [`TableAdapter`], plus one line in the registry. From the struct's JSON Schema the
//! rest follows: validation, the SQL of push and pull, the triggers, the topics. There is no I/O in this crate.
//!
//! * [`TableAdapter`] is what a table's author writes,
//! * [`TableSpec`] is what a table is, wherever it came from; an adapter yields one, and so does a [`TableBlock`],
//! * [`Table`] is what the daemon works with: a spec compiled at start,
//! * [`Registry`] is the ordered list of all of them.

pub mod account;
pub mod cardio;
pub mod hiit;
pub mod nutrition;
pub mod workout;

mod adapter;
mod block;
mod check;
mod column;
mod merge;
mod names;
mod registry;
mod restrict;
mod schema;
mod spec;
mod table;
mod travel;

pub use adapter::{ScopeRule, Strategy, TableAdapter};
pub use block::{Complaint, MOST_COLUMNS, MOST_TABLES, TableBlock};
pub use check::{FieldError, MOST_ERRORS, code, first_errors, ordered};
pub use column::{Column, Kind, format_time, is_in_calendar};
pub use merge::Merge;
pub use names::{Meaning, Sort};
pub use registry::{Registry, UnknownTable};
pub use restrict::ColumnFacts;
pub use schema::UNSAID;
pub use spec::TableSpec;
pub use table::{Purpose, Table};
pub use travel::{PEOPLE, Points, Reason, Sighting, TableRules, Travel, any};

/// A row, or the changed part of one, as it travels: column name to JSON value.
pub type Row = serde_json::Map<String, serde_json::Value>;
