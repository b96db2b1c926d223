//! The summary of a GPX import for the person who runs it: the sessions that were made, and what was left out.

use super::super::gpx;
use super::Track;

/// The number of lines of a file that are named before the rest is only counted.
const LINES_NAMED: usize = 5;

/// The summary of one track, and below it everything that is left out of it.
pub(super) fn of_track(track: &Track) -> String {
    let name = track.title.as_ref().map_or(String::new(), |title| format!(" {title:?}"));
    let mut told = if track.points.is_empty() {
        format!("track {}{name} is left out, with all of its {} points", track.number, track.total)
    } else {
        format!("track {}{name}, {}", track.number, measures(track))
    };
    for (why, lines) in &track.left_out {
        told += &format!("\n  {} of {} points left out: {why} ({})", lines.len(), track.total, named(lines));
    }
    if track.altitudes_left_out > 0 {
        told += &format!("\n  {} altitudes left out: no place on earth has them", track.altitudes_left_out);
    }
    if track.parts > 1 {
        told +=
            &format!("\n  recorded in {} parts; the gaps between them count neither as way nor as time", track.parts);
    }
    told
}

/// The other things that the file holds.
pub(super) fn beside(file: &gpx::File) -> Vec<String> {
    let mut told = Vec::new();
    if !file.others.is_empty() {
        let names: Vec<&str> = file.others.iter().map(String::as_str).collect();
        told.push(format!("left out, since there is no column for it: {}", names.join(", ")));
    }
    if file.routes + file.waypoints > 0 {
        told.push(format!(
            "left out, since they are no track: {} routes and {} waypoints",
            file.routes, file.waypoints
        ));
    }
    told
}

fn measures(track: &Track) -> String {
    let seconds = track.seconds.round() as i64;
    let clock = format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    let speed = track.average_kmh().map_or(String::new(), |speed| format!(", {speed:.1} km/h on average"));
    format!("{:.2} km in {clock}{speed}, {} points", track.metres / 1000.0, track.points.len())
}

fn named(lines: &[u64]) -> String {
    let mut lines = lines.to_vec();
    lines.dedup();
    let shown: Vec<String> = lines.iter().take(LINES_NAMED).map(u64::to_string).collect();
    let more = if lines.len() > LINES_NAMED { ", …" } else { "" };
    format!("line{} {}{more}", if lines.len() > 1 { "s" } else { "" }, shown.join(", "))
}
