// The scenes of the page, and the tables that each shows.

const TABLES = {
  diary: ['food_entries', 'foods'],
  workout: ['workout_sessions', 'workout_exercises', 'exercise_sets'],
  timer: ['hiit_sessions'],
  run: ['cardio_sessions', 'location_points'],
};

/** Their names, as in the address. */
export const SCENES = Object.keys(TABLES);

/** Whether a scene shows rows of a table. */
export const shows = (scene, table) => Boolean(TABLES[scene]?.includes(table));
