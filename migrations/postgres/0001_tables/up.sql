-- The synced tables. They carry no sync columns: versions and tombstones live in the schema ryzed.

CREATE TABLE public.users (
    id uuid PRIMARY KEY,
    email text,
    name text,
    is_onboarded boolean NOT NULL DEFAULT FALSE,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE public.foods (
    id uuid PRIMARY KEY,
    user_id uuid REFERENCES public.users (id) ON DELETE CASCADE,
    name_en text NOT NULL,
    name_fr text NOT NULL,
    calories numeric NOT NULL CHECK (calories >= 0),
    proteins numeric CHECK (proteins BETWEEN 0 AND 100),
    carbs numeric CHECK (carbs BETWEEN 0 AND 100),
    fats numeric CHECK (fats BETWEEN 0 AND 100),
    category text,
    is_custom boolean NOT NULL DEFAULT FALSE,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX foods_user_id ON public.foods (user_id);

CREATE TABLE public.recipes (
    id uuid PRIMARY KEY,
    user_id uuid REFERENCES public.users (id) ON DELETE CASCADE,
    name_en text NOT NULL,
    name_fr text NOT NULL,
    ingredients jsonb NOT NULL CHECK (jsonb_typeof(ingredients) = 'array'),
    steps_en text[] NOT NULL,
    steps_fr text[] NOT NULL,
    servings integer NOT NULL CHECK (servings >= 1),
    duration integer CHECK (duration >= 0),
    difficulty text,
    tags text[] NOT NULL DEFAULT '{}',
    image_url text,
    is_custom boolean NOT NULL DEFAULT FALSE,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX recipes_user_id ON public.recipes (user_id);

CREATE TABLE public.food_entries (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES public.users (id) ON DELETE CASCADE,
    food_id uuid REFERENCES public.foods (id) ON DELETE CASCADE,
    quantity numeric NOT NULL CHECK (quantity > 0),
    unit text NOT NULL DEFAULT 'g',
    meal_type text CHECK (meal_type IN ('breakfast', 'lunch', 'dinner', 'snack', 'other')),
    consumed_at timestamptz NOT NULL,
    calories numeric CHECK (calories >= 0),
    proteins numeric CHECK (proteins >= 0),
    carbs numeric CHECK (carbs >= 0),
    fats numeric CHECK (fats >= 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX food_entries_user_id ON public.food_entries (user_id);

CREATE INDEX food_entries_food_id ON public.food_entries (food_id);

CREATE TABLE public.exercises (
    id uuid PRIMARY KEY,
    user_id uuid REFERENCES public.users (id) ON DELETE CASCADE,
    name_en text NOT NULL,
    name_fr text NOT NULL,
    muscle_group text NOT NULL,
    equipment text,
    description text,
    is_custom boolean NOT NULL DEFAULT FALSE,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX exercises_user_id ON public.exercises (user_id);

CREATE TABLE public.workout_sessions (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES public.users (id) ON DELETE CASCADE,
    name text NOT NULL,
    start_time timestamptz NOT NULL,
    end_time timestamptz,
    is_completed boolean NOT NULL DEFAULT FALSE,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX workout_sessions_user_id ON public.workout_sessions (user_id);

CREATE TABLE public.workout_exercises (
    id uuid PRIMARY KEY,
    session_id uuid NOT NULL REFERENCES public.workout_sessions (id) ON DELETE CASCADE,
    exercise_id uuid REFERENCES public.exercises (id) ON DELETE CASCADE,
    order_index integer NOT NULL DEFAULT 0 CHECK (order_index >= 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX workout_exercises_session_id ON public.workout_exercises (session_id);

CREATE INDEX workout_exercises_exercise_id ON public.workout_exercises (exercise_id);

CREATE TABLE public.exercise_sets (
    id uuid PRIMARY KEY,
    workout_exercise_id uuid NOT NULL REFERENCES public.workout_exercises (id) ON DELETE CASCADE,
    reps integer NOT NULL CHECK (reps >= 0),
    weight numeric NOT NULL,
    is_completed boolean NOT NULL DEFAULT FALSE,
    set_order integer NOT NULL DEFAULT 0 CHECK (set_order >= 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX exercise_sets_workout_exercise_id ON public.exercise_sets (workout_exercise_id);

CREATE TABLE public.workout_templates (
    id uuid PRIMARY KEY,
    user_id uuid REFERENCES public.users (id) ON DELETE CASCADE,
    name_en text NOT NULL,
    name_fr text NOT NULL,
    description_en text,
    description_fr text,
    difficulty_level text CHECK (difficulty_level IN ('beginner', 'intermediate', 'advanced')),
    estimated_duration_minutes integer CHECK (estimated_duration_minutes >= 0),
    target_muscle_groups text[] NOT NULL DEFAULT '{}',
    equipment_needed text[] NOT NULL DEFAULT '{}',
    calories_burned_estimate integer CHECK (calories_burned_estimate >= 0),
    is_custom boolean NOT NULL DEFAULT FALSE,
    is_public boolean NOT NULL DEFAULT FALSE,
    created_from_session_id uuid,
    usage_count integer NOT NULL DEFAULT 0 CHECK (usage_count >= 0),
    average_rating numeric CHECK (average_rating BETWEEN 0 AND 5),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX workout_templates_user_id ON public.workout_templates (user_id);

CREATE TABLE public.workout_template_exercises (
    id uuid PRIMARY KEY,
    template_id uuid NOT NULL REFERENCES public.workout_templates (id) ON DELETE CASCADE,
    exercise_id uuid REFERENCES public.exercises (id) ON DELETE CASCADE,
    order_index integer NOT NULL DEFAULT 0 CHECK (order_index >= 0),
    suggested_sets integer CHECK (suggested_sets >= 0),
    suggested_reps_min integer CHECK (suggested_reps_min >= 0),
    suggested_reps_max integer CHECK (suggested_reps_max >= 0),
    suggested_weight_percentage numeric CHECK (suggested_weight_percentage >= 0),
    suggested_rest_seconds integer CHECK (suggested_rest_seconds >= 0),
    notes_en text,
    notes_fr text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX workout_template_exercises_template_id ON public.workout_template_exercises (template_id);

CREATE INDEX workout_template_exercises_exercise_id ON public.workout_template_exercises (exercise_id);

CREATE TABLE public.hiit_workouts (
    id uuid PRIMARY KEY,
    user_id uuid REFERENCES public.users (id) ON DELETE CASCADE,
    title_en text NOT NULL,
    title_fr text NOT NULL,
    description_en text,
    description_fr text,
    work_duration integer NOT NULL CHECK (work_duration >= 1),
    rest_duration integer NOT NULL CHECK (rest_duration >= 0),
    total_duration numeric NOT NULL CHECK (total_duration >= 0),
    total_rounds integer NOT NULL CHECK (total_rounds >= 1),
    is_custom boolean NOT NULL DEFAULT FALSE,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX hiit_workouts_user_id ON public.hiit_workouts (user_id);

CREATE TABLE public.hiit_sessions (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES public.users (id) ON DELETE CASCADE,
    workout_id uuid REFERENCES public.hiit_workouts (id) ON DELETE CASCADE,
    start_time timestamptz NOT NULL,
    end_time timestamptz,
    current_phase text CHECK (current_phase IN ('warmup', 'work', 'rest', 'cooldown', 'finished')),
    current_round integer NOT NULL DEFAULT 0 CHECK (current_round >= 0),
    is_completed boolean NOT NULL DEFAULT FALSE,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX hiit_sessions_user_id ON public.hiit_sessions (user_id);

CREATE INDEX hiit_sessions_workout_id ON public.hiit_sessions (workout_id);

CREATE TABLE public.cardio_activities (
    id uuid PRIMARY KEY,
    user_id uuid REFERENCES public.users (id) ON DELETE CASCADE,
    activity_type text NOT NULL,
    name_en text NOT NULL,
    name_fr text NOT NULL,
    is_custom boolean NOT NULL DEFAULT FALSE,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX cardio_activities_user_id ON public.cardio_activities (user_id);

CREATE TABLE public.cardio_sessions (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES public.users (id) ON DELETE CASCADE,
    activity_type text NOT NULL,
    activity_title text NOT NULL,
    format_title text NOT NULL,
    start_time timestamptz NOT NULL,
    end_time timestamptz,
    duration_seconds integer NOT NULL DEFAULT 0 CHECK (duration_seconds >= 0),
    distance_km numeric NOT NULL DEFAULT 0 CHECK (distance_km >= 0),
    target_distance_km numeric CHECK (target_distance_km >= 0),
    target_duration_seconds integer CHECK (target_duration_seconds >= 0),
    average_speed_kmh numeric CHECK (average_speed_kmh >= 0),
    current_speed_kmh numeric CHECK (current_speed_kmh >= 0),
    steps integer CHECK (steps >= 0),
    calories numeric CHECK (calories >= 0),
    is_running boolean NOT NULL DEFAULT FALSE,
    is_paused boolean NOT NULL DEFAULT FALSE,
    notes text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX cardio_sessions_user_id ON public.cardio_sessions (user_id);

CREATE TABLE public.location_points (
    id uuid PRIMARY KEY,
    cardio_session_id uuid NOT NULL REFERENCES public.cardio_sessions (id) ON DELETE CASCADE,
    latitude numeric NOT NULL CHECK (latitude BETWEEN -90 AND 90),
    longitude numeric NOT NULL CHECK (longitude BETWEEN -180 AND 180),
    altitude numeric,
    speed_kmh numeric CHECK (speed_kmh >= 0),
    recorded_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX location_points_cardio_session_id ON public.location_points (cardio_session_id);
