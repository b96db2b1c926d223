//! `workout_template_exercises`: which exercises a template has.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{ScopeRule, TableAdapter};

/// One exercise of a template. It belongs to whom the template belongs.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct WorkoutTemplateExercise {
    /// The template.
    #[schemars(extend("x-references" = "workout_templates"))]
    pub template_id: Uuid,
    /// The exercise.
    #[schemars(extend("x-references" = "exercises"))]
    pub exercise_id: Option<Uuid>,
    /// Its place in the template, from 0.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub order_index: i32,
    /// The number of sets.
    #[schemars(range(min = 0, max = 1000))]
    pub suggested_sets: Option<i32>,
    /// Repetitions a set, at least.
    #[schemars(range(min = 0, max = 100_000))]
    pub suggested_reps_min: Option<i32>,
    /// Repetitions a set, at most.
    #[schemars(range(min = 0, max = 100_000))]
    pub suggested_reps_max: Option<i32>,
    /// Weight in per cent of the one-repetition maximum.
    #[schemars(range(min = 0, max = 200))]
    pub suggested_weight_percentage: Option<f64>,
    /// Rest between sets, in s.
    #[schemars(range(min = 0, max = 100_000))]
    pub suggested_rest_seconds: Option<i32>,
    /// A hint in English.
    #[schemars(length(max = 20_000))]
    pub notes_en: Option<String>,
    /// A hint in French.
    #[schemars(length(max = 20_000))]
    pub notes_fr: Option<String>,
}

impl TableAdapter for WorkoutTemplateExercise {
    const NAME: &'static str = "workout_template_exercises";
    const DOMAIN: &'static str = "workout";
    const SCOPE: ScopeRule = ScopeRule::Via { column: "template_id", parent: "workout_templates" };
    const ORDERED: &'static [(&'static str, &'static str)] = &[("suggested_reps_min", "suggested_reps_max")];
}
