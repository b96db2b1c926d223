-- The synced tables. They carry no sync columns: versions and tombstones live in the sync_ tables.
-- UUIDs, times (RFC 3339, UTC) and JSON are text; a boolean is 0 or 1.

CREATE TABLE users (
    id TEXT PRIMARY KEY NOT NULL,
    email TEXT,
    name TEXT,
    is_onboarded INTEGER NOT NULL DEFAULT FALSE CHECK (is_onboarded IN (0, 1)),
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')),
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now'))
) STRICT;

CREATE TABLE foods (
    id TEXT PRIMARY KEY NOT NULL,
    user_id TEXT REFERENCES users (id) ON DELETE CASCADE,
    name_en TEXT NOT NULL,
    name_fr TEXT NOT NULL,
    calories REAL NOT NULL CHECK (calories >= 0),
    proteins REAL CHECK (proteins BETWEEN 0 AND 100),
    carbs REAL CHECK (carbs BETWEEN 0 AND 100),
    fats REAL CHECK (fats BETWEEN 0 AND 100),
    category TEXT,
    is_custom INTEGER NOT NULL DEFAULT FALSE CHECK (is_custom IN (0, 1)),
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')),
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now'))
) STRICT;

CREATE INDEX foods_user_id ON foods (user_id);

CREATE TABLE recipes (
    id TEXT PRIMARY KEY NOT NULL,
    user_id TEXT REFERENCES users (id) ON DELETE CASCADE,
    name_en TEXT NOT NULL,
    name_fr TEXT NOT NULL,
    ingredients TEXT NOT NULL CHECK (json_valid(ingredients) AND json_type(ingredients) = 'array'),
    steps_en TEXT NOT NULL CHECK (json_valid(steps_en) AND json_type(steps_en) = 'array'),
    steps_fr TEXT NOT NULL CHECK (json_valid(steps_fr) AND json_type(steps_fr) = 'array'),
    servings INTEGER NOT NULL CHECK (servings >= 1),
    duration INTEGER CHECK (duration >= 0),
    difficulty TEXT,
    tags TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(tags) AND json_type(tags) = 'array'),
    image_url TEXT,
    is_custom INTEGER NOT NULL DEFAULT FALSE CHECK (is_custom IN (0, 1)),
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')),
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now'))
) STRICT;

CREATE INDEX recipes_user_id ON recipes (user_id);

CREATE TABLE food_entries (
    id TEXT PRIMARY KEY NOT NULL,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    food_id TEXT REFERENCES foods (id) ON DELETE CASCADE,
    quantity REAL NOT NULL CHECK (quantity > 0),
    unit TEXT NOT NULL DEFAULT 'g',
    meal_type TEXT CHECK (meal_type IN ('breakfast', 'lunch', 'dinner', 'snack', 'other')),
    consumed_at TEXT NOT NULL,
    calories REAL CHECK (calories >= 0),
    proteins REAL CHECK (proteins >= 0),
    carbs REAL CHECK (carbs >= 0),
    fats REAL CHECK (fats >= 0),
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')),
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now'))
) STRICT;

CREATE INDEX food_entries_user_id ON food_entries (user_id);

CREATE INDEX food_entries_food_id ON food_entries (food_id);

CREATE TABLE exercises (
    id TEXT PRIMARY KEY NOT NULL,
    user_id TEXT REFERENCES users (id) ON DELETE CASCADE,
    name_en TEXT NOT NULL,
    name_fr TEXT NOT NULL,
    muscle_group TEXT NOT NULL,
    equipment TEXT,
    description TEXT,
    is_custom INTEGER NOT NULL DEFAULT FALSE CHECK (is_custom IN (0, 1)),
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')),
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now'))
) STRICT;

CREATE INDEX exercises_user_id ON exercises (user_id);

CREATE TABLE workout_sessions (
    id TEXT PRIMARY KEY NOT NULL,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    start_time TEXT NOT NULL,
    end_time TEXT,
    is_completed INTEGER NOT NULL DEFAULT FALSE CHECK (is_completed IN (0, 1)),
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')),
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now'))
) STRICT;

