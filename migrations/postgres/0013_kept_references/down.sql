DO $$ DECLARE
    of_table text;
    of_column text;
    parent text;
    key name;
BEGIN
    FOR of_table, of_column, parent IN VALUES
        ('food_entries', 'food_id', 'foods'),
        ('workout_exercises', 'exercise_id', 'exercises'),
        ('workout_template_exercises', 'exercise_id', 'exercises'),
        ('hiit_sessions', 'workout_id', 'hiit_workouts')
    LOOP
        FOR key IN SELECT c.conname FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND c.conkey = ARRAY[a.attnum]
            WHERE c.contype = 'f' AND c.conrelid = format('public.%I', of_table)::regclass AND a.attname = of_column
        LOOP
            EXECUTE format('ALTER TABLE public.%I DROP CONSTRAINT %I', of_table, key);
        END LOOP;
        EXECUTE format('ALTER TABLE public.%1$I ADD CONSTRAINT %2$I FOREIGN KEY (%3$I) REFERENCES public.%4$I (id) ON DELETE CASCADE',
            of_table, of_table || '_' || of_column || '_fkey', of_column, parent);
    END LOOP;
END $$;
