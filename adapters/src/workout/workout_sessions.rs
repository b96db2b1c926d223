//! `workout_sessions`: one visit to the gym.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Merge, ScopeRule, TableAdapter};

/// A training session.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct WorkoutSession {
    /// The person's name for it.
    #[schemars(length(min = 1, max = 500))]
    pub name: String,
    /// The time at which it began. The first device that saw it begin is right.
    #[schemars(extend("x-merge" = Merge::Min))]
    pub start_time: DateTime<Utc>,
    /// The time at which it ended. The last device that saw it going on is right.
    #[schemars(extend("x-merge" = Merge::Max))]
    pub end_time: Option<DateTime<Utc>>,
    /// Finished on any device is finished.
    #[serde(default)]
    #[schemars(extend("x-merge" = Merge::Or))]
    pub is_completed: bool,
}

impl TableAdapter for WorkoutSession {
    const NAME: &'static str = "workout_sessions";
    const DOMAIN: &'static str = "workout";
    const SCOPE: ScopeRule = ScopeRule::Owner;
    const ORDERED: &'static [(&'static str, &'static str)] = &[("start_time", "end_time")];
}
