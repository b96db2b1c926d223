//! The tracks of a GPX file: measured, and each turned into a `cardio_sessions` row with its `location_points`.
//!
//! What counts is what was timed, because a point of a session needs a time and a speed needs both distance and time:
//! * a point without a time is not imported, but where it lies between two timed points of one segment, the way between
//!   these two goes over it;
//! * a point that can't have happened is not imported, and no way goes over it ([`sift`]);
//! * between segments the recorder was off: neither the distance nor the time there counts.
//!
//! So the duration is the time that was recorded, shorter than from start to end where there were breaks, and the average
//! speed is distance over duration. Each track of a file is a session; routes and waypoints are no part of one.

mod told;

use std::collections::BTreeMap;
use std::io::{BufReader, Read};
use std::ops::RangeInclusive;

use chrono::{DateTime, Utc};
use ryzed_adapters::{Row, format_time};
use serde_json::{Value, json};
use uuid::Uuid;

use super::gpx::{self, Fix, Recording};
use super::load::Loader;
use super::owner::Owner;
use super::sieve::{LeftOut, is_way_of, sift};
use super::source::{Incoming, Input};
use super::sphere::distance;
use super::{FilePlace, Summary, TransferError, Watch};
use crate::service::Service;
use told::{beside, of_track};

/// The largest GPX file, whose points are all held, in bytes. A day at a point a second has about 15 MiB.
const LARGEST_FILE: u64 = 128 << 20;
/// The speeds in km/h, and the altitudes in metres, that the columns take.
const SPEEDS: RangeInclusive<f64> = 0.0..=2000.0;
const ALTITUDES: RangeInclusive<f64> = -20_000.0..=100_000.0;
/// The longest kind of activity that its column takes, in characters.
const LONGEST_KIND: usize = 100;
/// The session's goal as it is shown.
const FORMAT_TITLE: &str = "Imported track";
/// The kind of a track that names none.
const USUAL_KIND: &str = "running";

/// A measured track.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Track {
    /// Its place in the file, from 1.
    pub number: u64,
    /// Its name.
    pub title: Option<String>,
    /// The activity that its `<type>` names, in the words of `activity_type`.
    pub kind: Option<String>,
    /// Points in the file.
    pub total: usize,
    /// Segments with points that count.
    pub parts: usize,
    /// The points that count.
    pub points: Vec<Timed>,
    /// The lines of those that do not, by reason.
    pub left_out: BTreeMap<LeftOut, Vec<u64>>,
    /// Altitudes that no column takes.
    pub altitudes_left_out: usize,
    /// Along the segments, in metres.
    pub metres: f64,
    /// Recorded, in seconds.
    pub seconds: f64,
    /// The identity of the track when it comes again: its timed points, kept or not.
    content: Vec<Value>,
}

/// A point with its time.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Timed {
    /// Its place among the timed points of the track, from 1, and the line of the file.
    number: usize,
    line: u64,
    latitude: f64,
    longitude: f64,
    altitude: Option<f64>,
    speed_kmh: Option<f64>,
    at: DateTime<Utc>,
}

/// Reads and measures a GPX file.
pub(super) fn read(input: Input) -> Result<(Vec<Track>, gpx::File), TransferError> {
    let path = input.path().to_owned();
    let fault = |what: String| TransferError::Content(format!("{}: {what}", path.display()));
    if input.length().is_some_and(|length| length > LARGEST_FILE) {
        return Err(fault(format!("is larger than {} MiB; split it", LARGEST_FILE >> 20)));
    }
    let file = gpx::read(BufReader::new(input.take(LARGEST_FILE))).map_err(fault)?;
    let tracks: Vec<Track> = file.tracks.iter().zip(1..).map(|(track, number)| Track::of(track, number)).collect();
    if tracks.iter().all(|track| track.points.is_empty()) {
        let total: usize = tracks.iter().map(|track| track.total).sum();
        let why: Vec<String> = tracks.iter().map(of_track).collect();
        return Err(fault(format!(
            "none of its {total} track points has a time and a place, and a session can't be made without\n{}",
            why.join("\n")
        )));
    }
    Ok((tracks, file))
}

/// Writes each track as a session with its points; the text tells what was made of them.
pub(super) async fn load(
    service: &Service,
    owner: Owner,
    (tracks, file): (Vec<Track>, gpx::File),
    activity: Option<&str>,
    watch: &mut dyn Watch,
) -> Result<(Summary, String), TransferError> {
    let mut summary = Summary::default();
    let mut told: Vec<String> = Vec::new();
    for track in &tracks {
        if track.points.is_empty() {
            told.push(of_track(track));
            continue;
        }
        let id = track.id(owner);
        let session = ("cardio_sessions".into(), track.session(id, activity));
        let session = Incoming { place: FilePlace::Track(track.number), size: 0, row: Ok(session) };
        let of_session = Loader::new(service, owner, watch).load(Box::new(std::iter::once(Ok(session)))).await?;
        summary += of_session;
        if of_session.refused > 0 {
            continue;
        }
        let points: Vec<_> = track.rows(id).map(Ok).collect();
        summary += Loader::new(service, owner, watch).load(Box::new(points.into_iter())).await?;
        told.push(format!("session {id}, {}: {}", track.activity(activity), of_track(track)));
    }
    if activity.is_none() && tracks.iter().any(|track| track.kind.is_none() && !track.points.is_empty()) {
        told.push(format!(
            "a track without a <type> that names an activity is taken for {USUAL_KIND}; --activity says otherwise"
        ));
    }
    told.extend(beside(&file));
    Ok((summary, told.join("\n")))
}

