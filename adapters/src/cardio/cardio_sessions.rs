//! `cardio_sessions`: a run, a ride, a walk.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Merge, ScopeRule, TableAdapter};

/// A cardio session; its track is in `location_points`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct CardioSession {
    /// The kind, as in `cardio_activities`.
    #[schemars(length(min = 1, max = 100))]
    pub activity_type: String,
    /// The kind's name as it was shown.
    #[schemars(length(min = 1, max = 500))]
    pub activity_title: String,
    /// The goal's name as it was shown: free run, 5 km, …
    #[schemars(length(min = 1, max = 500))]
    pub format_title: String,
    /// The time at which it began. The first device that saw it begin is right.
    #[schemars(extend("x-merge" = Merge::Min))]
    pub start_time: DateTime<Utc>,
    /// The time at which it ended. The last device that saw it going on is right.
    #[schemars(extend("x-merge" = Merge::Max))]
    pub end_time: Option<DateTime<Utc>>,
    /// Time in s; like all that a session measures it only grows.
    #[serde(default)]
    #[schemars(range(min = 0), extend("x-merge" = Merge::Max))]
    pub duration_seconds: i32,
    /// Distance in km.
    #[serde(default)]
    #[schemars(range(min = 0, max = 100_000), extend("x-merge" = Merge::Max))]
    pub distance_km: f64,
    /// The distance aimed at, in km.
    #[schemars(range(min = 0, max = 100_000))]
    pub target_distance_km: Option<f64>,
    /// The time aimed at, in s.
    #[schemars(range(min = 0))]
    pub target_duration_seconds: Option<i32>,
    /// Average speed in km/h.
    #[schemars(range(min = 0, max = 2000))]
    pub average_speed_kmh: Option<f64>,
    /// Speed right now in km/h.
    #[schemars(range(min = 0, max = 2000))]
    pub current_speed_kmh: Option<f64>,
    /// Steps.
    #[schemars(range(min = 0), extend("x-merge" = Merge::Max))]
    pub steps: Option<i32>,
    /// Energy in kcal.
    #[schemars(range(min = 0, max = 1_000_000), extend("x-merge" = Merge::Max))]
    pub calories: Option<f64>,
    /// True while it is going on. Switched both ways, so the latest word counts.
    #[serde(default)]
    pub is_running: bool,
    /// True while it is paused. Switched both ways, so the latest word counts.
    #[serde(default)]
    pub is_paused: bool,
    /// The person's own words.
    #[schemars(length(max = 20_000))]
    pub notes: Option<String>,
}

impl TableAdapter for CardioSession {
    const NAME: &'static str = "cardio_sessions";
    const DOMAIN: &'static str = "cardio";
    const SCOPE: ScopeRule = ScopeRule::Owner;
    const ORDERED: &'static [(&'static str, &'static str)] = &[("start_time", "end_time")];
}
