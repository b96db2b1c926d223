//! A GPX file as it stands: its tracks with their segments and points, and what else is in it. Nothing is judged here.
//!
//! Programs write GPX as they please: without a version, in either namespace, with elements of their own, with places that
//! are on no map. So only the names that are needed are looked for, and everything else is noted by its name.

use std::collections::BTreeSet;
use std::io::Read;

use chrono::{DateTime, NaiveDateTime, Utc};
use xml::attribute::OwnedAttribute;
use xml::common::Position;
use xml::reader::{ErrorKind, EventReader, ParserConfig, XmlEvent};

use crate::private::why;

/// The number of names of unknown elements that are noted; more tell nobody anything.
const MOST_NAMES: usize = 32;
/// The most characters of an element's name that are shown.
const LONGEST_NAME: usize = 40;

/// The contents of a file.
#[derive(Debug, Default)]
pub(super) struct File {
    /// Its tracks.
    pub tracks: Vec<Recording>,
    /// Routes: ways that were planned.
    pub routes: usize,
    /// Places that were marked.
    pub waypoints: usize,
    /// The names of what its points say besides place, time, altitude and speed.
    pub others: BTreeSet<String>,
}

/// A track.
#[derive(Debug, Default)]
pub(super) struct Recording {
    /// Its name.
    pub name: Option<String>,
    /// Its `<type>`.
    pub kind: Option<String>,
    /// Its segments: between them the recorder was off.
    pub segments: Vec<Vec<Fix>>,
}

/// A point as the file has it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fix {
    /// The line that it begins on.
    pub line: u64,
    /// Degrees north; not a number when the file has none.
    pub latitude: f64,
    /// Degrees east; likewise.
    pub longitude: f64,
    /// Metres above the sea.
    pub altitude: Option<f64>,
    /// Metres a second.
    pub speed: Option<f64>,
    /// The time.
    pub at: Option<DateTime<Utc>>,
}

/// Reads a file.
///
/// # Errors
/// When it is no XML, or XML of something else; says on which line.
pub(super) fn read(from: impl Read) -> Result<File, String> {
    let config = ParserConfig::new().whitespace_to_characters(true).cdata_to_characters(true);
    let mut events = EventReader::new_with_config(from, config);
    let mut reader = Reader::default();
    loop {
        let event = events.next();
        let line = events.position().row() + 1;
        let character = events.position().column() + 1;
        let event = event.map_err(|error| format!("line {line}: {}", reader.broken(error.kind(), character)))?;
        match event {
            XmlEvent::StartElement { name, attributes, .. } => {
                reader.begin(name.local_name, &attributes, line).map_err(|what| format!("line {line}: {what}"))?;
            }
            XmlEvent::Characters(text) => reader.text(&text),
            XmlEvent::EndElement { .. } => reader.end(),
            XmlEvent::EndDocument => return Ok(reader.file),
            _ => {}
        }
    }
}

/// The kind of an element, by its name and the one that it is in.
#[derive(Debug)]
enum Element {
    Gpx,
    Track,
    Segment,
    Point,
    Text(Field),
    /// An element of a point that no column takes.
    Unkept(String),
    Other,
}

#[derive(Debug, Clone, Copy)]
enum Field {
    Name,
    Kind,
    Altitude,
    Time,
    Speed,
}

#[derive(Default)]
struct Reader {
    file: File,
    open: Vec<Element>,
    /// The names of what is open.
    names: Vec<String>,
    point: Option<Fix>,
    text: String,
}

impl Reader {
    /// Says why the file can't be read on, and what to do.
    fn broken(&self, kind: &ErrorKind, character: u64) -> String {
        let inside = self.names.last().map_or_else(String::new, |name| format!(" in <{name}>"));
        let has_ended = match kind {
            ErrorKind::UnexpectedEof => true,
            ErrorKind::Syntax(theirs) => theirs.starts_with("Unexpected end of stream"),
            _ => false,
        };
        match kind {
            _ if has_ended && self.names.is_empty() => {
                "the file ends before it says anything; export the track as GPX".into()
            }
            _ if has_ended => {
                format!("the file ends{inside}: it was cut off; export it again, or copy it once more")
            }
            ErrorKind::Utf8(_) => {
                format!("bytes{inside} are no text in UTF-8; export the file again, or save it as UTF-8")
            }
            ErrorKind::Io(error) => format!("can't be read on: {}", why(error)),
            _ => {
                format!("is no XML from character {character} on{inside}; export the file again, or mend that line")
            }
        }
    }

