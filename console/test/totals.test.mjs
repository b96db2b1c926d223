// The diary's sums, days and meals.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as sums from '../demo/totals.js';

const OATS = { id: 'oats', calories: 372, proteins: 13.5, carbs: 58.7, fats: 7 };
const foods = new Map([[OATS.id, OATS]]);

test('a food counts by its weight, and a food that is unknown by what the entry says', () => {
  assert.deepEqual(sums.nutrition({ quantity: 50, calories: 1 }, OATS), { calories: 186, proteins: 6.75, carbs: 29.35, fats: 3.5 });
  assert.deepEqual(sums.nutrition({ quantity: 50, calories: 90 }, undefined), { calories: 90, proteins: 0, carbs: 0, fats: 0 });
  const entries = [{ food_id: 'oats', quantity: 100 }, { food_id: 'oats', quantity: 100 }, { food_id: 'gone', quantity: 9, fats: 1 }];
  assert.deepEqual(sums.totals(entries, foods), { calories: 744, proteins: 27, carbs: 117.4, fats: 15 });
});

test('the parts of the energy make a whole, or are nothing', () => {
  assert.deepEqual(sums.shares({ proteins: 9, carbs: 0, fats: 4 }), { proteins: 0.5, carbs: 0, fats: 0.5 });
  assert.deepEqual(sums.shares({ proteins: 0, carbs: 0, fats: 0 }), { proteins: 0, carbs: 0, fats: 0 });
});

test('days follow each other, over months and the change of clocks', () => {
  assert.equal(sums.dayAfter('2025-02-28', 1), '2025-03-01');
  assert.equal(sums.dayAfter('2025-01-01', -1), '2024-12-31');
  for (let day = '2025-01-01', count = 0; count < 365; count++) {
    assert.equal(sums.dayAfter(sums.dayAfter(day, 1), -1), day);
    assert.equal(sums.dayOf(sums.noonOf(day)), day);
    day = sums.dayAfter(day, 1);
  }
});

test('an entry is logged now, or at noon of another day', () => {
  const now = Date.parse('2025-05-01T08:30:00Z');
  assert.equal(Number(sums.momentOn(sums.dayOf(now), now)), now);
  assert.equal(sums.momentOn('2025-04-01', now).getHours(), 12);
});

test('a day is shown by meal, in order of time', () => {
  const entry = (id, consumed_at, meal_type) => ({ id, consumed_at: new Date(consumed_at).toISOString(), meal_type });
  const entries = [entry('late', '2025-05-01T13:00', 'lunch'), entry('other', '2025-05-02T12:00', 'lunch'), entry('odd', '2025-05-01T10:00', null),
    entry('early', '2025-05-01T12:00', 'lunch'), entry('first', '2025-05-01T07:00', 'breakfast')];
  const ids = sums.byMeal(entries, '2025-05-01').map(([meal, some]) => [meal, some.map(({ id }) => id)]);
  assert.deepEqual(ids, [['breakfast', ['first']], ['lunch', ['early', 'late']], ['other', ['odd']]]);
});

test('the meal that is offered fits the hour', () => {
  const at = (hour) => sums.mealAt(new Date(2025, 4, 1, hour));
  assert.deepEqual([4, 5, 10, 11, 14, 15, 17, 18, 21, 22].map(at),
    ['snack', 'breakfast', 'breakfast', 'lunch', 'lunch', 'snack', 'snack', 'dinner', 'dinner', 'snack']);
});
