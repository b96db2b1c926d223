//! Sorts out the points of a track that can't have happened: no receiver knows its place all the time, and what it
//! makes up in between must not become somebody's way.
//!
//! Of the points the longest row is kept in which each can follow on the one before. So it does not matter which of two that
//! contradict each other was wrong, a first point as little as one in between.

use std::collections::VecDeque;
use std::fmt;

use chrono::{DateTime, Utc};

use super::gpx::Fix;
use super::sphere::distance;

/// Faster than this, in km/h, no vehicle is: the receiver jumped.
const FASTEST_KMH: f64 = 1200.0;
/// The error of a time that was rounded to a second.
const ROUNDING_SECONDS: f64 = 1.0;
/// The longest time, in days, that may lie between two points of one track: a clock that had not been set yet is years off.
const LONGEST_PAUSE_DAYS: f64 = 30.0;
/// The number of points that are searched backwards for the one that a point can follow on, and as many of those after
/// which the track broke off. Bounds the work on a track that is nothing but noise.
const LOOKED_BACK: usize = 64;

/// The reason for leaving a point out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum LeftOut {
    /// Its time is missing or can't be read.
    NoTime,
    /// Its place is missing, or on no map.
    NoPlace,
    /// Latitude and longitude are zero to the last digit, as receivers write that know nothing.
    NullIsland,
    /// No vehicle gets there in that time.
    Jump,
    /// Its time is before the one that was recorded before it, or far from all others.
    Time,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoTime => "no time that can be read",
            Self::NoPlace => "no place on the map, as pauses are marked by some",
            Self::NullIsland => "latitude and longitude 0, as without a fix",
            Self::Jump => "a jump that no vehicle makes",
            Self::Time => "a time out of order or years off",
        })
    }
}

/// A point and its time, as far as it has one.
struct Candidate {
    index: usize,
    segment: usize,
    place: (f64, f64),
    at: DateTime<Utc>,
}

/// The longest row that ends with a candidate.
#[derive(Clone, Copy)]
struct Row {
    length: usize,
    before: Option<usize>,
}

/// Decides for each point: the reason for leaving it out, or none. `points` are those of one track with the number of
/// their segment.
pub(super) fn sift(points: &[(usize, &Fix)]) -> Vec<Option<LeftOut>> {
    let mut verdicts: Vec<Option<LeftOut>> = points.iter().map(|(_, fix)| at_a_glance(fix)).collect();
    let candidates: Vec<Candidate> = points
        .iter()
        .enumerate()
        .filter(|(index, _)| verdicts[*index].is_none())
        .filter_map(|(index, (segment, fix))| {
            Some(Candidate { index, segment: *segment, place: (fix.latitude, fix.longitude), at: fix.at? })
        })
        .collect();
    let kept = longest_row(&candidates);
    let mut reference = kept.iter().position(|kept| *kept);
    for (index, candidate) in candidates.iter().enumerate() {
        if kept[index] {
            reference = Some(index);
        } else if let Some(reference) = reference {
            verdicts[candidate.index] = Some(reason(&candidates[reference], candidate));
        }
    }
    verdicts
}

fn at_a_glance(fix: &Fix) -> Option<LeftOut> {
    if !(-90.0..=90.0).contains(&fix.latitude) || !(-180.0..=180.0).contains(&fix.longitude) {
        Some(LeftOut::NoPlace)
    } else if fix.latitude == 0.0 && fix.longitude == 0.0 {
        Some(LeftOut::NullIsland)
    } else if fix.at.is_none() {
        Some(LeftOut::NoTime)
    } else {
        None
    }
}

/// For each candidate whether it is in the longest row.
fn longest_row(candidates: &[Candidate]) -> Vec<bool> {
    let mut rows: Vec<Row> = Vec::with_capacity(candidates.len());
    // Where the track broke off, and the candidate that ends the longest row of all.
    let mut ends: VecDeque<usize> = VecDeque::new();
    let mut best: Option<usize> = None;
    for (index, candidate) in candidates.iter().enumerate() {
        let follows = |earlier: &usize| can_follow(&candidates[*earlier], candidate);
        let previous = index.checked_sub(1);
        let goes_on = previous.as_ref().is_some_and(follows);
        let before = if goes_on && previous == best {
            previous
        } else {
            if !goes_on && let Some(previous) = previous {
                ends.push_back(previous);
                if ends.len() > LOOKED_BACK {
                    ends.pop_front();
                }
            }
            let earlier = ends.iter().copied().chain(index.saturating_sub(LOOKED_BACK)..index).filter(follows);
            // Of rows as long, the one that leaves out least in between.
            earlier.max_by_key(|earlier| (rows[*earlier].length, *earlier))
        };
        rows.push(Row { length: 1 + before.map_or(0, |before| rows[before].length), before });
        // Of rows as long, the first.
        if best.is_none_or(|best| rows[index].length > rows[best].length) {
            best = Some(index);
        }
    }
    let mut kept = vec![false; candidates.len()];
    while let Some(index) = best {
        kept[index] = true;
        best = rows[index].before;
    }
    kept
}

fn can_follow(from: &Candidate, to: &Candidate) -> bool {
    is_in_time(from, to) && is_in_reach(from.place, to.place, (to.at - from.at).as_seconds_f64())
}

fn is_in_time(from: &Candidate, to: &Candidate) -> bool {
    let days = (to.at - from.at).as_seconds_f64() / 86_400.0;
    // Segments stand in a file in any order; within one, time goes on.
    (from.segment != to.segment || days >= 0.0) && days.abs() <= LONGEST_PAUSE_DAYS
}

/// True if a vehicle gets from one place to the other in that time.
pub(super) fn is_in_reach(from: (f64, f64), to: (f64, f64), seconds: f64) -> bool {
    is_way_of(distance(from, to), seconds)
}

/// True if a vehicle can go so many metres in so many seconds.
pub(super) fn is_way_of(metres: f64, seconds: f64) -> bool {
    metres <= FASTEST_KMH / 3.6 * (seconds.abs() + ROUNDING_SECONDS)
}

fn reason(kept: &Candidate, left_out: &Candidate) -> LeftOut {
    let is_later = left_out.index > kept.index;
    let (from, to) = if is_later { (kept, left_out) } else { (left_out, kept) };
    if is_in_time(from, to) { LeftOut::Jump } else { LeftOut::Time }
}
