//! `hiit_workouts`: interval plans of the catalogue, and people's own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ScopeRule, TableAdapter};

/// An interval plan: rounds of work and rest.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct HiitWorkout {
    /// Its title in English.
    #[schemars(length(min = 1, max = 500))]
    pub title_en: String,
    /// Its title in French.
    #[schemars(length(min = 1, max = 500))]
    pub title_fr: String,
    /// Its purpose, in English.
    #[schemars(length(max = 20_000))]
    pub description_en: Option<String>,
    /// Its purpose, in French.
    #[schemars(length(max = 20_000))]
    pub description_fr: Option<String>,
    /// Work in s a round.
    #[schemars(range(min = 1, max = 86_400))]
    pub work_duration: i32,
    /// Rest in s a round.
    #[schemars(range(min = 0, max = 86_400))]
    pub rest_duration: i32,
    /// The whole plan in min.
    #[schemars(range(min = 0, max = 1440))]
    pub total_duration: f64,
    /// The number of rounds.
    #[schemars(range(min = 1, max = 10_000))]
    pub total_rounds: i32,
    /// True if a person added it.
    #[serde(default)]
    pub is_custom: bool,
}

impl TableAdapter for HiitWorkout {
    const NAME: &'static str = "hiit_workouts";
    const DOMAIN: &'static str = "hiit";
    const SCOPE: ScopeRule = ScopeRule::OwnerOrGlobal;
}
