//! Files in, and the same files in again, on a database of their own.

use std::io::Cursor;
use std::path::PathBuf;

use chrono::TimeDelta;
use ryzed_adapters::Registry;
use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::clock::SystemClock;
use crate::config::Limits;
use crate::store::sqlite::{SqliteSettings, SqliteStore};
use crate::sync::digest::Digest;
use crate::sync::{Scope, UserId};

const USER: &str = "7b0c3f5e-5d0f-4c5b-9a53-3f0a6ad0a001";

const GPX: &str = r#"<?xml version="1.0"?>
<gpx version="1.1" creator="test" xmlns="http://www.topografix.com/GPX/1/1">
<trk><name>Planned</name><trkseg><trkpt lat="10" lon="10"/><trkpt lat="11" lon="10"/></trkseg></trk>
<trk><name> Morning loop </name>
<trkseg>
 <trkpt lat="0.0" lon="9"/>
 <trkpt lat="0.00" lon="10"><ele>100.5</ele><time>2026-05-01T08:00:00Z</time></trkpt>
 <trkpt lat="0.01" lon="10"></trkpt>
 <trkpt lat="0.00" lon="10"><time>2026-05-01T08:10:00Z</time></trkpt>
</trkseg>
<trkseg>
 <trkpt lat="1.00" lon="10"><time>2026-05-01T09:00:00Z</time></trkpt>
 <trkpt lat="1.01" lon="10"><time>2026-05-01T09:05:00.5Z</time></trkpt>
</trkseg></trk></gpx>"#;

/// Keeps what is told.
#[derive(Default)]
struct Heard(Vec<String>);

impl Watch for Heard {
    fn refused(&mut self, refusal: &Refusal) {
        self.0.push(refusal.to_string());
    }

    fn moved(&mut self, _: &Summary) {}
}

struct House {
    service: Arc<Service>,
    folder: TempDir,
}

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let registry = Arc::new(Registry::standard());
        let settings = SqliteSettings {
            path: folder.path().join("ryzed.db"),
            durable: false,
            readers: 1,
            stay: crate::store::Stay::Keeper,
        };
        let store = SqliteStore::open(&settings, Arc::clone(&registry), Arc::new(|| {})).unwrap();
        let limits = Limits { changes_per_request: 7, ..Limits::default() };
        let service = Service::new(Arc::new(store), registry, Arc::new(SystemClock), limits, TimeDelta::days(90));
        Self { service: Arc::new(service), folder }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    async fn load(&self, owner: Owner, table: Option<&str>, text: &str) -> (Summary, Vec<String>) {
        let input = Input::of("test", Cursor::new(text.to_owned()));
        let table = table.and_then(|table| self.service.registry.get(table)).map(|table| table.name);
        self.run(owner, Box::new(NdjsonRows::new(input, table))).await
    }

    async fn load_csv(&self, table: &str, text: &str) -> (Summary, Vec<String>) {
        let input = Input::of("test", Cursor::new(text.to_owned()));
        let rows = CsvRows::new(input, self.service.registry.get(table).unwrap(), b',').unwrap();
        self.run(Owner::Catalogue, Box::new(rows)).await
    }

    async fn run(
        &self,
        owner: Owner,
        rows: Box<dyn Iterator<Item = Result<Incoming, TransferError>> + Send>,
    ) -> (Summary, Vec<String>) {
        let mut heard = Heard::default();
        self.service.create_user(&user().caller()).await.unwrap();
        let summary = Loader::new(&self.service, owner, &mut heard).load(rows).await.unwrap();
        (summary, heard.0)
    }

    async fn digest(&self) -> Digest {
        self.service.digest(&user().caller(), &[]).await.unwrap().digest
    }
}

fn user() -> Owner {
    Owner::User(UserId(USER.parse().unwrap()))
}

fn summary(read: u64, written: u64, unchanged: u64, refused: u64) -> Summary {
    Summary { read, written, unchanged, refused }
}

#[tokio::test]
async fn the_same_file_twice_doubles_nothing() {
    let house = House::new();
    let rows: String = (0..20)
        .map(|n| format!("{{\"name_en\":\"Food {n}\",\"name_fr\":\"Aliment {n}\",\"calories\":{n}}}\n"))
        .collect();
    assert_eq!(house.load(Owner::Catalogue, Some("foods"), &rows).await.0, summary(20, 20, 0, 0));
    assert_eq!(house.load(user(), Some("foods"), &rows).await.0, summary(20, 20, 0, 0));
    let digest = house.digest().await;
    assert_eq!(digest["foods"].rows, 40);
    assert_eq!(house.load(Owner::Catalogue, Some("foods"), &rows).await.0, summary(20, 0, 20, 0));
    assert_eq!(house.load(user(), Some("foods"), &rows).await.0, summary(20, 0, 20, 0));
    assert_eq!(house.digest().await, digest);
}

