//! Strength training: exercises, sessions with their sets, and templates.

mod exercise_sets;
mod exercises;
mod workout_exercises;
mod workout_sessions;
mod workout_template_exercises;
mod workout_templates;

pub use exercise_sets::ExerciseSet;
pub use exercises::Exercise;
pub use workout_exercises::WorkoutExercise;
pub use workout_sessions::WorkoutSession;
pub use workout_template_exercises::WorkoutTemplateExercise;
pub use workout_templates::{Difficulty, WorkoutTemplate};
