//! `workout_exercises`: which exercises a session has.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{ScopeRule, TableAdapter};

/// One exercise of a session. It belongs to whom the session belongs.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct WorkoutExercise {
    /// The session.
    #[schemars(extend("x-references" = "workout_sessions"))]
    pub session_id: Uuid,
    /// The exercise.
    #[schemars(extend("x-references" = "exercises"))]
    pub exercise_id: Option<Uuid>,
    /// Its place in the session, from 0.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub order_index: i32,
}

impl TableAdapter for WorkoutExercise {
    const NAME: &'static str = "workout_exercises";
    const DOMAIN: &'static str = "workout";
    const SCOPE: ScopeRule = ScopeRule::Via { column: "session_id", parent: "workout_sessions" };
}
