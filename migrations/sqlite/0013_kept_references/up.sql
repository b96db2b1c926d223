-- A reference that does not say whose a row is becomes NULL when the row that it names is deleted: tidying the catalogue takes
-- nobody's diary along. Only what a row is a part of takes the row along.
--
-- SQLite has no statement that changes a foreign key. Writing a table anew would fire the triggers and the cascades of the
-- tables below it; a foreign key is not part of a table's form on disk, so its text is edited, as SQLite's documentation of
-- ALTER TABLE describes. The index that comes and goes makes other connections read the schema again.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql,
    'food_id TEXT REFERENCES foods (id) ON DELETE CASCADE', 'food_id TEXT REFERENCES foods (id) ON DELETE SET NULL')
WHERE type = 'table' AND name = 'food_entries';
UPDATE sqlite_schema SET sql = replace(sql,
    'exercise_id TEXT REFERENCES exercises (id) ON DELETE CASCADE', 'exercise_id TEXT REFERENCES exercises (id) ON DELETE SET NULL')
WHERE type = 'table' AND name = 'workout_exercises';
UPDATE sqlite_schema SET sql = replace(sql,
    'exercise_id TEXT REFERENCES exercises (id) ON DELETE CASCADE', 'exercise_id TEXT REFERENCES exercises (id) ON DELETE SET NULL')
WHERE type = 'table' AND name = 'workout_template_exercises';
UPDATE sqlite_schema SET sql = replace(sql,
    'workout_id TEXT REFERENCES hiit_workouts (id) ON DELETE CASCADE', 'workout_id TEXT REFERENCES hiit_workouts (id) ON DELETE SET NULL')
WHERE type = 'table' AND name = 'hiit_sessions';
PRAGMA writable_schema = RESET;
CREATE INDEX schema_was_edited ON sync_meta (value);
DROP INDEX schema_was_edited;
