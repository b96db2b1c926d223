//! The order within one upload: it does not matter to foreign keys, and where a rule of the database refuses a row it is the
//! device's own. What belongs together is done together or not at all.

use ryzed_tests::rows::{exercise_set, food, food_entry, row, workout_exercise, workout_session};
use ryzed_tests::{Account, Change, Daemon, Database, Metrics, delete, insert, update};
use serde_json::{Value, json};

const ONE_NAME: &str = "CREATE UNIQUE INDEX one_name ON foods (user_id, name_en)";
const ONE_PLACE: &str = "CREATE UNIQUE INDEX one_place ON workout_exercises (session_id, order_index)";

fn named(name: &str) -> Value {
    food(json!({"name_en": name}))
}

fn statuses(answer: &Value) -> Vec<&str> {
    answer["results"].as_array().expect("results").iter().filter_map(|result| result["status"].as_str()).collect()
}

/// Has new foods refused on a condition.
fn refuse_new(database: &Database, condition: &str) {
    database.run(&match database {
        Database::Sqlite(_) => {
            format!(
                "CREATE TRIGGER house_rule BEFORE INSERT ON foods WHEN {condition} BEGIN SELECT RAISE(ABORT, 'no'); END"
            )
        }
        Database::Postgres(_) => format!(
            "CREATE FUNCTION public.house_rule() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             IF {condition} THEN RAISE EXCEPTION 'no'; END IF; RETURN NEW; END $$; \
             CREATE TRIGGER house_rule BEFORE INSERT ON foods FOR EACH ROW EXECUTE FUNCTION public.house_rule()"
        ),
    });
}

/// The ids of the person's own foods.
async fn own(me: &Account) -> Vec<Value> {
    let rows = me.rows("foods").await.into_iter().filter(|row| row["user_id"] == me.user());
    let mut ids: Vec<Value> = rows.map(|row| row["id"].clone()).collect();
    ids.sort_by_key(Value::to_string);
    ids
}

fn ids(rows: &[&Value]) -> Vec<Value> {
    let mut ids: Vec<Value> = rows.iter().map(|row| row["id"].clone()).collect();
    ids.sort_by_key(Value::to_string);
    ids
}

fn gone(row: &Value) -> Change {
    delete("foods", &row["id"]).strategy("client_wins")
}

async fn with_rule(rule: &str) -> (Daemon, Account) {
    let daemon = Daemon::start();
    daemon.database().run(rule);
    let me = daemon.account();
    me.push([]).await;
    (daemon, me)
}

#[tokio::test]
async fn what_is_deleted_makes_room_for_what_is_put() {
    let (daemon, me) = with_rule(ONE_NAME).await;
    let (fig, other) = (named("Fig"), named("Date"));
    me.push([insert("foods", &fig), insert("foods", &other)]).await;
    let new = named("Fig");
    let changes = [
        gone(&fig),
        insert("foods", &new),
        update("foods", &other["id"], json!({"calories": 9})).strategy("client_wins"),
    ];
    let answer = me.push(changes.clone()).await;
    assert_eq!(statuses(&answer), ["applied", "applied", "conflict"], "{answer}");
    assert_eq!(own(&me).await, ids(&[&new, &other]));
    assert_eq!(me.push(changes).await["results"], answer["results"], "a retry gets the same");
    // The other way round, and all or nothing.
    let newest = named("Fig");
    let answer = me.push([insert("foods", &newest), gone(&new)]).await;
    assert_eq!(statuses(&answer), ["applied", "applied"], "{answer}");
    let last = named("Fig");
    let changes = [gone(&newest), insert("foods", &last)].map(|change| change.json());
    let answer = me.sync(json!({"atomic": true, "tables": ["users"], "changes": changes})).await;
    assert_eq!(statuses(&answer), ["applied", "applied"], "{answer}");
    assert_eq!(own(&me).await, ids(&[&last, &other]));
    assert!(daemon.database().is_sound() && !daemon.log().contains("ERROR"), "{}", daemon.log());
}

