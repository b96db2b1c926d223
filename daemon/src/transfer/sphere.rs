//! Ways on the earth.

use std::f64::consts::PI;

/// Mean radius of the earth in metres, as the IUGG gives it: (2a + b) / 3 of WGS 84.
const EARTH_RADIUS: f64 = 6_371_008.8;

/// Metres between two places, given as latitude and longitude in degrees: the haversine formula on a sphere, which is
/// within 0.5 % of the ellipsoid.
pub(super) fn distance(from: (f64, f64), to: (f64, f64)) -> f64 {
    let radians = |degrees: f64| degrees * PI / 180.0;
    let (from_latitude, to_latitude) = (radians(from.0), radians(to.0));
    let half_north = (to_latitude - from_latitude) / 2.0;
    let half_east = radians(to.1 - from.1) / 2.0;
    let chord = half_north.sin().powi(2) + from_latitude.cos() * to_latitude.cos() * half_east.sin().powi(2);
    2.0 * EARTH_RADIUS * chord.sqrt().min(1.0).asin()
}
