//! Databases as Prisma, Rails and Django make them, and hosted services: what does not fit is said as it is, and what is to be
//! pasted works as it stands.

use ryzed_tests::postgres::{self, Cluster};
use ryzed_tests::{Application, Ran};

fn made(statements: &str, configuration: &str) -> Application {
    Application::made_by(postgres::new_database(), statements, configuration)
}

fn dry(app: &Application) -> Ran {
    app.ryzed(&["adopt", "--dry-run"])
}

fn assert_says(ran: &Ran, words: &[&str]) {
    for words in words {
        assert!(ran.said().contains(words), "{words:?} is missing:\n{}", ran.said());
    }
}

/// Every statement of a report between these words.
fn statements(report: &str, after: &str, before: &str) -> Vec<String> {
    let found = report.split(after).skip(1);
    found.map(|rest| rest.split(before).next().expect("a statement").trim().to_owned()).collect()
}

#[test]
fn what_prisma_made_is_mended_by_what_is_pasted() {
    let app = made(
        r#"CREATE TYPE "MealType" AS ENUM ('BREAKFAST', 'LUNCH');
        CREATE TABLE "User" (id uuid PRIMARY KEY, email text, "createdAt" timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP);
        CREATE TABLE "Session" (id uuid PRIMARY KEY, "userId" uuid NOT NULL REFERENCES "User", name text NOT NULL,
            "start" timestamp(3) NOT NULL, "end" timestamp(3), "createdAt" timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP);
        CREATE TABLE food_entries (id uuid PRIMARY KEY, user_id uuid NOT NULL REFERENCES "User", quantity numeric NOT NULL,
            meal_type "MealType", consumed_at timestamptz NOT NULL);
        CREATE TABLE recipes (id text PRIMARY KEY, user_id uuid);
        INSERT INTO "User" VALUES (gen_random_uuid(), 'a@example.com');
        INSERT INTO "Session" SELECT gen_random_uuid(), id, 'Legs', now(), now() FROM "User";
        INSERT INTO food_entries SELECT gen_random_uuid(), id, 2, 'LUNCH', now() FROM "User""#,
        r#"[tables.users]
        relation = "public.User"
        columns = { created_at = "createdAt" }
        [tables.workout_sessions]
        relation = "public.Session"
        columns = { user_id = "userId", start_time = "start", end_time = "end", created_at = "createdAt" }"#,
    );
    let ran = dry(&app);
    assert_eq!(ran.code, 2, "{}", ran.said());
    assert_says(
        &ran,
        &[
            "public.recipes.id is text, and rows are known by a uuid",
            "missing  meal_type has the values BREAKFAST, LUNCH, which apps don't know: theirs are breakfast,",
            r#"ALTER TABLE public."Session" ALTER "end" TYPE timestamptz USING "end" AT TIME ZONE 'UTC'"#,
        ],
    );
    for statement in statements(&ran.stdout, "If it is UTC: ", "; not synced") {
        app.sql(&statement);
    }
    app.configure(&format!("{}\n[tables.recipes]\nskip = true", app.configuration()));
    let told = app.ryzed(&["adopt"]).ok();
    assert!(!told.contains("If it is UTC"), "{told}");
    for table in ["workout_sessions is public.Session", "food_entries is public.food_entries"] {
        let proof = format!("{table}\n  proof    a row was read, edited, made and deleted\n");
        assert!(told.contains(&proof), "{proof:?} is missing:\n{told}");
    }
}

