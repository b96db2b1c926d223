PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql,
    'food_id TEXT REFERENCES foods (id) ON DELETE SET NULL', 'food_id TEXT REFERENCES foods (id) ON DELETE CASCADE')
WHERE type = 'table' AND name = 'food_entries';
UPDATE sqlite_schema SET sql = replace(sql,
    'exercise_id TEXT REFERENCES exercises (id) ON DELETE SET NULL', 'exercise_id TEXT REFERENCES exercises (id) ON DELETE CASCADE')
WHERE type = 'table' AND name = 'workout_exercises';
UPDATE sqlite_schema SET sql = replace(sql,
    'exercise_id TEXT REFERENCES exercises (id) ON DELETE SET NULL', 'exercise_id TEXT REFERENCES exercises (id) ON DELETE CASCADE')
WHERE type = 'table' AND name = 'workout_template_exercises';
UPDATE sqlite_schema SET sql = replace(sql,
    'workout_id TEXT REFERENCES hiit_workouts (id) ON DELETE SET NULL', 'workout_id TEXT REFERENCES hiit_workouts (id) ON DELETE CASCADE')
WHERE type = 'table' AND name = 'hiit_sessions';
PRAGMA writable_schema = RESET;
CREATE INDEX schema_was_edited ON sync_meta (value);
DROP INDEX schema_was_edited;