#[tokio::test]
async fn a_csv_cell_becomes_what_its_column_holds() {
    let house = House::new();
    let text = "\u{feff}name_en,name_fr,description_en,difficulty_level,estimated_duration_minutes,target_muscle_groups,is_public,average_rating\n\
        \"Legs, long\",Jambes,,beginner,30,\"[\"\"legs\"\"]\",TRUE,4.5\n\
        \n\
        Arms,Bras,\"two\nlines\",,,,0,\n\
        Back,Dos,,,half an hour,legs,yes,\"4,5\"\n\
        Short,Court\n\
        Abs,Abdos,,extreme,,,,\n";
    let (summary_of, heard) = house.load_csv("workout_templates", text).await;
    assert_eq!(summary_of, summary(5, 2, 0, 3));
    assert_eq!(heard.len(), 3, "{heard:?}");
    assert!(
        heard[0].starts_with("line 6: refused: estimated_duration_minutes: is no whole number; target_muscle"),
        "{heard:?}"
    );
    assert!(
        heard[0].contains("is_public: must be true") && heard[0].contains("average_rating: is no number"),
        "{heard:?}"
    );
    assert!(heard[1].starts_with("line 7: refused: has 2 cells where the header has 8"), "{heard:?}");
    assert!(heard[2].starts_with("line 8: refused: difficulty_level: must be one of"), "{heard:?}");

    let mut exported = Vec::new();
    let mut pages = house.service.export(Scope::Global);
    while let Some(page) = futures_util::StreamExt::next(&mut pages).await {
        exported.extend_from_slice(&page.unwrap());
    }
    let line: serde_json::Value =
        serde_json::from_slice(exported.split(|byte| *byte == b'\n').next().unwrap()).unwrap();
    let row = &line["row"];
    assert_eq!((&row["name_en"], &row["estimated_duration_minutes"]), (&"Legs, long".into(), &30.into()));
    assert_eq!((&row["target_muscle_groups"][0], &row["is_public"]), (&"legs".into(), &true.into()));
    assert_eq!((&row["description_en"], &row["user_id"], &row["usage_count"]), (&().into(), &().into(), &0.into()));
}

#[tokio::test]
async fn lines_are_counted_as_an_editor_counts_them() {
    let lines = ["name_en,name_fr,calories", "Fig,Figue,x", "", "Oat,\"Av\noine\",x", ",,", "  ", "Nut,Noix,x"];
    // Within the cell with two lines, its line end is the file's, too.
    for (end, name) in [("\n", "LF"), ("\r\n", "CR LF"), ("\r", "CR")] {
        for last in ["", end] {
            let text = lines.join("\n").replace('\n', end) + last;
            let house = House::new();
            let (summary_of, heard) = house.load_csv("foods", &text).await;
            assert_eq!(summary_of, summary(3, 0, 0, 3), "{name}: {heard:?}");
            let numbers: Vec<&str> = heard.iter().filter_map(|line| line.split(':').next()).collect();
            assert_eq!(numbers, ["line 2", "line 4", "line 8"], "{name}");
        }
    }
}

#[test]
fn a_header_of_another_table_is_told_at_once() {
    let registry = Registry::standard();
    let table = registry.get("foods").unwrap();
    let header = |text: &'static str| match CsvRows::new(Input::of("test", text.as_bytes()), table, b',') {
        Ok(_) => panic!("{text} was taken"),
        Err(error) => error.to_string(),
    };
    assert!(header("name_en,kcal\n").contains("\"kcal\", which is no column of foods"));
    assert!(header("name_en;name_fr\n").contains("--delimiter ';'"));
    assert!(header("name_en,name_en\n").contains("twice"));
    assert!(header("").contains("no header"));
}

#[tokio::test]
async fn a_quote_left_open_ends_the_file_before_it_fills_the_memory() {
    let registry = Registry::standard();
    let text = format!("name_en,name_fr,calories\nFig,Figue,74\n\"Oat,{}", "x".repeat(3 << 20));
    let rows = CsvRows::new(Input::of("test", Cursor::new(text)), registry.get("foods").unwrap(), b',').unwrap();
    let house = House::new();
    let mut heard = Heard::default();
    let error = Loader::new(&house.service, Owner::Catalogue, &mut heard).load(Box::new(rows)).await.unwrap_err();
    assert!(error.to_string().contains("is a quote left open?"), "{error}");
    assert_eq!(house.digest().await["foods"].rows, 1, "what stood before it is there");
}

