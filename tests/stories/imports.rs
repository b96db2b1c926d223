//! Bringing data in and taking it out from the command line.

use std::path::PathBuf;

use ryzed_tests::rows::{food, food_entry};
use ryzed_tests::{Account, Daemon, Ran};
use serde_json::{Value, json};

/// A daemon, somebody at it, and files to import.
struct Desk {
    daemon: Daemon,
    me: Account,
}

impl Desk {
    async fn new() -> Self {
        let daemon = Daemon::start();
        let me = daemon.account();
        me.push([]).await;
        Self { daemon, me }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.daemon.folder().join(name);
        std::fs::write(&path, text).expect("a file");
        path
    }

    fn import(&self, file: &std::path::Path, more: &[&str]) -> Ran {
        let mut arguments = vec!["import", file.to_str().expect("a path")];
        arguments.extend(more);
        Ran::of(&mut self.daemon.command(&arguments))
    }

    fn user(&self) -> String {
        self.me.person.id.to_string()
    }
}

fn line_is_named(said: &str, line: usize) -> bool {
    said.lines().any(|text| {
        text.split(|c: char| !c.is_ascii_digit()).any(|number| number == line.to_string()) && text.contains("line")
    })
}

#[tokio::test]
async fn ndjson_goes_into_the_catalogue_and_refused_rows_are_named_by_line() {
    let desk = Desk::new().await;
    let before = desk.me.rows("foods").await.len();
    let good = food(json!({"name_en": "Medlar"}));
    let lines = [
        good.to_string(),
        food(json!({"calories": -7})).to_string(),
        "not json".into(),
        food(json!({"colour": "red"})).to_string(),
        food(json!({"name_en": "Sloe"})).to_string(),
    ];
    let file = desk.file("foods.ndjson", &lines.join("\n"));
    let ran = desk.import(&file, &["--table", "foods"]);
    for line in [2, 3, 4] {
        assert!(line_is_named(&ran.said(), line), "line {line} is not named: {}", ran.said());
    }
    for field in ["calories", "colour"] {
        assert!(ran.said().contains(field), "{field} is not named: {}", ran.said());
    }
    let row = desk.me.row("foods", &good["id"]).await.expect("the imported row");
    assert_eq!((&row["user_id"], &row["name_en"]), (&Value::Null, &json!("Medlar")));
    assert_eq!(desk.me.rows("foods").await.len(), before + 2);
}

#[tokio::test]
async fn an_import_twice_doubles_nothing() {
    let desk = Desk::new().await;
    let with_id = food(json!({})).to_string();
    let mut without = food(json!({"name_en": "Nameless"}));
    without.as_object_mut().expect("a row").remove("id");
    let file = desk.file("foods.ndjson", &format!("{with_id}\n{without}\n"));
    desk.import(&file, &["--table", "foods"]).ok();
    let once = desk.me.pull(json!({"tables": ["foods"]})).await;
    desk.import(&file, &["--table", "foods"]).ok();
    let twice = desk.me.pull(json!({"tables": ["foods"]})).await;
    assert_eq!(once, twice, "not even a version is taken");
}

#[tokio::test]
async fn csv_of_a_person_goes_to_that_person() {
    let desk = Desk::new().await;
    let other = desk.daemon.account();
    let csv = "quantity,unit,meal_type,consumed_at,calories\n\
               150,g,lunch,2026-01-05T12:00:00Z,\n\
               80.5,ml,,2026-01-05T13:00:00+01:00,12\n\
               0,g,lunch,2026-01-05T12:00:00Z,\n\
               10,\"a, quoted \"\"unit\"\"\",snack,2026-01-05T12:00:00Z,1\n";
    let file = desk.file("entries.csv", csv);
    let ran = desk.import(&file, &["--table", "food_entries", "--user", &desk.user()]);
    assert!(line_is_named(&ran.said(), 4), "{}", ran.said());
    let mut rows = desk.me.rows("food_entries").await;
    rows.sort_by_key(|row| row["quantity"].as_f64().map(|n| (n * 10.0) as i64));
    assert_eq!(rows.len(), 3, "{rows:#?}");
    assert_eq!(rows[0]["unit"], "a, quoted \"unit\"");
    assert_eq!((&rows[1]["quantity"], &rows[1]["meal_type"]), (&json!(80.5), &Value::Null), "an empty field is null");
    assert_eq!(rows[2]["calories"], Value::Null);
    assert!(other.rows("food_entries").await.is_empty());
    let again = desk.import(&file, &["--table", "food_entries", "--user", &desk.user()]);
    assert_eq!(desk.me.rows("food_entries").await.len(), 3, "{}", again.said());
}

