//! Recorded tracks and spreadsheets as real programs write them: what never happened is not stored, and what is left out is said.

use ryzed_tests::{Account, Daemon, Ran};
use serde_json::{Value, json};

/// A daemon and somebody who brings files to it.
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

    fn import(&self, name: &str, text: &str, more: &[&str]) -> Ran {
        let path = self.daemon.folder().join(name);
        std::fs::write(&path, text).expect("a file");
        let user = self.me.person.id.to_string();
        let mut arguments = vec!["import", path.to_str().expect("a path"), "--user", &user];
        arguments.extend(more);
        Ran::of(&mut self.daemon.command(&arguments))
    }

    /// The sessions, the first one first, each with its points.
    async fn sessions(&self) -> Vec<(Value, Vec<Value>)> {
        let mut sessions = self.me.rows("cardio_sessions").await;
        sessions.sort_by_key(|session| session["start_time"].to_string());
        let points = self.me.rows("location_points").await;
        let of = |session: &Value| {
            points.iter().filter(|point| point["cardio_session_id"] == session["id"]).cloned().collect()
        };
        sessions.into_iter().map(|session| (session.clone(), of(&session))).collect()
    }
}

/// A GPX file of these tracks.
fn gpx(tracks: &[String]) -> String {
    format!(
        "<?xml version=\"1.0\"?>\n<gpx version=\"1.1\" creator=\"a watch\" xmlns=\"http://www.topografix.com/GPX/1/1\">\n{}</gpx>\n",
        tracks.concat()
    )
}

/// A track of one segment, a point a line; `head` is what stands before it.
fn track(head: &str, points: &[(f64, f64, &str)]) -> String {
    let points: String = points
        .iter()
        .map(|(lat, lon, time)| format!("<trkpt lat=\"{lat}\" lon=\"{lon}\"><time>2026-01-{time}Z</time></trkpt>\n"))
        .collect();
    format!("<trk>{head}<trkseg>\n{points}</trkseg></trk>\n")
}

fn lap(day: &str) -> Vec<(f64, f64, String)> {
    (0..4).map(|n| (48.0 + f64::from(n) / 1000.0, 11.0, format!("{day}T07:0{n}:00"))).collect()
}

fn lap_of(head: &str, day: &str) -> String {
    let lap = lap(day);
    let points: Vec<(f64, f64, &str)> = lap.iter().map(|(lat, lon, time)| (*lat, *lon, time.as_str())).collect();
    track(head, &points)
}

fn km(session: &Value) -> f64 {
    session["distance_km"].as_f64().expect("a distance")
}

#[tokio::test]
async fn each_track_of_a_file_is_an_activity_of_its_own() {
    let desk = Desk::new().await;
    let file = gpx(&[
        lap_of("<name>Day 1</name><type>running</type>", "05"),
        lap_of("<name>Day 2</name><type>Trail Running</type>", "06"),
        "<trk><name>Planned</name><trkseg><trkpt lat=\"10\" lon=\"10\"/></trkseg></trk>".into(),
        lap_of("<type>cycling</type>", "07"),
    ]);
    let ran = desk.import("export.gpx", &file, &[]);
    assert_eq!(ran.code, 0, "{}", ran.said());
    assert!(ran.said().contains("Planned"), "the track without times is not named: {}", ran.said());
    let sessions = desk.sessions().await;
    let told: Vec<_> = sessions.iter().map(|(row, _)| (&row["activity_title"], &row["activity_type"])).collect();
    assert_eq!(
        told,
        [
            (&json!("Day 1"), &json!("running")),
            (&json!("Day 2"), &json!("trail_running")),
            (&json!("Cycling"), &json!("cycling"))
        ]
    );
    for (session, points) in &sessions {
        assert_eq!((&session["duration_seconds"], points.len()), (&json!(180), 4), "{session}");
        assert!((km(session) - 0.3336).abs() < 0.001, "{session}");
    }
    desk.import("export.gpx", &file, &[]);
    assert_eq!(desk.sessions().await.len(), 3, "a second import doubles nothing");
}