#[tokio::test]
async fn a_line_that_is_no_row_is_refused_by_its_number() {
    let house = House::new();
    let long = "x".repeat(source::LONGEST_ROW);
    let text = format!(
        "{{\"name_en\":\"Fig\",\"name_fr\":\"Figue\",\"calories\":74}}\n\nnot json\n[1]\n\"{long}\"\n\
         {{\"name_en\":\"Oat\",\"name_fr\":\"Avoine\",\"calories\":5000,\"x\":1}}\n\
         {{\"table\":\"exercises\",\"row\":{{}}}}\n{{\"name_en\":\"Nut\",\"name_fr\":\"Noix\",\"calories\":600}}"
    );
    let (summary_of, mut heard) = house.load(Owner::Catalogue, Some("foods"), &text).await;
    heard.sort();
    assert_eq!(summary_of, summary(7, 2, 0, 5));
    assert!(heard[0].starts_with("line 3: refused: is not JSON"), "{heard:?}");
    assert!(heard[1].starts_with("line 4: refused: is no JSON object"), "{heard:?}");
    assert!(heard[2].starts_with("line 5: refused: is longer"), "{heard:?}");
    assert!(heard[3].contains("calories: must be at most") && heard[3].contains("x: the table has no"), "{heard:?}");
    assert!(heard[4].starts_with("line 7: refused: table: is of another table"), "{heard:?}");
}

#[tokio::test]
async fn a_row_of_somebody_else_is_refused() {
    let house = House::new();
    let other = Uuid::from_u128(9);
    let text = format!("{{\"user_id\":\"{other}\",\"name_en\":\"Fig\",\"name_fr\":\"Figue\",\"calories\":74}}\n");
    for owner in [user(), Owner::Catalogue] {
        let (summary_of, heard) = house.load(owner, Some("foods"), &text).await;
        assert_eq!(summary_of, summary(1, 0, 0, 1));
        assert!(heard[0].starts_with("line 1: refused: user_id: not yours"), "{heard:?}");
    }
}

#[tokio::test]
async fn an_export_comes_back_whatever_its_order() {
    let house = House::new();
    let session = Uuid::from_u128(1);
    let exercise = |n: u128| {
        let id = Uuid::from_u128(n);
        format!(
            "{{\"table\":\"workout_exercises\",\"row\":{{\"id\":\"{id}\",\"session_id\":\"{session}\",\"order_index\":{n}}}}}\n"
        )
    };
    let mut text: String = (10..30).map(exercise).collect();
    text += &format!(
        "{{\"table\":\"workout_sessions\",\"row\":{{\"id\":\"{session}\",\"user_id\":\"{USER}\",\"name\":\"Legs\",\"start_time\":\"2026-05-01T08:00:00Z\",\"_version\":9}}}}\n"
    );
    text += &exercise(30).replace(&session.to_string(), &Uuid::from_u128(2).to_string());
    let (summary_of, heard) = house.load(user(), None, &text).await;
    assert_eq!(summary_of, summary(22, 21, 0, 1));
    let [refused] = heard.as_slice() else { panic!("{heard:?}") };
    assert!(
        refused.starts_with("line 22: refused: session_id: is to be a part of a row that is not there"),
        "{refused}"
    );

    let path = house.folder.path().join("me.ndjson");
    let args = ExportArgs { user: Some(USER.parse().unwrap()), output: Some(path.clone()), ..ExportArgs::default() };
    assert_eq!(export(&house.service, &args).await.unwrap(), 0);
    let exported = std::fs::read_to_string(path).unwrap();
    assert_eq!(exported.lines().count(), 22, "a user, a session and twenty exercises");
    let digest = house.digest().await;
    assert_eq!(house.load(user(), None, &exported).await.0, summary(22, 0, 22, 0));
    assert_eq!(house.digest().await, digest);
    assert_eq!(House::new().load(user(), None, &exported).await.0.refused, 0, "a new house takes all of it");
}

fn tracks(text: &str) -> Vec<track::Track> {
    track::read(Input::of("test", Cursor::new(text.to_owned()))).unwrap().0
}

/// A track with points at these places (degrees north of the tenth, seconds after eight) on the tenth meridian.
fn track_of(points: &[(f64, i64)]) -> track::Track {
    let start = chrono::DateTime::parse_from_rfc3339("2026-05-01T08:00:00Z").unwrap();
    let points: String = points
        .iter()
        .map(|(north, seconds)| {
            let at = (start + TimeDelta::seconds(*seconds)).to_rfc3339();
            format!("<trkpt lat=\"{}\" lon=\"10\"><time>{at}</time></trkpt>\n", 10.0 + north)
        })
        .collect();
    tracks(&format!("<gpx><trk><trkseg>{points}</trkseg></trk></gpx>")).remove(0)
}