#[tokio::test]
async fn one_name_goes_through_several_rows_in_one_upload() {
    let (daemon, me) = with_rule(ONE_NAME).await;
    let (first, second, third) = (named("Fig"), named("Fig"), named("Fig"));
    let changes = [
        insert("foods", &first),
        gone(&first),
        insert("foods", &second),
        update("foods", &second["id"], json!({"name_en": "Date"})),
        insert("foods", &third),
    ];
    let answer = me.push(changes).await;
    assert_eq!(statuses(&answer), ["applied"; 5], "{answer}");
    assert_eq!(own(&me).await, ids(&[&second, &third]));
    let version = me.row("foods", &second["id"]).await.expect("the row");
    assert_eq!((&version["name_en"], &version["_version"]), (&json!("Date"), &answer["results"][2]["version"]));
    // A row that is deleted and made again under its own id, and may not be: it stays.
    refuse_new(&daemon.database(), "NEW.calories = 666");
    let mut again = third.clone();
    again["calories"] = json!(666);
    let answer = me.push([gone(&third), insert("foods", &again)]).await;
    assert_eq!(statuses(&answer), ["rejected", "rejected"], "{answer}");
    assert_eq!(own(&me).await, ids(&[&second, &third]));
    assert!(daemon.database().is_sound());
}

#[tokio::test]
async fn a_row_is_not_deleted_for_one_that_is_refused_all_the_same() {
    let (daemon, me) = with_rule(ONE_NAME).await;
    refuse_new(&daemon.database(), "NEW.calories = 666");
    let rows = ["Fig", "Date", "Plum"].map(named);
    me.push(rows.iter().map(|row| insert("foods", row))).await;
    let bad = food(json!({"name_en": "Fig", "calories": 666}));
    let plum = named("Plum");
    let answer =
        me.push([gone(&rows[1]), gone(&rows[0]), gone(&rows[2]), insert("foods", &bad), insert("foods", &plum)]).await;
    assert_eq!(statuses(&answer), ["applied", "rejected", "applied", "rejected", "applied"], "{answer}");
    assert_eq!(answer["results"][1]["errors"][0]["code"], "constraint");
    assert_eq!(own(&me).await, ids(&[&rows[0], &plum]));
    // A second one of the name is refused, and the first stands.
    let (good, second) = (named("Fig"), named("Fig"));
    let answer = me.push([gone(&rows[0]), insert("foods", &good), insert("foods", &second)]).await;
    assert_eq!(statuses(&answer), ["applied", "applied", "rejected"], "{answer}");
    assert_eq!(own(&me).await, ids(&[&good, &plum]));
    assert!(daemon.database().is_sound());
}

#[tokio::test]
async fn a_quota_counts_what_is_deleted_before() {
    let daemon = Daemon::start();
    let me = daemon.account();
    me.push([]).await;
    refuse_new(
        &daemon.database(),
        "(SELECT count(*) FROM foods WHERE user_id = NEW.user_id) >= 2 OR NEW.proteins = 66",
    );
    let rows = ["Fig", "Date"].map(named);
    let answer = me.push(rows.iter().map(|row| insert("foods", row))).await;
    assert_eq!(statuses(&answer), ["applied"; 2], "{answer}");
    let new = named("Plum");
    let answer = me.push([gone(&rows[0]), insert("foods", &new)]).await;
    assert_eq!(statuses(&answer), ["applied"; 2], "{answer}");
    let (newer, one_more) = (named("Kiwi"), named("Pear"));
    let answer = me.push([gone(&new), insert("foods", &newer), insert("foods", &one_more)]).await;
    assert_eq!(statuses(&answer), ["applied", "applied", "rejected"], "{answer}");
    assert_eq!(own(&me).await, ids(&[&rows[1], &newer]));
}

