// A track's geometry: distance, pace and climb from points on the globe, and their places on a drawing. No DOM.

const EARTH_M = 6_371_000;
/** A climb smaller than this is taken for the noise of the sensor. */
const CLIMB_M = 2;
/** The pace of now is taken over the last points of so many seconds. */
const RECENT_S = 60;
const radians = (degrees) => (degrees * Math.PI) / 180;

/** Metres between two points, over the sphere. */
export function metres(one, other) {
  const [from, to] = [radians(one.latitude), radians(other.latitude)];
  const half = Math.sin((to - from) / 2) ** 2 + Math.cos(from) * Math.cos(to) * Math.sin(radians(other.longitude - one.longitude) / 2) ** 2;
  return 2 * EARTH_M * Math.asin(Math.min(1, Math.sqrt(half)));
}

/** Points in the order of their time, with the metres run up to each in `run`. */
export function travelled(points) {
  const inOrder = [...points].sort((one, other) => (one.recorded_at < other.recorded_at ? -1 : one.recorded_at > other.recorded_at ? 1 : 0));
  let run = 0;
  return inOrder.map((point, at) => ({ ...point, run: (run += at ? metres(inOrder[at - 1], point) : 0) }));
}

/** Of travelled points: `{metres, seconds, pace, recent, climb}`. A pace is in seconds per km, null where nobody moved. */
export function summary(track) {
  const [first, last] = [track[0], track.at(-1)];
  if (!first) return { metres: 0, seconds: 0, pace: null, recent: null, climb: 0 };
  const seconds = secondsBetween(first, last);
  const from = track.find((point) => secondsBetween(point, last) <= RECENT_S);
  return {
    metres: last.run, seconds, pace: paceOf(last.run, seconds),
    recent: paceOf(last.run - from.run, secondsBetween(from, last)), climb: climbOf(track),
  };
}

const secondsBetween = (one, other) => (Date.parse(other.recorded_at) - Date.parse(one.recorded_at)) / 1000;
const paceOf = (run, seconds) => (run > 0 && seconds > 0 ? (seconds / run) * 1000 : null);

/** Metres climbed, without the small ups and downs. */
function climbOf(track) {
  let low = track[0].altitude ?? 0;
  let climb = 0;
  for (const { altitude } of track) {
    if (altitude === null || altitude === undefined) continue;
    if (altitude - low >= CLIMB_M) {
      climb += altitude - low;
      low = altitude;
    } else low = Math.min(low, altitude);
  }
  return climb;
}

/** Where points lie in a box, as a function: north up, the shape of `points` kept and they in the middle. */
export function projection(points, { width, height, margin }) {
  if (points.length === 0) return () => [width / 2, height / 2];
  const stretch = Math.cos(radians(points[0].latitude));
  const flat = ({ latitude, longitude }) => [longitude * stretch, -latitude];
  const [left, right] = bounds(points.map((point) => flat(point)[0]));
  const [top, bottom] = bounds(points.map((point) => flat(point)[1]));
  const scale = Math.min((width - 2 * margin) / (right - left || 1e-9), (height - 2 * margin) / (bottom - top || 1e-9), 1e7);
  const [x0, y0] = [(width - (right - left) * scale) / 2, (height - (bottom - top) * scale) / 2];
  return (point) => {
    const [x, y] = flat(point);
    return [x0 + (x - left) * scale, y0 + (y - top) * scale];
  };
}

/** Where a travelled track has run each further `every` metres: points between its own, each with the next of those in `towards`. */
export function marks(track, every) {
  return track.slice(1).flatMap((point, at) => {
    const before = track[at];
    const whole = [];
    for (let run = (Math.floor(before.run / every) + 1) * every; run <= point.run; run += every) {
      const part = (run - before.run) / (point.run - before.run);
      const between = (field) => before[field] + (point[field] - before[field]) * part;
      whole.push({ latitude: between('latitude'), longitude: between('longitude'), run, from: before, towards: point });
    }
    return whole;
  });
}

/** Places `[x, y]` of the altitude over the distance in a box. */
export function profile(track, { width, height, margin }) {
  const known = track.filter(({ altitude }) => altitude !== null && altitude !== undefined);
  if (known.length < 2) return [];
  const [low, high] = bounds(known.map(({ altitude }) => altitude));
  const whole = known.at(-1).run || 1;
  // A flat course must not look like the Alps.
  const range = Math.max(high - low, 20);
  return known.map(({ run, altitude }) => [(run / whole) * width, height - margin - ((altitude - low) / range) * (height - 2 * margin)]);
}

const bounds = (numbers) => numbers.reduce(([low, high], number) => [Math.min(low, number), Math.max(high, number)], [Infinity, -Infinity]);
