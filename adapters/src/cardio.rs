//! Runs, rides and their tracks.

mod cardio_activities;
mod cardio_sessions;
mod location_points;

pub use cardio_activities::CardioActivity;
pub use cardio_sessions::CardioSession;
pub use location_points::LocationPoint;
