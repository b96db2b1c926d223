//! The common parts of the benches: the daemon that they measure, the load on it, the yardstick beside it, and figures with
//! their spread. Each bench says what it measures, and by which way; the daemon is known only from outside,
//! but for the bench of its pure core.

pub mod abusers;
mod figures;
pub mod generator;
pub mod goals;
pub mod relay;
mod spread;
mod subject;

pub use figures::Figures;
pub use spread::Spread;
pub use subject::{load, release, requested};
