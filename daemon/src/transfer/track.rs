//! A GPX track: measured, and turned into a `cardio_sessions` row with its `location_points`.
//!
//! What counts is what was timed, because a point of a session needs a time and a speed needs both distance and time:
//! * a point without a time is not imported, but where it lies between two timed points of one segment, the way between
//!   these two goes over it;
//! * between segments and between tracks the recorder was off: neither the distance nor the time there counts.
//!
//! So the duration is the time that was recorded, shorter than from start to end where there were breaks, and the average
//! speed is distance over duration. All tracks of a file are one session; routes and waypoints are no part of it.

use std::f64::consts::PI;
use std::io::{BufReader, Read};

use chrono::{DateTime, Utc};
use gpx::{Gpx, Waypoint};
use ryzed_adapters::{Row, format_time};
use serde_json::{Value, json};
use uuid::Uuid;

use super::load::Loader;
use super::owner::Owner;
use super::source::{Incoming, Input};
use super::{Place, Summary, TransferError, Watch};
use crate::service::Service;

/// The largest GPX file, which is read whole, in bytes. A day at a point a second has about 15 MiB.
const LARGEST_FILE: u64 = 128 << 20;
/// Mean radius of the earth in metres, as the IUGG gives it: (2a + b) / 3 of WGS 84.
const EARTH_RADIUS: f64 = 6_371_008.8;
/// Faster than this, in km/h, a point's speed says that the receiver jumped; it is left out, as the column wouldn't take it.
const FASTEST: f64 = 2000.0;
/// What is shown as the session's goal.
const FORMAT_TITLE: &str = "Imported track";

/// A measured track.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Track {
    /// The name of the first track that has timed points.
    pub title: Option<String>,
    /// Points of all tracks, timed or not.
    pub total: usize,
    /// Segments with timed points.
    pub parts: usize,
    /// The timed points.
    pub points: Vec<Timed>,
    /// Along the segments, in metres.
    pub metres: f64,
    /// Recorded, in seconds.
    pub seconds: f64,
}

/// A point with its time.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Timed {
    latitude: f64,
    longitude: f64,
    altitude: Option<f64>,
    speed_kmh: Option<f64>,
    at: DateTime<Utc>,
}

/// Reads and measures a GPX file.
pub(super) fn read(input: Input) -> Result<Track, TransferError> {
    let path = input.path().to_owned();
    let fault = |what: String| TransferError::Content(format!("{}: {what}", path.display()));
    if input.length().is_some_and(|length| length > LARGEST_FILE) {
        return Err(fault(format!("is larger than {} MiB; split it", LARGEST_FILE >> 20)));
    }
    let gpx = gpx::read(BufReader::new(input.take(LARGEST_FILE)))
        .map_err(|error| fault(format!("can't be read as GPX 1.0 or 1.1: {error}")))?;
    let track = measure(&gpx);
    if track.points.is_empty() {
        return Err(fault(format!(
            "none of its {} track points has a time, and a session can't be made without",
            track.total
        )));
    }
    Ok(track)
}

/// Writes a track as a session with its points; the text tells what was made of it.
pub(super) async fn load(
    service: &Service,
    owner: Owner,
    track: &Track,
    activity: &str,
    watch: &mut dyn Watch,
) -> Result<(Summary, Option<String>), TransferError> {
    let id = track.id(owner);
    let session =
        Incoming { place: Place::Track, size: 0, row: Ok(("cardio_sessions".into(), track.session(id, activity))) };
    let mut summary = Loader::new(service, owner, watch).load(Box::new(std::iter::once(Ok(session)))).await?;
    if summary.refused > 0 {
        return Ok((summary, None));
    }
    let points: Vec<_> = track.rows(id).map(Ok).collect();
    let of_points = Loader::new(service, owner, watch).load(Box::new(points.into_iter())).await?;
    summary.read += of_points.read;
    summary.written += of_points.written;
    summary.unchanged += of_points.unchanged;
    summary.refused += of_points.refused;
    Ok((summary, Some(track.told(id))))
}

/// Measures all tracks of a file together.
pub(super) fn measure(gpx: &Gpx) -> Track {
    let mut track = Track { title: None, total: 0, parts: 0, points: Vec::new(), metres: 0.0, seconds: 0.0 };
    for part in &gpx.tracks {
        let before = track.points.len();
        for segment in &part.segments {
            track.add(&segment.points);
        }
        if track.title.is_none() && track.points.len() > before {
            track.title = part.name.as_deref().map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned);
        }
    }
    track
}