impl Track {
    /// Measures a track.
    pub(super) fn of(recording: &Recording, number: u64) -> Self {
        let kind = recording.kind.as_deref().and_then(kind);
        let mut track = Self { number, title: recording.name.clone(), kind, ..Self::default() };
        let points: Vec<(usize, &Fix)> = recording
            .segments
            .iter()
            .enumerate()
            .flat_map(|(segment, points)| points.iter().map(move |point| (segment, point)))
            .collect();
        track.total = points.len();
        let mut leg = Leg::default();
        for ((segment, fix), verdict) in points.iter().zip(sift(&points)) {
            if leg.segment != Some(*segment) {
                leg = Leg { segment: Some(*segment), ..Leg::default() };
            }
            track.note(fix, verdict);
            match verdict {
                None => track.add(fix, &mut leg),
                Some(LeftOut::NoTime) => leg.go((fix.latitude, fix.longitude)),
                Some(_) => {}
            }
        }
        track
    }

    fn note(&mut self, fix: &Fix, verdict: Option<LeftOut>) {
        if let (Some(at), true) = (fix.at, verdict != Some(LeftOut::NoPlace)) {
            self.content.push(json!([fix.latitude, fix.longitude, fix.altitude, format_time(at)]));
        }
        if let Some(why) = verdict {
            self.left_out.entry(why).or_default().push(fix.line);
        }
    }

    /// Adds a point that counts, and the way to it.
    fn add(&mut self, fix: &Fix, leg: &mut Leg) {
        let Some(at) = fix.at else { return };
        let here = (fix.latitude, fix.longitude);
        let mut speed_kmh = fix.speed.map(|speed| speed * 3.6);
        match leg.timed {
            Some((place, before)) => {
                let seconds = (at - before).as_seconds_f64();
                leg.go(here);
                // What was not timed lies where nobody comes by in that time.
                let way = if is_way_of(leg.way, seconds) { leg.way } else { distance(place, here) };
                self.metres += way;
                self.seconds += seconds;
                speed_kmh = speed_kmh.or_else(|| (seconds > 0.0).then(|| way / seconds * 3.6));
            }
            None => self.parts += 1,
        }
        *leg = Leg { way: 0.0, last: Some(here), timed: Some((here, at)), ..*leg };
        let altitude = fix.altitude.filter(|altitude| ALTITUDES.contains(altitude));
        self.altitudes_left_out += usize::from(altitude != fix.altitude);
        self.points.push(Timed {
            number: self.content.len(),
            line: fix.line,
            latitude: here.0,
            longitude: here.1,
            altitude,
            speed_kmh: speed_kmh.filter(|speed| SPEEDS.contains(speed)).map(rounded),
            at,
        });
    }

    /// Made of the timed points, so that the same track of the same person is the same session, whatever it is called.
    fn id(&self, owner: Owner) -> Uuid {
        owner.id_of("cardio_sessions", &Value::from(self.content.clone()).to_string())
    }

    /// The kind of activity: the flag's, else the track's.
    fn activity<'a>(&'a self, told: Option<&'a str>) -> &'a str {
        told.or(self.kind.as_deref()).unwrap_or(USUAL_KIND)
    }

    fn session(&self, id: Uuid, activity: Option<&str>) -> Row {
        let activity = self.activity(activity);
        let times = || self.points.iter().map(|point| point.at);
        let title = self.title.clone().unwrap_or_else(|| capitalised(activity));
        let row = json!({
            "id": id,
            "activity_type": activity,
            "activity_title": title,
            "format_title": FORMAT_TITLE,
            "start_time": times().min().map(format_time),
            "end_time": times().max().map(format_time),
            "duration_seconds": self.seconds.round() as i64,
            "distance_km": rounded(self.metres / 1000.0),
            "average_speed_kmh": self.average_kmh().map(rounded),
        });
        fields(row)
    }

    fn rows(&self, session: Uuid) -> impl Iterator<Item = Incoming> {
        self.points.iter().map(move |point| {
            let row = json!({
                "id": Uuid::new_v5(&session, format!("point {}", point.number).as_bytes()),
                "cardio_session_id": session,
                "latitude": point.latitude,
                "longitude": point.longitude,
                "altitude": point.altitude,
                "speed_kmh": point.speed_kmh,
                "recorded_at": format_time(point.at),
            });
            Incoming { place: FilePlace::Line(point.line), size: 0, row: Ok(("location_points".into(), fields(row))) }
        })
    }

    /// The average speed in km/h.
    pub(super) fn average_kmh(&self) -> Option<f64> {
        (self.seconds > 0.0).then(|| self.metres / self.seconds * 3.6).filter(|speed| SPEEDS.contains(speed))
    }
}

/// The way since the last point that counts.
#[derive(Debug, Clone, Copy, Default)]
struct Leg {
    segment: Option<usize>,
    /// In metres.
    way: f64,
    last: Option<(f64, f64)>,
    timed: Option<((f64, f64), DateTime<Utc>)>,
}

impl Leg {
    fn go(&mut self, here: (f64, f64)) {
        self.way += self.last.map_or(0.0, |last| distance(last, here));
        self.last = Some(here);
    }
}

/// A `<type>` as an `activity_type`: `Trail Running` is `trail_running`. A number that only its program knows names nothing.
fn kind(text: &str) -> Option<String> {
    let letters = text.chars().map(|c| if c.is_alphanumeric() { c } else { '_' });
    let word: String = letters.flat_map(char::to_lowercase).take(LONGEST_KIND).collect();
    word.contains(char::is_alphabetic).then(|| word.trim_matches('_').to_owned())
}

/// Three digits behind the point: a metre, or a metre an hour. Beyond that machines differ.
fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

fn fields(row: Value) -> Row {
    match row {
        Value::Object(row) => row,
        _ => Row::new(),
    }
}