#[tokio::test]
async fn connected_devices_hear_of_an_import() {
    let desk = Desk::new().await;
    let mut tablet = desk.me.socket("tablet").await;
    let entry = food_entry(json!({"quantity": 77}));
    let file = desk.file("entry.ndjson", &entry.to_string());
    desk.import(&file, &["--table", "food_entries", "--user", &desk.user()]).ok();
    let message = tablet.next("database_change").await;
    assert_eq!(message["new_record"]["quantity"], 77);
}

#[tokio::test]
async fn an_import_into_an_unknown_table_or_of_no_file_is_wrong_use() {
    let desk = Desk::new().await;
    let file = desk.file("foods.ndjson", "");
    let ran = desk.import(&file, &["--table", "passwords"]);
    assert_eq!(ran.code, 2, "{}", ran.said());
    assert!(ran.stderr.contains("passwords"), "{}", ran.stderr);
    let ran = desk.import(&desk.daemon.folder().join("nowhere.csv"), &["--table", "foods"]);
    assert_ne!(ran.code, 0);
    assert!(ran.stderr.contains("nowhere.csv"), "{}", ran.stderr);
}

#[tokio::test]
async fn ten_thousand_rows_go_in_and_come_out() {
    let desk = Desk::new().await;
    let lines: Vec<String> = (0..10_000).map(|n| food_entry(json!({"quantity": n + 1})).to_string()).collect();
    let file = desk.file("many.ndjson", &lines.join("\n"));
    desk.import(&file, &["--table", "food_entries", "--user", &desk.user()]).ok();
    let mut tablet = desk.me.device("tablet");
    tablet.sync().await;
    assert_eq!(tablet.rows["food_entries"].len(), 10_000);
    assert!(tablet.is_complete().await.expect("a digest"));
}

const TRACK: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<gpx version="1.1" creator="a watch" xmlns="http://www.topografix.com/GPX/1/1">
 <trk><name>Round the lake</name>
  <trkseg>
   <trkpt lat="48.0000" lon="11.0000"><ele>500</ele><time>2026-01-05T07:00:00Z</time></trkpt>
   <trkpt lat="48.0100" lon="11.0000"><ele>510</ele><time>2026-01-05T07:06:00Z</time></trkpt>
   <trkpt lat="48.0200" lon="11.0000"><ele>520</ele><time>2026-01-05T07:12:00Z</time></trkpt>
  </trkseg>
 </trk>
</gpx>
"#;

#[tokio::test]
async fn a_track_becomes_a_session_with_its_points() {
    let desk = Desk::new().await;
    let file = desk.file("run.gpx", TRACK);
    desk.import(&file, &["--user", &desk.user()]).ok();
    let sessions = desk.me.rows("cardio_sessions").await;
    assert_eq!(sessions.len(), 1);
    let session = &sessions[0];
    // Two hundredths of a degree of latitude are 2.22 km.
    assert!((session["distance_km"].as_f64().expect("a distance") - 2.224).abs() < 0.02, "{session}");
    assert_eq!(session["duration_seconds"], 720);
    assert!((session["average_speed_kmh"].as_f64().expect("a speed") - 11.12).abs() < 0.1, "{session}");
    assert_eq!(
        (&session["start_time"], &session["end_time"]),
        (&json!("2026-01-05T07:00:00.000000Z"), &json!("2026-01-05T07:12:00.000000Z"))
    );
    let points = desk.me.rows("location_points").await;
    assert_eq!(points.len(), 3);
    assert!(points.iter().all(|point| point["cardio_session_id"] == session["id"]));
    assert_eq!(points[0]["altitude"], 500);

    desk.import(&file, &["--user", &desk.user()]).ok();
    assert_eq!(desk.me.rows("cardio_sessions").await.len(), 1, "a second import doubles nothing");
    assert_eq!(desk.me.rows("location_points").await.len(), 3);
}

#[tokio::test]
async fn points_without_a_time_are_not_passed_over_in_silence() {
    let desk = Desk::new().await;
    let timeless = TRACK.replace("<time>2026-01-05T07:06:00Z</time>", "");
    let file = desk.file("run.gpx", &timeless);
    let ran = desk.import(&file, &["--user", &desk.user()]);
    assert_eq!(ran.code, 0, "{}", ran.said());
    assert!(ran.said().contains("time"), "nothing is said of the point without a time: {}", ran.said());
    assert_eq!(desk.me.rows("cardio_sessions").await.len(), 1);
}

#[tokio::test]
async fn an_export_goes_back_in_as_it_came_out() {
    let desk = Desk::new().await;
    let entry = food_entry(json!({"quantity": 33}));
    desk.me.store("food_entries", &entry).await;
    let exported = Ran::of(&mut desk.daemon.command(&["export", "--user", &desk.user()])).ok();
    let lines: Vec<Value> = exported.lines().map(|line| serde_json::from_str(line).expect("NDJSON")).collect();
    let mine = lines.iter().find(|line| line["table"] == "food_entries").expect("the entry");
    assert_eq!((&mine["row"]["id"], &mine["row"]["quantity"]), (&entry["id"], &json!(33)));
}