#[tokio::test]
async fn the_type_in_the_file_counts_unless_the_command_says_otherwise() {
    let desk = Desk::new().await;
    desk.import("ride.gpx", &gpx(&[lap_of("<type>cycling</type>", "05")]), &["--activity", "rowing"]).ok();
    assert_eq!(desk.sessions().await[0].0["activity_type"], "rowing");
    let ran = desk.import("9.gpx", &gpx(&[lap_of("<type>9</type>", "06")]), &[]);
    assert!(ran.said().contains("taken for running"), "{}", ran.said());
    assert_eq!(desk.sessions().await[1].0["activity_type"], "running");
}

#[tokio::test]
async fn points_that_can_not_have_happened_make_no_way() {
    let wrong = [
        ("a pause marker", (100.0, 0.0, "05T07:01:10"), "map"),
        ("another one", (200.0, 0.0, "05T07:01:10"), "map"),
        ("null island", (0.0, 0.0, "05T07:01:10"), "without a fix"),
        ("a jump", (48.5, 11.0, "05T07:01:10"), "jump"),
        ("a clock that was not set", (48.0, 11.0, "01T00:00:00"), "time"),
    ];
    for (name, point, why) in wrong {
        let desk = Desk::new().await;
        let lap = lap("05");
        let mut points: Vec<(f64, f64, &str)> =
            lap.iter().map(|(lat, lon, time)| (*lat, *lon, time.as_str())).collect();
        points.insert(2, point);
        let ran = desk.import("run.gpx", &gpx(&[track("", &points)]), &[]);
        assert_eq!(ran.code, 0, "{name}: {}", ran.said());
        // The header, the line of the track, and two points stand before it.
        let named = ran
            .stdout
            .lines()
            .any(|line| line.contains("1 of 5 points left out") && line.contains(why) && line.contains("line 6"));
        assert!(named, "{name}: {}", ran.said());
        let sessions = desk.sessions().await;
        let (session, points) = &sessions[0];
        assert_eq!((&session["duration_seconds"], points.len()), (&json!(180), 4), "{name}: {session}");
        assert!((km(session) - 0.3336).abs() < 0.001, "{name}: {session}");
        let speed = session["average_speed_kmh"].as_f64().expect("a speed");
        assert!((speed - 6.672).abs() < 0.01, "{name}: {session}");
    }
}

#[tokio::test]
async fn what_has_no_column_is_named_once() {
    let desk = Desk::new().await;
    let heart = "<extensions><hr>141</hr></extensions></trkpt>";
    let file =
        gpx(&[lap_of("<type>running</type>", "05").replace("</trkpt>", heart), "<wpt lat=\"1\" lon=\"2\"/>".into()]);
    let said = desk.import("run.gpx", &file, &[]).ok();
    assert_eq!(said.matches("hr").count(), 1, "{said}");
    assert!(said.contains("1 waypoints"), "{said}");
}

#[tokio::test]
async fn lines_of_a_spreadsheet_are_named_as_its_editor_counts_them() {
    let desk = Desk::new().await;
    for end in ["\n", "\r\n"] {
        let lines = [
            "quantity,consumed_at",
            "150,2026-01-05T12:00:00Z",
            "x,2026-01-05T12:00:00Z",
            "",
            ",",
            "y,2026-01-05T12:00:00Z",
        ];
        let ran = desk.import("entries.csv", &lines.join(end), &["--table", "food_entries"]);
        let refused: Vec<&str> = ran.stderr.lines().filter(|line| line.contains(": refused")).collect();
        assert_eq!(refused.len(), 2, "an empty line is no row: {}", ran.said());
        assert!(refused[0].starts_with("line 3:") && refused[1].starts_with("line 6:"), "{refused:?}");
        assert!(ran.stdout.starts_with("3 rows read") || ran.said().contains("3 rows read"), "{}", ran.said());
    }
}
