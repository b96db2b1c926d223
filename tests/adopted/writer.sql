-- The application at work until app.control says stop: one transaction after the other, and any error ends it. Writer 1 does
-- everything, writer 2 keeps a diary. `:writer` is which, `:scale` how many people there are.

SELECT set_config('story.writer', :'writer', FALSE), set_config('story.scale', :'scale', FALSE) \gset story_
INSERT INTO app.writers VALUES (:writer, 0) ON CONFLICT (id) DO UPDATE SET done = 0;

CREATE FUNCTION pg_temp.one(kind text, many integer) RETURNS uuid LANGUAGE sql VOLATILE AS
    $$ SELECT md5(kind || ' ' || (1 + floor(random() * many))::integer)::uuid $$;

DO $$
DECLARE
    writer CONSTANT integer := current_setting('story.writer');
    people CONSTANT integer := current_setting('story.scale');
    what integer := 0;
    id_1 uuid;
    id_2 uuid;
BEGIN
    WHILE NOT (SELECT stop FROM app.control) LOOP
        what := CASE writer WHEN 2 THEN (what + 1) % 3 ELSE (what + 1) % 11 END;
        id_1 := gen_random_uuid();
        id_2 := gen_random_uuid();
        IF what = 0 THEN
            INSERT INTO food_entries (id, user_id, quantity, eaten_at, note)
            VALUES (id_1, pg_temp.one('user', people), 1 + random() * 100, now(), 'new');
        ELSIF what = 1 THEN
            UPDATE food_entries SET quantity = quantity + 1, note = 'more' WHERE id = (SELECT pg_temp.one('entry', people * 560));
        ELSIF what = 2 THEN
            DELETE FROM food_entries WHERE id = (SELECT pg_temp.one('entry', people * 560));
        ELSIF what = 3 THEN
            INSERT INTO app.sessions (id, user_id, name, start_time) VALUES (id_1, pg_temp.one('user', people), 'New', now());
            INSERT INTO workout_exercises (id, workout_id) VALUES (id_2, id_1);
            INSERT INTO exercise_sets (id, workout_exercise_id, reps, weight)
            SELECT gen_random_uuid(), id_2, i, i FROM generate_series(1, 3) i;
        ELSIF what = 4 THEN
            -- Takes its exercises and their sets along.
            DELETE FROM app.sessions WHERE id = (SELECT pg_temp.one('session', people * 20));
        ELSIF what = 5 THEN
            UPDATE app.sessions SET user_id = pg_temp.one('user', people) WHERE id = (SELECT pg_temp.one('session', people * 20));
        ELSIF what = 6 THEN
            UPDATE exercise_sets SET weight = weight + 1 WHERE id = (SELECT pg_temp.one('set', people * 300));
        ELSIF what = 7 THEN
            -- Into a session that may be somebody else's.
            UPDATE workout_exercises SET workout_id = s.id FROM (SELECT id FROM app.sessions ORDER BY random() LIMIT 1) s
            WHERE workout_exercises.id = (SELECT pg_temp.one('exercise', people * 100));
        ELSIF what = 8 THEN
            INSERT INTO exercise_sets (id, workout_exercise_id, reps, weight)
            SELECT id_1, e.id, 5, 5 FROM workout_exercises e WHERE e.id = (SELECT pg_temp.one('exercise', people * 100));
        ELSIF what = 9 THEN
            UPDATE foods SET stock = stock + 1, created_by = CASE WHEN random() < 0.5 THEN created_by ELSE pg_temp.one('user', people) END
            WHERE id = (SELECT pg_temp.one('food', people * 20));
        ELSE
            DELETE FROM foods WHERE id = (SELECT pg_temp.one('food', people * 20));
        END IF;
        UPDATE app.writers SET done = done + 1 WHERE id = writer;
        COMMIT;
        PERFORM pg_sleep(0.002);
    END LOOP;
END $$;
