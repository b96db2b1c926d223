//! The common parts of the load generator: people whose devices write and listen, and the ledger that knows what each
//! device should have had.

pub mod crowd;
pub mod device;
pub mod hub;
pub mod ledger;
pub mod machine;
pub mod report;
pub mod rest;
pub mod schedule;
pub mod server;
pub mod times;
pub mod words;

pub use crowd::Crowd;
pub use ledger::{Counts, Ledger};
pub use report::Report;
pub use schedule::Schedule;
pub use server::Server;
pub use times::Times;