CREATE INDEX workout_sessions_user_id ON workout_sessions (user_id);

CREATE TABLE workout_exercises (
    id TEXT PRIMARY KEY NOT NULL,
    session_id TEXT NOT NULL REFERENCES workout_sessions (id) ON DELETE CASCADE,
    exercise_id TEXT REFERENCES exercises (id) ON DELETE CASCADE,
    order_index INTEGER NOT NULL DEFAULT 0 CHECK (order_index >= 0),
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')),
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now'))
) STRICT;

CREATE INDEX workout_exercises_session_id ON workout_exercises (session_id);

CREATE INDEX workout_exercises_exercise_id ON workout_exercises (exercise_id);

CREATE TABLE exercise_sets (
    id TEXT PRIMARY KEY NOT NULL,
    workout_exercise_id TEXT NOT NULL REFERENCES workout_exercises (id) ON DELETE CASCADE,
    reps INTEGER NOT NULL CHECK (reps >= 0),
    weight REAL NOT NULL,
    is_completed INTEGER NOT NULL DEFAULT FALSE CHECK (is_completed IN (0, 1)),
    set_order INTEGER NOT NULL DEFAULT 0 CHECK (set_order >= 0),
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')),
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now'))
) STRICT;

CREATE INDEX exercise_sets_workout_exercise_id ON exercise_sets (workout_exercise_id);

CREATE TABLE workout_templates (
    id TEXT PRIMARY KEY NOT NULL,
    user_id TEXT REFERENCES users (id) ON DELETE CASCADE,
    name_en TEXT NOT NULL,
    name_fr TEXT NOT NULL,
    description_en TEXT,
    description_fr TEXT,
    difficulty_level TEXT CHECK (difficulty_level IN ('beginner', 'intermediate', 'advanced')),
    estimated_duration_minutes INTEGER CHECK (estimated_duration_minutes >= 0),
    target_muscle_groups TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(target_muscle_groups) AND json_type(target_muscle_groups) = 'array'),
    equipment_needed TEXT NOT NULL DEFAULT '[]' CHECK (json_valid(equipment_needed) AND json_type(equipment_needed) = 'array'),
    calories_burned_estimate INTEGER CHECK (calories_burned_estimate >= 0),
    is_custom INTEGER NOT NULL DEFAULT FALSE CHECK (is_custom IN (0, 1)),
    is_public INTEGER NOT NULL DEFAULT FALSE CHECK (is_public IN (0, 1)),
    created_from_session_id TEXT,
    usage_count INTEGER NOT NULL DEFAULT 0 CHECK (usage_count >= 0),
    average_rating REAL CHECK (average_rating BETWEEN 0 AND 5),
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')),
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now'))
) STRICT;

CREATE INDEX workout_templates_user_id ON workout_templates (user_id);

CREATE TABLE workout_template_exercises (
    id TEXT PRIMARY KEY NOT NULL,
    template_id TEXT NOT NULL REFERENCES workout_templates (id) ON DELETE CASCADE,
    exercise_id TEXT REFERENCES exercises (id) ON DELETE CASCADE,
    order_index INTEGER NOT NULL DEFAULT 0 CHECK (order_index >= 0),
    suggested_sets INTEGER CHECK (suggested_sets >= 0),
    suggested_reps_min INTEGER CHECK (suggested_reps_min >= 0),
    suggested_reps_max INTEGER CHECK (suggested_reps_max >= 0),
    suggested_weight_percentage REAL CHECK (suggested_weight_percentage >= 0),
    suggested_rest_seconds INTEGER CHECK (suggested_rest_seconds >= 0),
    notes_en TEXT,
    notes_fr TEXT,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')),
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now'))
) STRICT;

CREATE INDEX workout_template_exercises_template_id ON workout_template_exercises (template_id);

CREATE INDEX workout_template_exercises_exercise_id ON workout_template_exercises (exercise_id);

