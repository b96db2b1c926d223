//! Everything else that an application may do by DDL to an adopted table, one after the other, each as `ddl_adopted.rs` tells
//! the renamed owner: nobody sees what is not theirs, no row turns into a deletion, the application's own writes go on, just
//! these tables stop, and adopting again mends it.

use ryzed_tests::Device;
use serde_json::json;

use crate::adopt_meanwhile::contradictions;
use crate::ddl_adopted::{Scene, assert_complete};

/// One thing that is done.
struct Act {
    /// The DDL of the application's migration.
    ddl: &'static str,
    /// The application's writes after it; `{me}` is the person whose rows are private.
    writes: &'static str,
    /// The tables that stop.
    stopped: &'static str,
    /// The DDL that puts it back.
    back: &'static str,
}

const EVERYWHERE: &str = "UPDATE workout_exercises SET position = position + 1; UPDATE exercise_sets SET rpe = 7";

/// Names, types and columns, of a table and of what its rows hang on.
const RENAMED: [Act; 8] = [
    Act {
        ddl: "ALTER TABLE foods RENAME created_by TO owner_id; ALTER TABLE foods ADD created_by uuid",
        writes: "INSERT INTO foods (owner_id, name_en, calories) VALUES ('{me}', 'Private', 1); \
                 UPDATE foods SET name_en = 'Private ' || name_en WHERE owner_id = '{me}'",
        stopped: "foods",
        back: "ALTER TABLE foods DROP created_by; ALTER TABLE foods RENAME owner_id TO created_by",
    },
    Act {
        ddl: "BEGIN; ALTER TABLE foods RENAME created_by TO owner_id; \
              INSERT INTO foods (owner_id, name_en, calories) VALUES ('{me}', 'Private', 1); \
              UPDATE foods SET owner_id = '{me}', name_en = 'Private' WHERE id = md5('food 1')::uuid; \
              DELETE FROM foods WHERE id = md5('food 5')::uuid; ALTER TABLE foods RENAME owner_id TO created_by; COMMIT",
        writes: "UPDATE foods SET stock = 9",
        stopped: "foods",
        back: "SELECT 1",
    },
    Act {
        ddl: "ALTER TABLE foods RENAME id TO key",
        writes: "INSERT INTO foods (created_by, name_en, calories) VALUES ('{me}', 'Private', 1); UPDATE foods SET stock = 8; \
                 DELETE FROM foods WHERE key = md5('food 6')::uuid",
        stopped: "foods",
        back: "ALTER TABLE foods RENAME key TO id",
    },
    Act {
        ddl: "ALTER TABLE app.sessions RENAME user_id TO person; UPDATE app.sessions SET name = 'Private' WHERE person = '{me}'",
        writes: EVERYWHERE,
        stopped: "exercise_sets, workout_exercises, workout_sessions",
        back: "ALTER TABLE app.sessions RENAME person TO user_id",
    },
    Act {
        ddl: "ALTER TABLE workout_exercises RENAME workout_id TO session; ALTER TABLE workout_exercises ADD workout_id uuid",
        writes: EVERYWHERE,
        stopped: "exercise_sets, workout_exercises",
        back: "ALTER TABLE workout_exercises DROP workout_id; ALTER TABLE workout_exercises RENAME session TO workout_id",
    },
    Act {
        ddl: "ALTER TABLE exercise_sets ALTER id TYPE text; INSERT INTO exercise_sets (id, workout_exercise_id, reps, weight) \
              SELECT 'no uuid', workout_exercise_id, 1, 1 FROM exercise_sets LIMIT 1",
        writes: "DELETE FROM exercise_sets WHERE id = 'no uuid'; UPDATE exercise_sets SET rpe = 6",
        stopped: "exercise_sets",
        back: "ALTER TABLE exercise_sets ALTER id TYPE uuid USING id::uuid",
    },
    Act {
        ddl: "ALTER TABLE app.sessions SET SCHEMA public",
        writes: EVERYWHERE,
        stopped: "exercise_sets, workout_exercises, workout_sessions",
        back: "ALTER TABLE public.sessions SET SCHEMA app",
    },
    Act {
        ddl: "ALTER SCHEMA app RENAME TO gym; UPDATE gym.sessions SET name = 'Private' WHERE user_id = '{me}'",
        writes: EVERYWHERE,
        stopped: "exercise_sets, workout_exercises, workout_sessions",
        back: "ALTER SCHEMA gym RENAME TO app",
    },
];

