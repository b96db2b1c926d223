//! `location_points`: the track of a cardio session.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{ScopeRule, TableAdapter};

/// One point of a track, in WGS 84.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct LocationPoint {
    /// The session.
    #[schemars(extend("x-references" = "cardio_sessions"))]
    pub cardio_session_id: Uuid,
    /// Degrees north.
    #[schemars(range(min = -90, max = 90))]
    pub latitude: f64,
    /// Degrees east.
    #[schemars(range(min = -180, max = 180))]
    pub longitude: f64,
    /// Metres above the sea.
    #[schemars(range(min = -20_000, max = 100_000))]
    pub altitude: Option<f64>,
    /// Speed in km/h.
    #[schemars(range(min = 0, max = 2000))]
    pub speed_kmh: Option<f64>,
    /// The time at which the device was there.
    pub recorded_at: DateTime<Utc>,
}

impl TableAdapter for LocationPoint {
    const NAME: &'static str = "location_points";
    const DOMAIN: &'static str = "cardio";
    const SCOPE: ScopeRule = ScopeRule::Via { column: "cardio_session_id", parent: "cardio_sessions" };
}
