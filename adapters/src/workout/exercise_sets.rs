//! `exercise_sets`: the sets done of an exercise in a session.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Merge, ScopeRule, TableAdapter};

/// One set.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ExerciseSet {
    /// The exercise of the session that it is a set of.
    #[schemars(extend("x-references" = "workout_exercises"))]
    pub workout_exercise_id: Uuid,
    /// Repetitions.
    #[schemars(range(min = 0, max = 100_000))]
    pub reps: i32,
    /// Weight in kg; negative for assisted exercises.
    #[schemars(range(min = -1000, max = 10_000))]
    pub weight: f64,
    /// Done on any device is done.
    #[serde(default)]
    #[schemars(extend("x-merge" = Merge::Or))]
    pub is_completed: bool,
    /// Its place among the sets, from 0.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub set_order: i32,
}

impl TableAdapter for ExerciseSet {
    const NAME: &'static str = "exercise_sets";
    const DOMAIN: &'static str = "workout";
    const SCOPE: ScopeRule = ScopeRule::Via { column: "workout_exercise_id", parent: "workout_exercises" };
}
