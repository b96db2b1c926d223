//! The pure core: cursors, changes, conflicts, merging, page planning.
//!
//! No I/O, no clock, no tokio: every decision that the daemon makes about data is a function in here,
//! and every test of it runs without a database.

pub mod asked;
pub mod caller;
pub mod cursor;
pub mod decide;
pub mod digest;
#[cfg(test)]
mod fuzz_tests;
pub mod ids;
pub mod names;
pub mod page;
pub mod presence;
pub mod raw;
pub mod record;
pub mod rounds;
pub mod said;
pub mod stored_row;
pub mod strangers;
pub mod token;
pub mod weight;
pub mod wire;
pub mod words;

pub use caller::{Caller, Role};
pub use cursor::Cursor;
pub use ids::{DeviceId, RowId, Scope, UserId, Version};
pub use record::{ChangeRecord, Operation};
pub use token::{Mark, Token};
