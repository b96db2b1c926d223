//! The goals of the daemon's speed, held against what was measured beside a yardstick: as a table, and as a page with plots.

mod page;
mod plot;
mod table;

pub use page::page;
pub use table::{Goal, Row, table};
