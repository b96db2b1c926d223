//! The common parts of the benches: the daemon that they measure, and figures with their spread. What is measured, and
//! how, stands in each bench; the daemon is known only from outside.

pub mod abusers;
mod figures;
mod spread;
mod subject;

pub use figures::Figures;
pub use spread::Spread;
pub use subject::{load, release, requested};