/// Other tables in the place of one, and what is done to its triggers.
const REPLACED: [Act; 8] = [
    Act {
        ddl: "BEGIN; CREATE TABLE sets_new (LIKE exercise_sets INCLUDING ALL); \
              ALTER TABLE sets_new ADD FOREIGN KEY (workout_exercise_id) REFERENCES workout_exercises ON DELETE CASCADE; \
              INSERT INTO sets_new SELECT * FROM exercise_sets; ALTER TABLE exercise_sets RENAME TO sets_old; \
              ALTER TABLE sets_new RENAME TO exercise_sets; COMMIT",
        writes: "UPDATE exercise_sets SET rpe = 5; DELETE FROM exercise_sets WHERE id = md5('set 1')::uuid; UPDATE sets_old SET rpe = 4",
        stopped: "exercise_sets",
        back: "DROP TABLE sets_old",
    },
    Act {
        ddl: "DROP TABLE exercise_sets; CREATE TABLE exercise_sets (id uuid PRIMARY KEY, workout_exercise_id uuid NOT NULL \
              REFERENCES workout_exercises ON DELETE CASCADE, reps smallint NOT NULL, weight double precision NOT NULL, \
              rpe numeric(3, 1), created_at timestamptz NOT NULL DEFAULT now())",
        writes: "INSERT INTO exercise_sets (id, workout_exercise_id, reps, weight) \
                 SELECT gen_random_uuid(), id, 5, 60 FROM workout_exercises",
        stopped: "exercise_sets",
        back: "SELECT 1",
    },
    Act {
        ddl: "ALTER TABLE food_entries RENAME TO entries; CREATE VIEW food_entries AS SELECT * FROM entries",
        writes: "UPDATE food_entries SET note = 'Private' WHERE user_id = '{me}'; DELETE FROM food_entries WHERE id = md5('entry 1')::uuid",
        stopped: "food_entries",
        back: "DROP VIEW food_entries; ALTER TABLE entries RENAME TO food_entries",
    },
    Act {
        ddl: "BEGIN; ALTER TABLE food_entries DISABLE TRIGGER USER; UPDATE food_entries SET note = 'Private' WHERE user_id = '{me}'; \
              UPDATE food_entries SET user_id = '{me}', note = 'Private' WHERE id = md5('entry 3')::uuid; \
              ALTER TABLE food_entries ENABLE TRIGGER USER; COMMIT",
        writes: "UPDATE food_entries SET quantity = quantity + 1",
        stopped: "food_entries",
        back: "SELECT 1",
    },
    Act {
        ddl: "DROP TRIGGER ryzed_update ON food_entries; UPDATE food_entries SET user_id = '{me}', note = 'Private' \
              WHERE id = md5('entry 5')::uuid",
        writes: "DELETE FROM food_entries WHERE id = md5('entry 7')::uuid",
        stopped: "food_entries",
        back: "SELECT 1",
    },
    Act {
        ddl: "CREATE FUNCTION app.mine() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$; \
              CREATE OR REPLACE TRIGGER ryzed_insert AFTER INSERT ON food_entries FOR EACH STATEMENT EXECUTE FUNCTION app.mine()",
        writes: "INSERT INTO food_entries (id, user_id, quantity, eaten_at, note) VALUES (gen_random_uuid(), '{me}', 1, now(), 'Private')",
        stopped: "food_entries",
        back: "SELECT 1",
    },
    Act {
        ddl: "CREATE TABLE more () INHERITS (exercise_sets); INSERT INTO more (id, workout_exercise_id, reps, weight) \
              SELECT gen_random_uuid(), id, 1, 1 FROM workout_exercises LIMIT 1",
        writes: "UPDATE exercise_sets SET rpe = 3",
        stopped: "exercise_sets",
        back: "DROP TABLE more",
    },
    Act {
        ddl: "CREATE TABLE sets_all (LIKE exercise_sets) PARTITION BY RANGE (created_at); \
              ALTER TABLE sets_all ATTACH PARTITION exercise_sets FOR VALUES FROM (MINVALUE) TO (MAXVALUE)",
        writes: "UPDATE sets_all SET rpe = 2; DELETE FROM sets_all WHERE id = md5('set 2')::uuid",
        stopped: "exercise_sets",
        back: "ALTER TABLE sets_all DETACH PARTITION exercise_sets; DROP TABLE sets_all",
    },
];