#[test]
fn what_can_not_have_happened_is_left_out_wherever_it_stands() {
    let leap = 27 * 365 * 86_400;
    let wrong = [
        ("in between", vec![(0.0, 0), (0.001, 60), (5.0, 120), (0.002, 180), (0.003, 240)]),
        ("first", vec![(-5.0, -60), (0.0, 0), (0.001, 60), (0.002, 180), (0.003, 240)]),
        ("last", vec![(0.0, 0), (0.001, 60), (0.002, 180), (0.003, 240), (5.0, 300)]),
        ("years before", vec![(0.0, -leap), (0.0, 0), (0.001, 60), (0.002, 180), (0.003, 240)]),
        ("years after", vec![(0.0, 0), (0.001, 60), (0.002, leap), (0.002, 180), (0.003, 240)]),
        ("back in time", vec![(0.0, 0), (0.001, 60), (0.0015, 30), (0.002, 180), (0.003, 240)]),
    ];
    for (name, points) in wrong {
        let track = track_of(&points);
        assert_eq!(track.points.len(), 4, "{name}: {track:?}");
        assert_eq!(track.left_out.values().flatten().count(), 1, "{name}: {track:?}");
        assert!((track.metres - 3.0 * 111.195).abs() < 0.1 && track.seconds == 240.0, "{name}: {track:?}");
    }
    // A row of wrong points, two places that take turns, and one second for two points.
    let many: Vec<(f64, i64)> =
        (0..40).map(|n| (if (10..20).contains(&n) { 40.0 } else { 0.0001 * n as f64 }, n)).collect();
    assert_eq!(track_of(&many).points.len(), 30);
    let turns: Vec<(f64, i64)> = (0..41).map(|n| (if n % 2 == 1 { 40.0 } else { 0.0 }, n)).collect();
    assert_eq!(track_of(&turns).points.len(), 21);
    assert_eq!(track_of(&[(0.0, 0), (0.00005, 0), (0.0001, 1)]).points.len(), 3);
    // An airliner is a vehicle.
    assert_eq!(track_of(&[(0.0, 0), (2.25, 1000), (4.5, 2000)]).points.len(), 3);
}

#[test]
fn a_noisy_track_is_sifted_in_bounded_time() {
    let points: Vec<(f64, i64)> = (0..50_000).map(|n| (f64::from(n * 7919 % 70), i64::from(n))).collect();
    let track = track_of(&points);
    assert_eq!(track.points.len() + track.left_out.values().flatten().count(), 50_000);
}

#[test]
fn a_track_is_measured_where_it_was_timed() {
    let tracks = tracks(GPX);
    assert!(tracks[0].points.is_empty());
    let track = &tracks[1];
    assert_eq!((track.title.as_deref(), track.total, track.points.len(), track.parts), (Some("Morning loop"), 6, 4, 2));
    // A hundredth of a degree north is 1111.95 m on the sphere: there and back, and once more in the second segment.
    assert!((track.metres - 3.0 * 1111.95).abs() < 0.1, "{}", track.metres);
    assert!((track.seconds - 900.5).abs() < 1e-9, "{}", track.seconds);
}

#[tokio::test]
async fn a_track_becomes_one_session_and_stays_one() {
    let house = House::new();
    let args =
        ImportArgs { file: house.file("loop.gpx", GPX), user: Some(USER.parse().unwrap()), ..ImportArgs::default() };
    assert_eq!(import(&house.service, &args).await.unwrap(), 0);
    let digest = house.digest().await;
    assert_eq!((digest["cardio_sessions"].rows, digest["location_points"].rows), (1, 4));
    assert_eq!(import(&house.service, &args).await.unwrap(), 0);
    assert_eq!(house.digest().await, digest);
}

#[tokio::test]
async fn the_starter_catalogue_is_whole_and_comes_once() {
    let house = House::new();
    let loaded = starter::load(&house.service).await.unwrap().unwrap();
    assert_eq!((loaded.refused, loaded.unchanged, loaded.read), (0, 0, loaded.written));
    let digest = house.digest().await;
    for (table, least) in [("foods", 60), ("exercises", 60), ("hiit_workouts", 8), ("workout_templates", 5)] {
        assert!(digest[table].rows >= least, "{table}: {}", digest[table].rows);
    }
    assert_eq!(starter::load(&house.service).await.unwrap(), None);
}

#[test]
fn what_can_not_be_meant_is_told() {
    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        args: ImportArgs,
    }
    let registry = Registry::standard();
    let told = |line: &str| {
        let args = <Command as clap::Parser>::try_parse_from(line.split(' ')).unwrap().args;
        let owner = args.format().and_then(|format| args.owner(&registry, format));
        owner.map(|_| String::new()).unwrap_or_else(|error| error.to_string())
    };
    assert_eq!(told("import foods.csv --table foods"), "");
    assert!(told("import diary.csv --table food_entries").contains("--user"));
    assert!(told("import diary.csv --table diary").contains("the tables are"));
    assert!(told("import - --table foods").contains("--format"));
    assert!(told("import run.gpx").contains("--user"));
    assert!(told("import all.ndjson").contains("--table"));
}
