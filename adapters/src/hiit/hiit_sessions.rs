//! `hiit_sessions`: intervals done, or being done right now on several screens.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Merge, ScopeRule, TableAdapter};

/// An interval session.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct HiitSession {
    /// The plan that it follows.
    #[schemars(extend("x-references" = "hiit_workouts"))]
    pub workout_id: Option<Uuid>,
    /// The time at which it began. The first device that saw it begin is right.
    #[schemars(extend("x-merge" = Merge::Min))]
    pub start_time: DateTime<Utc>,
    /// The time at which it ended. The last device that saw it going on is right.
    #[schemars(extend("x-merge" = Merge::Max))]
    pub end_time: Option<DateTime<Utc>>,
    /// The phase that is going on now; work and rest alternate, so only the latest word counts.
    pub current_phase: Option<Phase>,
    /// Rounds only go up, so of two devices that count the higher one is right.
    #[serde(default)]
    #[schemars(range(min = 0, max = 10_000), extend("x-merge" = Merge::Max))]
    pub current_round: i32,
    /// Finished on any device is finished.
    #[serde(default)]
    #[schemars(extend("x-merge" = Merge::Or))]
    pub is_completed: bool,
}

/// The phases of an interval session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it, and a doc would turn the schema's enum into a oneOf")]
pub enum Phase {
    Warmup,
    Work,
    Rest,
    Cooldown,
    Finished,
}

impl TableAdapter for HiitSession {
    const NAME: &'static str = "hiit_sessions";
    const DOMAIN: &'static str = "hiit";
    const SCOPE: ScopeRule = ScopeRule::Owner;
    const ORDERED: &'static [(&'static str, &'static str)] = &[("start_time", "end_time")];
}
