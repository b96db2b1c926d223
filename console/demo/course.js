// The course of the simulated run, from a formula: a hilly loop through a park that is not there. No DOM, no clock.

/** How many points a run has. */
export const POINTS = 150;
/** Seconds of the run between two points. */
export const STEP_S = 10;
const CENTRE = { latitude: 47.2, longitude: 6.02 };
const METRES_A_DEGREE = 111_195;
const RADIUS_M = 560;
/** m/s, about 5:20 a kilometre. */
const SPEED = 3.15;
/** The loop is followed in steps this small, so that the speed is right on its bends too. */
const FINE = 8;

/** The point after `step` steps of a run that began at `start` (ms): a row of `location_points` without its ids. */
export function pointAt(step, start) {
  const { angle, speed } = walked(step);
  const [east, north] = loop(angle);
  const latitude = CENTRE.latitude + north / METRES_A_DEGREE;
  return {
    latitude: rounded(latitude, 7),
    longitude: rounded(CENTRE.longitude + east / (METRES_A_DEGREE * Math.cos((CENTRE.latitude * Math.PI) / 180)), 7),
    altitude: rounded(altitudeAt(angle), 1),
    speed_kmh: rounded(speed * 3.6, 2),
    recorded_at: new Date(start + step * STEP_S * 1000).toISOString(),
  };
}

function loop(angle) {
  const reach = RADIUS_M * (1 + 0.22 * Math.sin(3 * angle + 0.6) + 0.08 * Math.cos(5 * angle) + 0.015 * Math.sin(9 * angle));
  return [1.25 * reach * Math.cos(angle), 0.85 * reach * Math.sin(angle)];
}

const altitudeAt = (angle) => 268 + 22 * Math.sin(angle - 0.8) + 9 * Math.sin(3 * angle) + 3 * Math.cos(7 * angle);

/** Where on the loop a runner is, who slows down uphill. */
function walked(step) {
  let angle = 0;
  let speed = SPEED;
  for (let fine = 0; fine < step * FINE; fine++) {
    const [[x, y], [nextX, nextY]] = [loop(angle), loop(angle + 1e-4)];
    const slope = (altitudeAt(angle + 1e-4) - altitudeAt(angle)) / Math.hypot(nextX - x, nextY - y);
    speed = SPEED * (1 - 2.2 * Math.max(-0.08, Math.min(0.08, slope)));
    angle += (1e-4 * speed * (STEP_S / FINE)) / Math.hypot(nextX - x, nextY - y);
  }
  return { angle, speed };
}

const rounded = (number, digits) => Number(number.toFixed(digits));

/** How near a track has to be for the park to be its ground, in degrees. */
const NEAR = 0.03;
/** Streets on each side of the park's middle, and how far they go. */
const STREETS = 9;
const FAR_M = 5000;

/**
 * The ground of the course, drawn under a track that is run there: `{park, pond, paths, streets}`, each of lines of points; null
 * for a track elsewhere, of whose ground nothing is known.
 */
export function groundOf(track) {
  const [first] = track;
  const isNear = first && Math.abs(first.latitude - CENTRE.latitude) < NEAR && Math.abs(first.longitude - CENTRE.longitude) < NEAR;
  return isNear ? GROUND : null;
}

/** A point so many metres east and north of the park's middle. */
const at = (east, north) => ({
  latitude: CENTRE.latitude + north / METRES_A_DEGREE,
  longitude: CENTRE.longitude + east / (METRES_A_DEGREE * Math.cos((CENTRE.latitude * Math.PI) / 180)),
});

function around(place, steps = 72) {
  return Array.from({ length: steps + 1 }, (_, step) => at(...place((step / steps) * 2 * Math.PI)));
}

function makeGround() {
  const streets = [];
  for (let line = -STREETS; line <= STREETS; line++) {
    const [bend, far] = [line * 24, FAR_M];
    streets.push([at(line * 470 - 160 + bend, -far), at(line * 470 + 160 - bend, far)], [at(-far, line * 430 + 120), at(far, line * 430 - 120)]);
  }
  const scaled = (by) => (angle) => loop(angle).map((metres) => metres * by);
  return {
    park: around((angle) => loop(angle).map((metres) => metres * (1.14 + 0.05 * Math.cos(4 * angle)))),
    pond: around((angle) => [170 + 150 * Math.cos(angle) * (1 + 0.2 * Math.sin(2 * angle)), -60 + 85 * Math.sin(angle)]),
    paths: [around(scaled(1)), around(scaled(0.52)), [at(-760, 40), at(-330, 150), at(60, 190), at(430, 330)], [at(-250, -430), at(-140, -150), at(-210, 240), at(-120, 470)]],
    streets,
  };
}

const GROUND = makeGround();
