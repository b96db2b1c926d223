// A plausible day of somebody made up: the rows of a diary, a workout that is under way, intervals and a run. No DOM, no clock.

import { POINTS, STEP_S, pointAt } from './course.js';
import { fromTemplate } from './sets.js';
import { dayAfter, dayOf } from './totals.js';

/** What was eaten: food, grams, meal and hour. Found by its English name, which the starter catalogue has. */
const TODAY = [
  ['Rolled oats, dry', 60, 'breakfast', 7.4], ['Banana, raw', 120, 'breakfast', 7.5],
  ['Wholemeal bread', 80, 'lunch', 12.3], ['Tomato, raw', 140, 'lunch', 12.4], ['Egg, whole, hard-boiled', 110, 'lunch', 12.5],
];
const YESTERDAY = [
  ['Wholemeal bread', 90, 'breakfast', 7.6], ['Apple, raw', 150, 'breakfast', 7.7],
  ['Chicken breast, skinless, grilled', 160, 'lunch', 12.6], ['White rice, cooked', 220, 'lunch', 12.6],
  ['Kiwi, raw', 90, 'snack', 16.2],
  ['Salmon, raw', 150, 'dinner', 19.4], ['Potato, boiled', 250, 'dinner', 19.4], ['Olive oil', 10, 'dinner', 19.5],
];
const TEMPLATE = 'Push Day';
const KG = [60, 40, 22.5, 8, 20, 25];
const SETS_DONE = 2;
const MINUTE = 60_000;

/** The id of something of a person: the same whenever it is asked for, and nobody else's. */
export function idOf(person, name) {
  let hash = 0x811c9dc5;
  for (const letter of name) hash = Math.imul(hash ^ letter.codePointAt(0), 0x01000193);
  return ((parseInt(person.slice(0, 8), 16) ^ hash) >>> 0).toString(16).padStart(8, '0') + person.slice(8).toLowerCase();
}

/** The rows of the day at `now` (ms), `[{table, row}]`, parents first. What the catalogue has not is left out. */
export function plausibleDay(person, catalogue, now, words) {
  const made = (table, name, row) => ({ table, row: { id: idOf(person, name), ...row } });
  return [...eaten(made, catalogue, now), ...lifted(person, made, catalogue, now), ...timed(made, catalogue, now), ...run(person, made, now, words)];
}

function eaten(made, { foods }, now) {
  const byName = new Map(foods.map((food) => [food.name_en, food.id]));
  const today = dayOf(now);
  const of = (day, meals) => meals.flatMap(([name, quantity, meal_type, hour], at) => {
    if (!byName.has(name)) return [];
    // Early in the day, what would be eaten later is eaten now: no time lies ahead.
    const consumed_at = new Date(Math.min(momentOf(day, hour), now)).toISOString();
    return [made('food_entries', `${day === today ? 'today' : 'before'}-${at}`, { food_id: byName.get(name), quantity, unit: 'g', meal_type, consumed_at })];
  });
  return [...of(today, TODAY), ...of(dayAfter(today, -1), YESTERDAY)];
}

/** A workout that is under way, its first sets done. */
function lifted(person, made, { workout_templates, workout_template_exercises }, now) {
  const template = workout_templates.find(({ name_en }) => name_en === TEMPLATE) ?? workout_templates[0];
  if (!template) return [];
  const session = idOf(person, 'workout');
  const planned = workout_template_exercises.filter(({ template_id }) => template_id === template.id);
  let at = 0;
  const { exercises, sets } = fromTemplate(planned, session, () => idOf(person, `lift-${at++}`), () => 0);
  const place = new Map(exercises.map(({ id, order_index }) => [id, order_index]));
  const start_time = new Date(now - 12 * MINUTE).toISOString();
  return [
    made('workout_sessions', 'workout', { name: template.name_en, start_time, is_completed: false }),
    ...exercises.map((row) => ({ table: 'workout_exercises', row })),
    ...sets.map((row, nth) => {
      const weight = KG[place.get(row.workout_exercise_id) % KG.length];
      return { table: 'exercise_sets', row: { ...row, weight, is_completed: nth < SETS_DONE } };
    }),
  ];
}

function timed(made, { hiit_workouts }, now) {
  const workout_id = hiit_workouts[0]?.id ?? null;
  return [2, 4].map((days) => {
    const start = momentOf(dayAfter(dayOf(now), -days), 18.2);
    const [start_time, end_time] = [start, start + 12 * MINUTE].map((moment) => new Date(moment).toISOString());
    return made('hiit_sessions', `hiit-${days}`, { workout_id, start_time, end_time, current_phase: 'finished', current_round: 8, is_completed: true });
  });
}

/** Yesterday's run in the park. */
function run(person, made, now, words) {
  const start = momentOf(dayAfter(dayOf(now), -1), 17.5);
  const seconds = (POINTS - 1) * STEP_S;
  const id = idOf(person, 'run');
  const ended = {
    activity_type: 'running', activity_title: words.run, format_title: 'free', start_time: new Date(start).toISOString(),
    end_time: new Date(start + seconds * 1000).toISOString(), duration_seconds: seconds, is_running: false,
  };
  const points = Array.from({ length: POINTS }, (_, step) => made('location_points', `point-${step}`, { ...pointAt(step, start), cardio_session_id: id }));
  return [made('cardio_sessions', 'run', ended), ...points];
}

/** A moment of a local day, by its hour. */
function momentOf(day, hour) {
  const date = new Date(`${day}T12:00:00`);
  date.setHours(Math.floor(hour), Math.round((hour % 1) * 60));
  return date.getTime();
}