CREATE TABLE hiit_workouts (
    id TEXT PRIMARY KEY NOT NULL,
    user_id TEXT REFERENCES users (id) ON DELETE CASCADE,
    title_en TEXT NOT NULL,
    title_fr TEXT NOT NULL,
    description_en TEXT,
    description_fr TEXT,
    work_duration INTEGER NOT NULL CHECK (work_duration >= 1),
    rest_duration INTEGER NOT NULL CHECK (rest_duration >= 0),
    total_duration REAL NOT NULL CHECK (total_duration >= 0),
    total_rounds INTEGER NOT NULL CHECK (total_rounds >= 1),
    is_custom INTEGER NOT NULL DEFAULT FALSE CHECK (is_custom IN (0, 1)),
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')),
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now'))
) STRICT;

CREATE INDEX hiit_workouts_user_id ON hiit_workouts (user_id);

CREATE TABLE hiit_sessions (
    id TEXT PRIMARY KEY NOT NULL,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    workout_id TEXT REFERENCES hiit_workouts (id) ON DELETE CASCADE,
    start_time TEXT NOT NULL,
    end_time TEXT,
    current_phase TEXT CHECK (current_phase IN ('warmup', 'work', 'rest', 'cooldown', 'finished')),
    current_round INTEGER NOT NULL DEFAULT 0 CHECK (current_round >= 0),
    is_completed INTEGER NOT NULL DEFAULT FALSE CHECK (is_completed IN (0, 1)),
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')),
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now'))
) STRICT;

CREATE INDEX hiit_sessions_user_id ON hiit_sessions (user_id);

CREATE INDEX hiit_sessions_workout_id ON hiit_sessions (workout_id);

CREATE TABLE cardio_activities (
    id TEXT PRIMARY KEY NOT NULL,
    user_id TEXT REFERENCES users (id) ON DELETE CASCADE,
    activity_type TEXT NOT NULL,
    name_en TEXT NOT NULL,
    name_fr TEXT NOT NULL,
    is_custom INTEGER NOT NULL DEFAULT FALSE CHECK (is_custom IN (0, 1)),
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')),
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now'))
) STRICT;

CREATE INDEX cardio_activities_user_id ON cardio_activities (user_id);

CREATE TABLE cardio_sessions (
    id TEXT PRIMARY KEY NOT NULL,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    activity_type TEXT NOT NULL,
    activity_title TEXT NOT NULL,
    format_title TEXT NOT NULL,
    start_time TEXT NOT NULL,
    end_time TEXT,
    duration_seconds INTEGER NOT NULL DEFAULT 0 CHECK (duration_seconds >= 0),
    distance_km REAL NOT NULL DEFAULT 0 CHECK (distance_km >= 0),
    target_distance_km REAL CHECK (target_distance_km >= 0),
    target_duration_seconds INTEGER CHECK (target_duration_seconds >= 0),
    average_speed_kmh REAL CHECK (average_speed_kmh >= 0),
    current_speed_kmh REAL CHECK (current_speed_kmh >= 0),
    steps INTEGER CHECK (steps >= 0),
    calories REAL CHECK (calories >= 0),
    is_running INTEGER NOT NULL DEFAULT FALSE CHECK (is_running IN (0, 1)),
    is_paused INTEGER NOT NULL DEFAULT FALSE CHECK (is_paused IN (0, 1)),
    notes TEXT,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')),
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now'))
) STRICT;

CREATE INDEX cardio_sessions_user_id ON cardio_sessions (user_id);

CREATE TABLE location_points (
    id TEXT PRIMARY KEY NOT NULL,
    cardio_session_id TEXT NOT NULL REFERENCES cardio_sessions (id) ON DELETE CASCADE,
    latitude REAL NOT NULL CHECK (latitude BETWEEN -90 AND 90),
    longitude REAL NOT NULL CHECK (longitude BETWEEN -180 AND 180),
    altitude REAL,
    speed_kmh REAL CHECK (speed_kmh >= 0),
    recorded_at TEXT NOT NULL,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')),
    updated_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%f000Z', 'now'))
) STRICT;

CREATE INDEX location_points_cardio_session_id ON location_points (cardio_session_id);