/// The answer to a device of the other person, from its cursor.
async fn told(scene: &Scene, device: &Device) -> String {
    let news = scene.other.pull(json!({"cursor": device.cursor})).await;
    let whole = scene.other.pull(json!({})).await;
    format!("{news}{whole}")
}

async fn play(acts: &[Act]) {
    let mut scene = Scene::new();
    let me = scene.owner.person.id.to_string();
    let (mut mine, mut theirs) = (scene.owner.device("mine"), scene.other.device("theirs"));
    for act in acts {
        mine.sync().await;
        theirs.sync().await;
        let held: usize = mine.rows.values().map(|rows| rows.len()).sum();
        scene.app.sql(&act.ddl.replace("{me}", &me));
        let early = told(&scene, &theirs).await;
        scene.app.sql(&act.writes.replace("{me}", &me));
        scene.until_stopped(act.stopped).await;
        for seen in [early, told(&scene, &theirs).await] {
            assert!(!seen.contains("Private"), "{}: {seen}", act.ddl);
        }
        // Nothing is deleted on a device because of it.
        mine.sync().await;
        assert!(mine.rows.values().map(|rows| rows.len()).sum::<usize>() >= held, "{}", act.ddl);
        scene.app.sql(act.back);
        scene.adopt_again(&[]).await;
        scene.until_stopped("").await;
        assert_eq!(contradictions(&scene.app), "", "{}", act.ddl);
        assert_complete(&mut mine).await;
        assert_complete(&mut theirs).await;
        assert!(!json!(theirs.rows).to_string().contains("Private"), "{}", act.ddl);
        assert_eq!((mine.resets, theirs.resets), (0, 0), "{}", act.ddl);
    }
}

#[tokio::test]
async fn renamed_moved_and_retyped_tables_are_stopped_and_mended() {
    play(&RENAMED).await;
}

#[tokio::test]
async fn replaced_tables_and_triggers_are_stopped_and_mended() {
    play(&REPLACED).await;
}

/// Rows that were moved to another file have the values that they had; those that got another type need not.
#[tokio::test]
async fn values_that_were_written_anew_for_another_type_reach_devices() {
    let mut scene = Scene::new();
    let mut mine = scene.owner.device("mine");
    mine.sync().await;
    scene.app.sql("ALTER TABLE foods ALTER calories SET DEFAULT 2");
    scene.app.sql("VACUUM FULL foods");
    scene.app.sql("ALTER TABLE exercise_sets ALTER reps TYPE smallint USING reps % 100 + 100");
    scene.until_stopped("exercise_sets").await;
    scene.daemon.logged(&["written anew for another type of a column"]).await;
    mine.sync().await;
    scene.adopt_again(&[]).await;
    scene.until_stopped("").await;
    assert_complete(&mut mine).await;
    let held = &mine.rows["exercise_sets"];
    assert!(!held.is_empty() && held.values().all(|row| row["reps"].as_i64() >= Some(100)), "{held:?}");
    assert_eq!((contradictions(&scene.app), mine.resets), (String::new(), 0));
}
