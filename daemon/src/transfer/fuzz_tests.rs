//! Files of every form, see `crate::fuzz`.

use std::io::Cursor;

use ryzed_adapters::Registry;

use super::csv_rows::CsvRows;
use super::gpx;
use super::source::Input;
use super::track::Track;

thread_local! {
    static REGISTRY: Registry = Registry::standard();
}

#[test]
fn fuzz_gpx() {
    crate::fuzz::run("gpx", |input| {
        let Ok(file) = gpx::read(input) else { return };
        for recording in &file.tracks {
            let track = Track::of(recording, 1);
            assert!(track.metres.is_finite() && track.metres >= 0.0, "{} m", track.metres);
            assert!(track.seconds.is_finite() && track.seconds >= 0.0, "{} s", track.seconds);
            assert!(track.points.len() <= track.total, "{} of {} points", track.points.len(), track.total);
        }
    });
}

#[test]
fn fuzz_csv() {
    crate::fuzz::run("csv", |input| {
        for delimiter in [b',', b';', b'\t'] {
            let file = || Input::of("fuzz.csv", Cursor::new(input.to_vec()));
            REGISTRY.with(|registry| {
                for table in ["foods", "food_entries"] {
                    let Ok(rows) = CsvRows::new(file(), registry.get(table).unwrap(), delimiter) else { continue };
                    let ends = input.iter().filter(|byte| **byte == b'\n' || **byte == b'\r').count();
                    assert!(rows.count() <= ends + 1, "more rows than lines");
                }
            });
        }
    });
}
