-- A database as applications on Supabase have it: people in auth.users, auth.uid(), policies of its own, tables with more and
-- fewer columns than ours and under other names. `:scale` is how many people there are; each has about 1,000 rows.

DO $$ BEGIN
    IF to_regrole('authenticated') IS NULL THEN CREATE ROLE authenticated NOLOGIN; END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;

CREATE SCHEMA auth;
CREATE TABLE auth.users (id uuid PRIMARY KEY, email text, created_at timestamptz NOT NULL DEFAULT now());
CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT coalesce(nullif(current_setting('request.jwt.claim.sub', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid
$$;
CREATE SCHEMA app;
GRANT USAGE ON SCHEMA public, auth, app TO authenticated;

CREATE FUNCTION app.touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END $$;

CREATE TABLE public.profiles (
    id uuid PRIMARY KEY REFERENCES auth.users ON DELETE CASCADE,
    email text,
    full_name text,
    avatar_url text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TYPE public.food_source AS ENUM ('manual', 'scanned', 'imported');
CREATE TABLE public.foods (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    created_by uuid REFERENCES auth.users ON DELETE CASCADE,
    name_en varchar(120) NOT NULL,
    calories numeric(7, 2) NOT NULL,
    proteins double precision,
    category text NOT NULL DEFAULT 'other',
    is_custom boolean NOT NULL DEFAULT FALSE,
    barcode text,
    source public.food_source NOT NULL DEFAULT 'manual',
    score numeric(38, 20),
    stock integer DEFAULT 1,
    labels jsonb NOT NULL DEFAULT '[]',
    slug text GENERATED ALWAYS AS (lower(name_en)) STORED,
    serial_no bigint GENERATED ALWAYS AS IDENTITY,
    batch serial,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON public.foods (created_by);

CREATE TYPE public.meal AS ENUM ('breakfast', 'lunch', 'dinner', 'snack');
CREATE TABLE public.food_entries (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES auth.users ON DELETE CASCADE,
    food_id uuid REFERENCES public.foods ON DELETE SET NULL,
    quantity numeric(8, 2) NOT NULL CHECK (quantity > 0),
    meal_type public.meal,
    eaten_at timestamptz NOT NULL,
    calories integer,
    note varchar(40),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON public.food_entries (user_id);
CREATE INDEX ON public.food_entries (food_id);
CREATE TRIGGER touch BEFORE UPDATE ON public.food_entries FOR EACH ROW EXECUTE FUNCTION app.touch();

CREATE TABLE app.sessions (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES auth.users ON DELETE CASCADE,
    name text NOT NULL,
    start_time timestamptz NOT NULL,
    is_completed boolean NOT NULL DEFAULT FALSE,
    mood smallint,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON app.sessions (user_id);

CREATE TABLE public.workout_exercises (
    id uuid PRIMARY KEY,
    workout_id uuid NOT NULL REFERENCES app.sessions ON DELETE CASCADE,
    position integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON public.workout_exercises (workout_id);

CREATE TABLE public.exercise_sets (
    id uuid PRIMARY KEY,
    workout_exercise_id uuid NOT NULL REFERENCES public.workout_exercises ON DELETE CASCADE,
    reps smallint NOT NULL,
    weight double precision NOT NULL,
    rpe numeric(3, 1),
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON public.exercise_sets (workout_exercise_id);

CREATE TABLE public.comments (id bigserial PRIMARY KEY, body text NOT NULL);

-- What the writers of writer.sql go by, and how much they have done.
CREATE TABLE app.control (stop boolean NOT NULL);
INSERT INTO app.control VALUES (FALSE);
CREATE TABLE app.writers (id integer PRIMARY KEY, done integer NOT NULL);

-- The application's own roles and rules. Sets and profiles have no row level security.
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public, app TO authenticated;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO authenticated;
GRANT USAGE ON SCHEMA public TO PUBLIC;
CREATE TABLE app.blocked (user_id uuid PRIMARY KEY);
CREATE FUNCTION app.is_blocked() RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER AS
    $$ SELECT EXISTS (SELECT FROM app.blocked WHERE user_id = auth.uid()) $$;
ALTER TABLE public.foods ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.food_entries ENABLE ROW LEVEL SECURITY;
ALTER TABLE app.sessions ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.workout_exercises ENABLE ROW LEVEL SECURITY;
CREATE POLICY "Everybody reads the catalogue" ON public.foods FOR SELECT USING (created_by IS NULL OR created_by = auth.uid());
CREATE POLICY "People keep their own" ON public.foods FOR ALL TO authenticated
    USING (created_by = auth.uid()) WITH CHECK (created_by = auth.uid());
CREATE POLICY "Own, or of nobody blocked" ON public.food_entries FOR ALL
    USING (user_id = auth.uid() AND NOT EXISTS (SELECT FROM app.blocked b WHERE b.user_id = auth.uid()));
CREATE POLICY "Own" ON app.sessions FOR ALL TO authenticated USING (user_id = auth.uid());
CREATE POLICY "Through the session" ON public.workout_exercises FOR ALL TO authenticated
    USING (EXISTS (SELECT FROM app.sessions s WHERE s.id = workout_id AND s.user_id = auth.uid()));
GRANT SELECT ON app.blocked TO authenticated;

-- Rows. Ids are made so that stories can name them: md5 of what they are.
INSERT INTO auth.users (id, email) SELECT md5('user ' || i)::uuid, 'user' || i || '@example.com' FROM generate_series(1, :scale) i;
INSERT INTO public.profiles (id, email, full_name) SELECT id, email, split_part(email, '@', 1) FROM auth.users;
INSERT INTO public.foods (id, created_by, name_en, calories, proteins, score)
    SELECT md5('food ' || i)::uuid, CASE WHEN i % 4 > 0 THEN md5('user ' || 1 + i % :scale)::uuid END, 'Food ' || i, i % 900, i % 100,
    i + 0.12345678901234567891 FROM generate_series(1, :scale * 20) i;
INSERT INTO public.food_entries (id, user_id, quantity, meal_type, eaten_at)
    SELECT md5('entry ' || i)::uuid, md5('user ' || 1 + i % :scale)::uuid, 1 + i % 500, 'lunch', timestamptz '2026-01-01' + i * interval '1 minute'
    FROM generate_series(1, :scale * 560) i;
INSERT INTO app.sessions (id, user_id, name, start_time)
    SELECT md5('session ' || i)::uuid, md5('user ' || 1 + i % :scale)::uuid, 'Session ' || i, timestamptz '2026-01-01' + i * interval '1 hour'
    FROM generate_series(1, :scale * 20) i;
INSERT INTO public.workout_exercises (id, workout_id, position)
    SELECT md5('exercise ' || i)::uuid, md5('session ' || 1 + i % (:scale * 20))::uuid, i % 5 FROM generate_series(1, :scale * 100) i;
INSERT INTO public.exercise_sets (id, workout_exercise_id, reps, weight)
    SELECT md5('set ' || i)::uuid, md5('exercise ' || 1 + i % (:scale * 100))::uuid, 1 + i % 20, i % 150 FROM generate_series(1, :scale * 300) i;
ANALYZE;
