//! Intervals: workouts and the sessions that follow them.

mod hiit_sessions;
mod hiit_workouts;

pub use hiit_sessions::{HiitSession, Phase};
pub use hiit_workouts::HiitWorkout;