    fn begin(&mut self, name: String, attributes: &[OwnedAttribute], line: u64) -> Result<(), String> {
        let shown: String = name.chars().take(LONGEST_NAME).collect();
        let element = match (self.open.last(), name.as_str()) {
            (None, "gpx") => Element::Gpx,
            (None, other) => {
                return Err(format!("is no GPX: the file is a <{other}>; export the track as GPX"));
            }
            (Some(Element::Gpx), "trk") => Element::Track,
            (Some(Element::Track), "trkseg") => Element::Segment,
            (Some(Element::Segment), "trkpt") => Element::Point,
            (Some(Element::Track), "name") => Element::Text(Field::Name),
            (Some(Element::Track), "type") => Element::Text(Field::Kind),
            (Some(Element::Point), "ele") => Element::Text(Field::Altitude),
            (Some(Element::Point), "time") => Element::Text(Field::Time),
            (Some(Element::Point), "speed") => Element::Text(Field::Speed),
            (Some(Element::Point | Element::Unkept(_)), _) => Element::Unkept(name),
            (Some(Element::Gpx), "rte" | "wpt") => {
                *(if name == "rte" { &mut self.file.routes } else { &mut self.file.waypoints }) += 1;
                Element::Other
            }
            _ => Element::Other,
        };
        match element {
            Element::Track => self.file.tracks.push(Recording::default()),
            Element::Segment => self.track(|track| track.segments.push(Vec::new())),
            Element::Point => self.point = Some(Fix::at(attributes, line)),
            _ => {}
        }
        self.text.clear();
        self.names.push(shown);
        self.open.push(element);
        Ok(())
    }

    fn text(&mut self, text: &str) {
        match self.open.last() {
            Some(Element::Text(_)) => self.text.push_str(text),
            Some(Element::Unkept(name)) if !text.trim().is_empty() && self.file.others.len() < MOST_NAMES => {
                self.file.others.insert(name.clone());
            }
            _ => {}
        }
    }

    fn end(&mut self) {
        self.names.pop();
        match self.open.pop() {
            Some(Element::Text(field)) => self.field(field),
            Some(Element::Point) => {
                let point = self.point.take();
                if let Some(segment) = self.file.tracks.last_mut().and_then(|track| track.segments.last_mut()) {
                    segment.extend(point);
                }
            }
            _ => {}
        }
    }

    /// A field that can't be read is as good as none.
    fn field(&mut self, field: Field) {
        let text = std::mem::take(&mut self.text);
        let text = text.trim();
        let number = || text.parse::<f64>().ok().filter(|number| number.is_finite());
        match (field, &mut self.point) {
            (Field::Altitude, Some(point)) => point.altitude = number(),
            (Field::Speed, Some(point)) => point.speed = number(),
            (Field::Time, Some(point)) => point.at = time(text),
            (Field::Name, _) => self.track(|track| track.name = filled(text)),
            (Field::Kind, _) => self.track(|track| track.kind = filled(text)),
            _ => {}
        }
    }

    fn track(&mut self, change: impl FnOnce(&mut Recording)) {
        if let Some(track) = self.file.tracks.last_mut() {
            change(track);
        }
    }
}

impl Fix {
    fn at(attributes: &[OwnedAttribute], line: u64) -> Self {
        let degrees = |name: &str| {
            let found = attributes.iter().find(|attribute| attribute.name.local_name == name);
            found.and_then(|attribute| attribute.value.trim().parse().ok()).unwrap_or(f64::NAN)
        };
        Self { line, latitude: degrees("lat"), longitude: degrees("lon"), altitude: None, speed: None, at: None }
    }
}

/// A time; one that names no zone is in UTC, as GPX wants it.
fn time(text: &str) -> Option<DateTime<Utc>> {
    let zoned = DateTime::parse_from_rfc3339(text).map(|time| time.to_utc());
    zoned.ok().or_else(|| Some(text.parse::<NaiveDateTime>().ok()?.and_utc()))
}

fn filled(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cant_be_read_says_where_and_what_to_do() {
        for (text, words) in [
            (&b""[..], "the file ends before it says anything"),
            (b"<kml></kml>", "line 1: is no GPX: the file is a <kml>; export the track as GPX"),
            (b"<gpx>\n<trk><trkseg>\n<trkpt lat=\"1\"", "the file ends in <trkseg>: it was cut off"),
            (b"<gpx>\n<trk><name>a & b</name></trk></gpx>", "line 2: is no XML from character"),
            (b"<gpx>\n<trk></gpx>", "line 2: is no XML from character"),
            (b"<gpx><trk><name>\xff\xfe</name></trk></gpx>", "in <name> are no text in UTF-8"),
            (b"not at all", "line 1: is no XML from character"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(words), "{}: {error}", String::from_utf8_lossy(text));
            for theirs in ["Unexpected", "Expected", "expected", "token", "invalid"] {
                assert!(!error.contains(theirs), "{error}");
            }
        }
    }
}