#[tokio::test]
async fn rows_move_through_places_of_which_each_is_one_rows() {
    let (daemon, me) = with_rule(ONE_PLACE).await;
    let session = workout_session(json!({}));
    let at = |place: usize| {
        let mut row = workout_exercise(&session);
        row["order_index"] = json!(place);
        row
    };
    let rows: Vec<Value> = (0..12).map(at).collect();
    me.push(
        [insert("workout_sessions", &session)]
            .into_iter()
            .chain(rows.iter().map(|row| insert("workout_exercises", row))),
    )
    .await;
    let to = |row: &Value, place: usize| {
        update("workout_exercises", &row["id"], json!({"order_index": place})).strategy("client_wins")
    };
    let places = async || {
        let mut found: Vec<(i64, Value)> = me
            .rows("workout_exercises")
            .await
            .into_iter()
            .map(|row| (row["order_index"].as_i64().unwrap_or(-1), row["id"].clone()))
            .collect();
        found.sort_by_key(|(place, _)| *place);
        found.into_iter().map(|(_, id)| id).collect::<Vec<_>>()
    };
    // A new one comes first, and all move up.
    let first = at(0);
    let moves =
        rows.iter().enumerate().map(|(place, row)| to(row, place + 1)).chain([insert("workout_exercises", &first)]);
    let answer = me.push(moves).await;
    assert!(statuses(&answer).iter().all(|status| *status != "rejected"), "{answer}");
    let wanted: Vec<Value> = [&first].into_iter().chain(&rows).map(|row| row["id"].clone()).collect();
    assert_eq!(places().await, wanted);
    // Two change places, by way of a third.
    let answer = me.push([to(&first, 99), to(&rows[0], 0), to(&first, 1)]).await;
    assert!(statuses(&answer).iter().all(|status| *status != "rejected"), "{answer}");
    assert_eq!(places().await[..2], [rows[0]["id"].clone(), first["id"].clone()]);
    assert_eq!(places().await.len(), 13);
    // And at once, two and three of them.
    let answer = me.push([to(&first, 0), to(&rows[0], 1)]).await;
    assert!(statuses(&answer).iter().all(|status| *status != "rejected"), "{answer}");
    assert_eq!(places().await, wanted);
    let answer = me.push([to(&rows[1], 3), to(&rows[2], 4), to(&rows[3], 2)]).await;
    assert!(statuses(&answer).iter().all(|status| *status != "rejected"), "{answer}");
    let ids = |rows: &[&Value]| rows.iter().map(|row| row["id"].clone()).collect::<Vec<_>>();
    assert_eq!(places().await[..6], ids(&[&first, &rows[0], &rows[3], &rows[1], &rows[2], &rows[4]]));
    // Where one of them is refused all the same, none is left without a place.
    let mut late = to(&rows[0], 0).json();
    late["data"]["exercise_id"] = json!("00000000-0000-4000-8000-000000000000");
    let answer = me.sync(json!({"changes": [to(&first, 1).json(), late, to(&rows[5], 5).json()]})).await;
    assert_eq!(statuses(&answer)[..2], ["rejected", "rejected"], "{answer}");
    assert_eq!(places().await[..2], ids(&[&first, &rows[0]]));
    assert_eq!(places().await.len(), 13);
    assert!(daemon.database().is_sound());
}

#[tokio::test]
async fn rows_exchange_what_may_be_null() {
    let (daemon, me) = with_rule("CREATE UNIQUE INDEX one_note ON cardio_sessions (user_id, notes)").await;
    let rows = ["first", "second"].map(|notes| row("cardio_sessions", json!({"notes": notes, "steps": 1})));
    me.push(rows.iter().map(|row| insert("cardio_sessions", row))).await;
    let to = |row: &Value, notes: &str, steps: u32| {
        update("cardio_sessions", &row["id"], json!({"notes": notes, "steps": steps})).strategy("client_wins")
    };
    let answer = me.push([to(&rows[0], "second", 7), to(&rows[1], "first", 8)]).await;
    assert!(statuses(&answer).iter().all(|status| *status != "rejected"), "{answer}");
    for (row, notes, steps) in [(&rows[0], "second", 7), (&rows[1], "first", 8)] {
        let row = me.row("cardio_sessions", &row["id"]).await.expect("a row");
        assert_eq!((&row["notes"], &row["steps"]), (&json!(notes), &json!(steps)));
    }
    assert!(daemon.database().is_sound());
}

