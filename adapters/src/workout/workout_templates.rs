//! `workout_templates`: sessions to start from.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Merge, ScopeRule, TableAdapter};

/// A session to start from; its exercises are in `workout_template_exercises`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct WorkoutTemplate {
    /// Its name in English.
    #[schemars(length(min = 1, max = 500))]
    pub name_en: String,
    /// Its name in French.
    #[schemars(length(min = 1, max = 500))]
    pub name_fr: String,
    /// Its purpose, in English.
    #[schemars(length(max = 20_000))]
    pub description_en: Option<String>,
    /// Its purpose, in French.
    #[schemars(length(max = 20_000))]
    pub description_fr: Option<String>,
    /// The experience that it asks for.
    pub difficulty_level: Option<Difficulty>,
    /// The time that it takes, in minutes.
    #[schemars(range(min = 0, max = 100_000))]
    pub estimated_duration_minutes: Option<i32>,
    /// The muscles that it trains. Two devices that each add one want both.
    #[serde(default)]
    #[schemars(extend("x-merge" = Merge::Union))]
    pub target_muscle_groups: Vec<String>,
    /// The equipment that it needs; united for the same reason.
    #[serde(default)]
    #[schemars(extend("x-merge" = Merge::Union))]
    pub equipment_needed: Vec<String>,
    /// Energy in kcal, roughly.
    #[schemars(range(min = 0, max = 100_000))]
    pub calories_burned_estimate: Option<i32>,
    /// True if a person added it.
    #[serde(default)]
    pub is_custom: bool,
    /// True if its owner offers it to others.
    #[serde(default)]
    pub is_public: bool,
    /// The session that it was made from; it may be long gone, so this is no reference.
    pub created_from_session_id: Option<Uuid>,
    /// The number of its uses. Each device counts its own uses, so the counts add up.
    #[serde(default)]
    #[schemars(range(min = 0), extend("x-merge" = Merge::Sum))]
    pub usage_count: i32,
    /// The rating by its users, 0 to 5.
    #[schemars(range(min = 0, max = 5))]
    pub average_rating: Option<f64>,
}

/// The experience that a template asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it, and a doc would turn the schema's enum into a oneOf")]
pub enum Difficulty {
    Beginner,
    Intermediate,
    Advanced,
}

impl TableAdapter for WorkoutTemplate {
    const NAME: &'static str = "workout_templates";
    const DOMAIN: &'static str = "workout";
    const SCOPE: ScopeRule = ScopeRule::OwnerOrGlobal;
}