#[test]
fn what_django_and_rails_made_is_refused_for_what_it_is() {
    let app = made(
        "CREATE TABLE auth_user (id serial PRIMARY KEY); \
         CREATE TABLE foods (id uuid PRIMARY KEY, user_id integer NOT NULL REFERENCES auth_user, vendor uuid, name_en text); \
         CREATE TABLE hiit_workouts (id bigserial PRIMARY KEY, user_id bigint, created_at timestamp(6) NOT NULL); \
         CREATE TABLE workout_sessions (id uuid PRIMARY KEY, user_id uuid NOT NULL, name text NOT NULL, start_time timestamptz NOT NULL); \
         CREATE TABLE workout_exercises (id uuid PRIMARY KEY, session_id bigint NOT NULL); \
         CREATE SCHEMA legacy; CREATE TABLE legacy.recipes (id bigint PRIMARY KEY, user_id bigint)",
        "",
    );
    let ran = dry(&app);
    assert_eq!(ran.code, 2, "{}", ran.said());
    assert_says(
        &ran,
        &[
            "public.foods.user_id says whose a row is, and is integer: people and rows are known by a uuid",
            "public.workout_exercises.session_id is session_id, and is bigint",
            "public.hiit_workouts.id is bigint",
        ],
    );
    for never in ["vendor\" }", "legacy.recipes", "no column of public.foods"] {
        assert!(!ran.said().contains(never), "{never:?} is advice that leads nowhere:\n{}", ran.said());
    }
    let skip = ["foods", "workout_exercises", "hiit_workouts"].map(|table| format!("[tables.{table}]\nskip = true\n"));
    app.configure(&skip.concat());
    let told = app.ryzed(&["adopt"]).ok();
    assert!(
        told.contains("workout_sessions is public.workout_sessions\n  proof    not proven: nobody is there"),
        "{told}"
    );
}

#[test]
fn a_column_whose_domain_is_over_another_is_what_both_say() {
    let app = made(
        "CREATE DOMAIN label AS text CHECK (VALUE <> ''); CREATE DOMAIN title AS label NOT NULL; CREATE DOMAIN short AS varchar(9); \
         CREATE DOMAIN code AS short DEFAULT 'x'; \
         CREATE TABLE workout_sessions (id uuid PRIMARY KEY, user_id uuid NOT NULL, name title, start_time timestamptz NOT NULL, \
             shelf code NOT NULL, mark title); \
         INSERT INTO workout_sessions VALUES (gen_random_uuid(), gen_random_uuid(), 'Legs', now(), 'a', 'm')",
        "",
    );
    let told = app.ryzed(&["adopt"]).ok();
    for words in
        ["name, start_time", "mark (public.title, devices must give it)", "a row was read, edited, made and deleted"]
    {
        assert!(told.contains(words), "{words:?} is missing:\n{told}");
    }
    assert!(!told.contains("a type that is not known"), "{told}");
}

#[test]
fn what_the_configuration_would_refuse_is_not_proposed() {
    let app = made(
        "CREATE TABLE workout_sessions (id uuid PRIMARY KEY, user_id uuid NOT NULL, name text NOT NULL, start_time timestamptz NOT NULL, \
             is_admin boolean GENERATED ALWAYS AS (name = 'x') STORED)",
        "",
    );
    let told = dry(&app).ok();
    assert!(told.contains("readonly is_admin: gives rights, by its name\n"), "{told}");
}

#[test]
fn a_services_own_schema_is_reached_by_belonging_to_authenticated() {
    let cluster = Cluster::start();
    let app = Application::of_an_ordinary_owner_on(&cluster, 1);
    let owner = app.sql("SELECT current_user");
    app.sql(
        "DROP POLICY \"People keep their own\" ON foods; DROP POLICY \"Own\" ON app.sessions; \
         DROP POLICY \"Through the session\" ON workout_exercises; DROP POLICY \"Everybody reads the catalogue\" ON foods; \
         CREATE POLICY own ON foods USING (created_by = auth.uid()); CREATE POLICY own ON app.sessions USING (user_id = auth.uid()); \
         CREATE POLICY own ON workout_exercises USING (EXISTS (SELECT FROM app.sessions s WHERE s.id = workout_id))",
    );
    let administrator = cluster.url(app.url.rsplit_once('/').expect("a database").1);
    postgres::psql(
        &administrator,
        &format!(
            "ALTER SCHEMA auth OWNER TO postgres; ALTER TABLE auth.users OWNER TO postgres; ALTER FUNCTION auth.uid() OWNER TO postgres; \
             GRANT USAGE ON SCHEMA auth TO {owner}; GRANT SELECT, REFERENCES ON auth.users TO {owner}; \
             GRANT authenticated TO {owner} WITH ADMIN OPTION"
        ),
    )
    .expect("what the service does");
    let told = app.ryzed(&["adopt"]).ok();
    assert!(told.contains("foods is public.foods\n  proof    a row was read, edited, made and deleted\n"), "{told}");
    assert_eq!(app.sql("SELECT pg_has_role('ryzed_daemon', 'authenticated', 'USAGE')"), "t");
}