impl Track {
    fn add(&mut self, segment: &[Waypoint]) {
        self.total += segment.len();
        // The way since the last timed point, and the place that it has come to.
        let mut way = 0.0;
        let mut last: Option<(f64, f64)> = None;
        let mut timed: Option<DateTime<Utc>> = None;
        for point in segment {
            let here = (point.point().y(), point.point().x());
            way += last.map_or(0.0, |last| distance(last, here));
            last = Some(here);
            let Some(at) = time(point) else { continue };
            let mut speed_kmh = point.speed.map(|speed| speed * 3.6);
            if let Some(before) = timed {
                let seconds = (at - before).as_seconds_f64();
                self.metres += way;
                self.seconds += seconds.max(0.0);
                speed_kmh = speed_kmh.or_else(|| (seconds > 0.0).then(|| way / seconds * 3.6));
            } else {
                self.parts += 1;
            }
            (way, timed) = (0.0, Some(at));
            self.points.push(Timed {
                latitude: here.0,
                longitude: here.1,
                altitude: point.elevation,
                speed_kmh: speed_kmh.filter(|speed| (0.0..=FASTEST).contains(speed)).map(rounded),
                at,
            });
        }
    }

    /// Made of the timed points, so that the same track of the same person is the same session, whatever it is called.
    fn id(&self, owner: Owner) -> Uuid {
        let content: Vec<Value> =
            self.points.iter().map(|p| json!([p.latitude, p.longitude, p.altitude, format_time(p.at)])).collect();
        owner.id_of("cardio_sessions", &Value::from(content).to_string())
    }

    fn session(&self, id: Uuid, activity: &str) -> Row {
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
        self.points.iter().zip(1..).map(move |(point, number)| {
            let row = json!({
                "id": Uuid::new_v5(&session, format!("point {number}").as_bytes()),
                "cardio_session_id": session,
                "latitude": point.latitude,
                "longitude": point.longitude,
                "altitude": point.altitude,
                "speed_kmh": point.speed_kmh,
                "recorded_at": format_time(point.at),
            });
            Incoming { place: Place::Point(number), size: 0, row: Ok(("location_points".into(), fields(row))) }
        })
    }

    fn average_kmh(&self) -> Option<f64> {
        (self.seconds > 0.0).then(|| self.metres / self.seconds * 3.6)
    }

    /// What was made of the track, for the person.
    fn told(&self, id: Uuid) -> String {
        let (timed, total, parts) = (self.points.len(), self.total, self.parts);
        let seconds = self.seconds.round() as i64;
        let clock = format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
        let speed = self.average_kmh().map_or(String::new(), |speed| format!(", {speed:.1} km/h on average"));
        let mut text = format!("session {id}: {:.2} km in {clock}{speed}", self.metres / 1000.0);
        if timed < total {
            text += &format!(
                "\n{timed} of {total} points have a time and are imported; the {} without one are left out, and distance \
                 and duration are those of the timed points",
                total - timed
            );
        }
        if parts > 1 {
            text += &format!(
                "\nthe track has {parts} recorded parts; the gaps between them count neither as way nor as time"
            );
        }
        text
    }
}

/// Metres between two places, given as latitude and longitude in degrees: the haversine formula on a sphere, which is
/// within 0.5 % of the ellipsoid.
fn distance(from: (f64, f64), to: (f64, f64)) -> f64 {
    let radians = |degrees: f64| degrees * PI / 180.0;
    let (from_latitude, to_latitude) = (radians(from.0), radians(to.0));
    let half_north = (to_latitude - from_latitude) / 2.0;
    let half_east = radians(to.1 - from.1) / 2.0;
    let chord = half_north.sin().powi(2) + from_latitude.cos() * to_latitude.cos() * half_east.sin().powi(2);
    2.0 * EARTH_RADIUS * chord.sqrt().min(1.0).asin()
}

fn time(point: &Waypoint) -> Option<DateTime<Utc>> {
    let text = point.time.as_ref()?.format().ok()?;
    DateTime::parse_from_rfc3339(&text).ok().map(|time| time.to_utc())
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
