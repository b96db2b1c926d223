// A workout's exercises and sets: their order, what comes next, how much was lifted. No DOM.

const FIRST_KG = 20;

/** Rows by their `field`, and by id where that is equal or missing. */
export function ordered(rows, field) {
  const at = (row) => row[field] ?? Infinity;
  return [...rows].sort((one, other) => (at(one) === at(other) ? (one.id < other.id ? -1 : 1) : at(one) < at(other) ? -1 : 1));
}

/** What goes behind all others. */
export const nextPlace = (rows, field) => rows.reduce((most, row) => Math.max(most, row[field] ?? -1), -1) + 1;

/** Moves a row by some places: the changes that it takes, `[{id, [field]}]`, and only those. */
export function moved(rows, field, id, by) {
  const now = ordered(rows, field);
  const from = now.findIndex((row) => row.id === id);
  const to = Math.min(Math.max(from + by, 0), now.length - 1);
  if (from < 0 || from === to) return [];
  now.splice(to, 0, ...now.splice(from, 1));
  return now.flatMap((row, at) => (row[field] === at ? [] : [{ id: row.id, [field]: at }]));
}

/** The values of a further set: those of the last one, else `weight` kg. */
export function furtherSet(sets, weight = 0) {
  const last = ordered(sets, 'set_order').at(-1);
  return { reps: last?.reps ?? 10, weight: last?.weight ?? weight, is_completed: false, set_order: nextPlace(sets, 'set_order') };
}

/** kg to begin with: none for an exercise without equipment. */
export const firstWeight = (exercise) => (exercise && exercise.equipment !== 'none' ? FIRST_KG : 0);

/** `{done, all, volume}`: sets that are done, sets, and kg lifted in those that are done. */
export function progress(sets) {
  const done = sets.filter(({ is_completed }) => is_completed);
  return { done: done.length, all: sets.length, volume: done.reduce((sum, { reps, weight }) => sum + reps * weight, 0) };
}

/** The rows that a new session takes from a template's exercises, with ids from `make` and kg from `weightOf(exerciseId)`. */
export function fromTemplate(exercises, sessionId, make, weightOf) {
  const planned = ordered(exercises, 'order_index');
  const rows = planned.map(({ exercise_id }, at) => ({ id: make(), session_id: sessionId, exercise_id, order_index: at }));
  const sets = rows.flatMap(({ id, exercise_id }, place) => {
    const { suggested_sets, suggested_reps_min } = planned[place];
    const set = { workout_exercise_id: id, reps: suggested_reps_min ?? 10, weight: weightOf(exercise_id), is_completed: false };
    return Array.from({ length: suggested_sets ?? 3 }, (_, at) => ({ ...set, id: make(), set_order: at }));
  });
  return { exercises: rows, sets };
}
