// The day of somebody made up: whole, in the past, and the same rows whenever it is asked for.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { idOf, plausibleDay } from '../demo/day.js';
import { byMeal, dayOf } from '../demo/totals.js';

const PERSON = '3f0c1d8e-52b7-4f0a-9c3d-1b2a3c4d5e6f';
const FOODS = ['Rolled oats, dry', 'Banana, raw', 'Wholemeal bread', 'Tomato, raw', 'Egg, whole, hard-boiled', 'Salmon, raw'];
const CATALOGUE = {
  foods: FOODS.map((name_en, at) => ({ id: `food-${at}`, name_en })),
  workout_templates: [{ id: 'rest', name_en: 'Rest Day' }, { id: 'push', name_en: 'Push Day' }],
  workout_template_exercises: [0, 1].map((order_index) => ({ template_id: 'push', exercise_id: `e${order_index}`, order_index, suggested_sets: 3, suggested_reps_min: 8 })),
  hiit_workouts: [{ id: 'tabata' }],
};
const day = (now) => plausibleDay(PERSON, CATALOGUE, now, { run: 'Park loop' });
const of = (rows, table) => rows.filter((one) => one.table === table).map(({ row }) => row);

test('an id is a UUID of that person and that thing alone', () => {
  assert.match(idOf(PERSON, 'run'), /^[0-9a-f]{8}-52b7-4f0a-9c3d-1b2a3c4d5e6f$/);
  assert.equal(idOf(PERSON, 'run'), idOf(PERSON.toUpperCase(), 'run'));
  assert.notEqual(idOf(PERSON, 'run'), idOf(PERSON, 'workout'));
  const ids = day(Date.now()).map(({ row }) => row.id);
  assert.equal(new Set(ids).size, ids.length);
});

test('a day asked for twice is the same rows', () => {
  const now = Date.now();
  assert.deepEqual(day(now), day(now));
  assert.deepEqual(day(now).map(({ row }) => row.id), day(now + 1000).map(({ row }) => row.id));
});

test('at every hour there is something eaten today, and nothing lies ahead', () => {
  for (const hour of [0, 6, 12, 18, 23]) {
    const now = new Date(2026, 4, 2, hour, 10).getTime();
    const rows = day(now);
    const entries = of(rows, 'food_entries');
    assert.deepEqual(byMeal(entries, dayOf(now)).map(([meal]) => meal), ['breakfast', 'lunch']);
    for (const { row } of rows) for (const [field, value] of Object.entries(row)) if (/_at$|_time$/.test(field)) assert.ok(Date.parse(value) <= now, `${field} at ${hour}`);
  }
});

test('the workout is under way, parents stand before their children, and what the catalogue has not is left out', () => {
  const rows = day(Date.now());
  const [session] = of(rows, 'workout_sessions');
  assert.equal(session.is_completed, false);
  const sets = of(rows, 'exercise_sets');
  assert.deepEqual([sets.length, sets.filter(({ is_completed }) => is_completed).length], [6, 2]);
  const order = rows.map(({ table }) => table);
  for (const [parent, child] of [['workout_sessions', 'workout_exercises'], ['workout_exercises', 'exercise_sets'], ['cardio_sessions', 'location_points']]) {
    assert.ok(order.lastIndexOf(parent) < order.indexOf(child), child);
  }
  const bare = plausibleDay(PERSON, { foods: [], workout_templates: [], workout_template_exercises: [], hiit_workouts: [] }, Date.now(), { run: 'Run' });
  assert.deepEqual([...new Set(bare.map(({ table }) => table))].sort(), ['cardio_sessions', 'hiit_sessions', 'location_points']);
});
