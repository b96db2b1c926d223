//! Rows that a real app would send; every builder takes what should be different.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

/// A row of any table, without parents.
///
/// # Panics
/// When the table is not one of the fifteen.
#[must_use]
pub fn row(table: &str, with: Value) -> Value {
    let mut row = match table {
        "foods" => json!({"name_en": "Quince", "name_fr": "Coing", "calories": 57}),
        "recipes" => json!({"name_en": "Soup", "name_fr": "Soupe", "ingredients": [{"name": "leek", "quantity": 2}],
            "steps_en": ["cut", "boil"], "steps_fr": ["couper", "bouillir"], "servings": 4, "tags": ["warm"]}),
        "food_entries" => json!({"quantity": 150, "meal_type": "lunch", "consumed_at": "2026-01-05T12:00:00Z"}),
        "exercises" => json!({"name_en": "Plank", "name_fr": "Planche", "muscle_group": "core"}),
        "workout_sessions" => json!({"name": "Legs", "start_time": "2026-01-05T18:00:00Z"}),
        "workout_exercises" => json!({"order_index": 0}),
        "exercise_sets" => json!({"reps": 8, "weight": 60}),
        "workout_templates" => json!({"name_en": "Full body", "name_fr": "Corps entier"}),
        "workout_template_exercises" => json!({"suggested_sets": 3}),
        "hiit_workouts" => json!({"title_en": "Tabata", "title_fr": "Tabata", "work_duration": 20,
            "rest_duration": 10, "total_duration": 4, "total_rounds": 8}),
        "hiit_sessions" => json!({"start_time": "2026-01-05T18:00:00Z", "current_phase": "work", "current_round": 1}),
        "cardio_activities" => json!({"activity_type": "running", "name_en": "Run", "name_fr": "Course"}),
        "cardio_sessions" => json!({"activity_type": "running", "activity_title": "Run", "format_title": "Free",
            "start_time": "2026-01-05T07:00:00Z"}),
        "location_points" => json!({"latitude": 48.1, "longitude": 11.6, "recorded_at": "2026-01-05T07:00:01Z"}),
        "users" => json!({}),
        other => panic!("there is no table {other}"),
    };
    row["id"] = json!(Uuid::new_v4());
    if let (Some(row), Value::Object(with)) = (row.as_object_mut(), with) {
        row.extend(with);
    }
    row
}

/// A row of `food_entries`.
#[must_use]
pub fn food_entry(with: Value) -> Value {
    row("food_entries", with)
}

/// A food of one's own.
#[must_use]
pub fn food(with: Value) -> Value {
    row("foods", with)
}

/// A visit to the gym.
#[must_use]
pub fn workout_session(with: Value) -> Value {
    row("workout_sessions", with)
}

/// An exercise of a session.
#[must_use]
pub fn workout_exercise(session: &Value) -> Value {
    row("workout_exercises", json!({"session_id": session["id"]}))
}

/// A set of an exercise of a session.
#[must_use]
pub fn exercise_set(exercise: &Value) -> Value {
    row("exercise_sets", json!({"workout_exercise_id": exercise["id"]}))
}

/// A time so far from now, as it travels.
#[must_use]
pub fn time(offset: TimeDelta) -> String {
    wire_time(Utc::now() + offset)
}

/// A time as it travels.
#[must_use]
pub fn wire_time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// The fifteen tables, parents before children.
pub const TABLES: [&str; 15] = [
    "users",
    "foods",
    "recipes",
    "food_entries",
    "exercises",
    "workout_sessions",
    "workout_exercises",
    "exercise_sets",
    "workout_templates",
    "workout_template_exercises",
    "hiit_workouts",
    "hiit_sessions",
    "cardio_activities",
    "cardio_sessions",
    "location_points",
];
