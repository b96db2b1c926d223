// The geometry of a run, and the simulated course.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { POINTS, STEP_S, pointAt, groundOf } from '../demo/course.js';
import { marks, metres, profile, projection, summary, travelled } from '../demo/track.js';

const point = (latitude, longitude, seconds, altitude = 100) => ({ latitude, longitude, altitude, recorded_at: new Date(seconds * 1000).toISOString() });
const near = (one, other, by) => assert.ok(Math.abs(one - other) <= by, `${one} is not ${other}`);

const placed = (track, box) => track.map(projection(track, box));

test('distances are those of the globe', () => {
  near(metres({ latitude: 0, longitude: 0 }, { latitude: 0, longitude: 1 }), 111_195, 1);
  near(metres({ latitude: 60, longitude: 0 }, { latitude: 60, longitude: 1 }), 55_597, 10);
  near(metres({ latitude: 0, longitude: 179.5 }, { latitude: 0, longitude: -179.5 }), 111_195, 1);
  assert.equal(metres({ latitude: 47, longitude: 6 }, { latitude: 47, longitude: 6 }), 0);
});

test('points count in the order of their time, however they arrive', () => {
  const inOrder = [0, 1, 2, 3, 4].map((step) => point(step / 1000, 0, step * 30));
  const shuffled = [3, 0, 4, 2, 1].map((at) => inOrder[at]);
  assert.deepEqual(travelled(shuffled), travelled(inOrder));
  const { metres: run, seconds, pace, recent } = summary(travelled(shuffled));
  near(run, 444.8, 0.1);
  assert.equal(seconds, 120);
  near(pace, 269.8, 0.1);
  near(recent, pace, 0.1);
});

test('nobody who stands has a pace, and an empty track is nothing', () => {
  assert.deepEqual(summary([]), { metres: 0, seconds: 0, pace: null, recent: null, climb: 0 });
  assert.equal(summary(travelled([point(1, 1, 0), point(1, 1, 60)])).pace, null);
});

test('a climb is counted without the noise of the sensor', () => {
  const track = travelled([100, 101, 100, 101, 110, 105, 112, 113].map((altitude, at) => point(at / 1000, 0, at, altitude)));
  assert.equal(summary(track).climb, 10 + 7);
  assert.equal(summary(travelled([point(0, 0, 0, null), point(0.1, 0, 9, null)])).climb, 0);
});

test('a track fits into its box with its shape, north up', () => {
  const box = { width: 200, height: 100, margin: 10 };
  const track = travelled([point(47, 6, 0), point(47.01, 6, 1), point(47.01, 6.01, 2)]);
  const places = placed(track, box);
  places.forEach(([x, y]) => assert.ok(x >= 10 - 1e-9 && x <= 190 + 1e-9 && y >= 10 - 1e-9 && y <= 90 + 1e-9));
  assert.ok(places[1][1] < places[0][1] && places[2][0] > places[1][0]);
  near((places[2][0] - places[1][0]) / (places[0][1] - places[1][1]), Math.cos((47 * Math.PI) / 180), 1e-9);
  assert.deepEqual(placed([], box), []);
  placed(travelled([point(47, 6, 0)]), box).flat().forEach((place) => assert.ok(Number.isFinite(place)));
});

test('the profile fills its width, and a flat course stays flat', () => {
  const track = travelled([0, 1, 2].map((step) => point(step / 1000, 0, step, 100 + step / 10)));
  const places = profile(track, { width: 100, height: 50, margin: 5 });
  assert.deepEqual([places[0][0], places.at(-1)[0]], [0, 100]);
  near(places[0][1], places.at(-1)[1], 1);
  assert.deepEqual(profile(track.slice(0, 1), { width: 100, height: 50, margin: 5 }), []);
});

test('the course is one that a person could run', () => {
  const track = travelled(Array.from({ length: POINTS }, (_, step) => pointAt(step, 0)));
  const { metres: run, seconds, pace, climb } = summary(track);
  assert.equal(seconds, (POINTS - 1) * STEP_S);
  assert.ok(run > 3500 && run < 6000 && pace > 240 && pace < 420 && climb > 30 && climb < 300, JSON.stringify(summary(track)));
  for (let at = 1; at < track.length; at++) near(track[at].run - track[at - 1].run, 3.15 * STEP_S, 8);
  assert.deepEqual(pointAt(7, 0), pointAt(7, 0));
});

test('a track has a mark at each whole kilometre, between its points', () => {
  const track = travelled([point(47, 6, 0), point(47.012, 6, 300), point(47.02, 6, 600)]);
  const found = marks(track, 1000);
  assert.deepEqual(found.map(({ run }) => run), [1000, 2000]);
  found.forEach(({ run, ...mark }) => assert.ok(Math.abs(metres(track[0], mark) - run) < 1));
  assert.deepEqual(marks(travelled([point(47, 6, 0)]), 1000), []);
});

test('the park is the ground of its own run and of no other', () => {
  const track = travelled([0, 1].map((step) => pointAt(step, 0)));
  const ground = groundOf(track);
  const place = projection(ground.park, { width: 300, height: 200, margin: 5 });
  Array.from({ length: POINTS }, (_, step) => place(pointAt(step, 0))).forEach(([x, y]) => assert.ok(x > 0 && x < 300 && y > 0 && y < 200));
  assert.equal(groundOf(travelled([point(48, 6, 0)])), null);
  assert.equal(groundOf([]), null);
});
