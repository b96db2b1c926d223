//! The handlers, a file for each part of the API; all else in `http` carries requests to them and answers back.

pub(super) mod assets;
pub(super) mod conflicts;
pub(super) mod devices;
mod events;
pub(super) mod export;
#[cfg(feature = "faults")]
pub(super) mod faults;
pub(super) mod health;
pub(super) mod metrics;
pub(super) mod openapi;
pub(super) mod operator;
pub(super) mod people;
mod poll;
pub(super) mod sync;
pub(super) mod tables;

/// The form of a device id, for errors.
const A_DEVICE: &str = "a device id: 1 to 64 characters of [A-Za-z0-9._-]";