#[tokio::test]
async fn rows_that_cant_exchange_their_places_are_told_why() {
    let (daemon, me) = with_rule(ONE_NAME).await;
    let rows = ["Fig", "Date", "Plum"].map(named);
    me.push(rows.iter().map(|row| insert("foods", row))).await;
    let to = |row: &Value, name: &str| {
        update("foods", &row["id"], json!({"name_en": name, "calories": 7})).strategy("client_wins")
    };
    let answer = me.push([to(&rows[0], "Date"), to(&rows[1], "Fig"), to(&rows[2], "Kiwi")]).await;
    let told = statuses(&answer);
    assert_eq!((told[0], told[1]), ("rejected", "rejected"), "{answer}");
    assert_ne!(told[2], "rejected", "{answer}");
    for result in &answer["results"].as_array().expect("results")[..2] {
        let error = &result["errors"][0];
        assert_eq!(error["code"], "constraint", "{answer}");
        assert!(error["message"].as_str().is_some_and(|said| said.contains("in a later request")), "{answer}");
    }
    assert_eq!(me.row("foods", &rows[0]["id"]).await.expect("a row")["name_en"], "Fig");
    assert!(daemon.database().is_sound());
}

#[tokio::test]
async fn a_row_is_not_deleted_for_one_that_breaks_our_own_rules() {
    let (daemon, me) = with_rule(ONE_NAME).await;
    let rows = ["Fig", "Date", "Plum"].map(named);
    me.push(rows.iter().map(|row| insert("foods", row))).await;
    let bad = food(json!({"name_en": "Fig", "calories": -1}));
    let other = food(json!({"name_en": "Kiwi", "calories": -1}));
    let pear = named("Pear");
    let changes =
        [gone(&rows[0]), gone(&rows[1]), insert("foods", &bad), insert("foods", &other), insert("foods", &pear)];
    let answer = me.push(changes.clone()).await;
    assert_eq!(statuses(&answer), ["rejected", "applied", "rejected", "rejected", "applied"], "{answer}");
    assert_eq!(answer["results"][0]["errors"][0]["code"], "constraint");
    assert_eq!(answer["results"][2]["errors"][0]["field"], "calories");
    assert_eq!(own(&me).await, ids(&[&rows[0], &rows[2], &pear]));
    assert_eq!(me.push(changes).await["results"], answer["results"], "a retry gets the same");
    // The same row made anew, and one that moves to the place.
    let mut again = rows[0].clone();
    again["calories"] = json!(-1);
    let answer = me.push([gone(&rows[0]), insert("foods", &again)]).await;
    assert_eq!(statuses(&answer), ["rejected", "rejected"], "{answer}");
    let edit = update("foods", &rows[2]["id"], json!({"name_en": "Fig", "calories": -1})).strategy("client_wins");
    let answer = me.push([edit, gone(&rows[0])]).await;
    assert_eq!(statuses(&answer), ["rejected", "rejected"], "{answer}");
    assert_eq!(own(&me).await, ids(&[&rows[0], &rows[2], &pear]));
    // What is refused for now is to come again, with the deletion.
    let later = food(json!({"name_en": "Fig", "created_at": "2999-01-01T00:00:00Z"}));
    let answer = me.push([gone(&rows[0]), insert("foods", &later)]).await;
    assert_eq!(statuses(&answer), ["rejected", "rejected"], "{answer}");
    assert_eq!(answer["results"][0]["errors"][0]["code"], "in_future", "{answer}");
    assert!(daemon.database().is_sound());
}

