//! Everything that speaks HTTP.

pub mod socket;