#[tokio::test]
async fn a_span_of_time_that_is_left_can_be_taken() {
    let daemon = Daemon::start();
    let Database::Postgres(_) = daemon.database() else { return };
    let me = daemon.account();
    daemon.database().run(
        "ALTER TABLE workout_sessions ADD CONSTRAINT one_at_a_time EXCLUDE USING gist (tstzrange(start_time, end_time) WITH &&)",
    );
    let span = |from: u32| {
        row(
            "workout_sessions",
            json!({"start_time": format!("2026-01-05T{from:02}:00:00Z"), "end_time": format!("2026-01-05T{:02}:00:00Z", from + 2)}),
        )
    };
    let (old, new, crossing) = (span(10), span(11), span(12));
    me.store("workout_sessions", &old).await;
    let gone = delete("workout_sessions", &old["id"]).strategy("client_wins");
    let answer = me.push([gone, insert("workout_sessions", &new), insert("workout_sessions", &crossing)]).await;
    assert_eq!(statuses(&answer), ["applied", "applied", "rejected"], "{answer}");
}

/// Whatever goes ahead of the rest so that others get a turn, the request comes to what it came to as one.
#[tokio::test]
async fn a_long_upload_takes_several_turns_and_is_judged_as_one() {
    let (daemon, me) = with_rule(ONE_NAME).await;
    let mut tablet = me.device("tablet");
    tablet.sync().await;
    let (fig, doomed) = (named("Fig"), named("Doomed"));
    me.push([insert("foods", &fig), insert("foods", &doomed)]).await;
    let (new, session, passing) = (named("Fig"), workout_session(json!({})), named("Passing"));
    let exercise = workout_exercise(&session);
    let set = exercise_set(&exercise);
    let entries: Vec<Value> = (0..900).map(|_| food_entry(json!({}))).collect();
    let mut changes = vec![
        insert("exercise_sets", &set),
        insert("foods", &new),
        insert("foods", &passing),
        insert("food_entries", &food_entry(json!({"quantity": -1}))),
        insert("foods", &named("FIG")),
        insert("workout_exercises", &workout_exercise(&workout_session(json!({})))),
        update("foods", &doomed["id"], json!({"calories": 9})).strategy("client_wins"),
    ];
    changes.extend(entries.iter().map(|entry| insert("food_entries", entry)));
    changes.extend([
        insert("workout_exercises", &exercise),
        update("foods", &passing["id"], json!({"calories": 10})),
        gone(&passing),
        insert("workout_sessions", &session),
        gone(&fig),
    ]);
    let turns = async || Metrics::of(&daemon.address()).await.value("ryzed_database_write_duration_seconds_count");
    let before = turns().await;
    let answer = me.push(changes.clone()).await;
    let taken = turns().await - before;
    if let Database::Sqlite(_) = daemon.database() {
        assert!(taken >= 4.0, "one upload kept the writer for all of it, in {taken} turns");
    }
    let mut expected = vec!["applied"; changes.len()];
    expected[3] = "rejected";
    expected[5] = "rejected";
    expected[6] = "conflict";
    assert_eq!(statuses(&answer), expected, "{}", answer["results"]);
    let ids: Vec<&Value> = answer["results"].as_array().expect("results").iter().map(|result| &result["id"]).collect();
    assert!(
        changes.iter().zip(ids).all(|(change, id)| change.json()["data"]["id"] == *id),
        "in the order of the changes"
    );
    assert_eq!(me.rows("food_entries").await.len(), entries.len());
    assert_eq!(me.rows("exercise_sets").await.len(), 1);
    assert_eq!(me.push(changes).await["results"], answer["results"], "a retry gets the same");
    // Nobody else is left with less.
    tablet.sync().await;
    assert!(tablet.is_complete().await.expect("a digest"), "the tablet has it all");
    assert!(daemon.database().is_sound() && !daemon.log().contains("ERROR"), "{}", daemon.log());
}
