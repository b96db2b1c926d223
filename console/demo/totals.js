// What was eaten: energy and macronutrients of entries, and which day and meal they belong to. No DOM, no clock.

export const MEALS = ['breakfast', 'lunch', 'dinner', 'snack', 'other'];
export const MACROS = ['proteins', 'carbs', 'fats'];
/** kcal in a gram. */
const ENERGY = { proteins: 4, carbs: 4, fats: 9 };
const NONE = { calories: 0, proteins: 0, carbs: 0, fats: 0 };

/** `{calories, proteins, carbs, fats}` of one entry in kcal and g. The food counts; without one, what the entry itself says. */
export function nutrition(entry, food) {
  const of = (field) => (food ? ((food[field] ?? 0) * entry.quantity) / 100 : (entry[field] ?? 0));
  return { calories: of('calories'), proteins: of('proteins'), carbs: of('carbs'), fats: of('fats') };
}

/** The sum over `entries`; `foods` is a map by id. */
export function totals(entries, foods) {
  return entries.reduce((sum, entry) => {
    const one = nutrition(entry, foods.get(entry.food_id));
    return Object.fromEntries(Object.keys(sum).map((field) => [field, sum[field] + one[field]]));
  }, NONE);
}

/** Each macronutrient's part of the energy, from 0 to 1. All 0 where there is none. */
export function shares(sum) {
  const energy = MACROS.map((macro) => sum[macro] * ENERGY[macro]);
  const whole = energy.reduce((one, other) => one + other, 0);
  return Object.fromEntries(MACROS.map((macro, at) => [macro, whole ? energy[at] / whole : 0]));
}

/** The local day of a moment, as `2025-05-01`. */
export function dayOf(moment) {
  const date = new Date(moment);
  const two = (number) => String(number).padStart(2, '0');
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

/** The day `by` days after `day`. */
export function dayAfter(day, by) {
  const date = noonOf(day);
  date.setDate(date.getDate() + by);
  return dayOf(date);
}

/** A moment of that day: now if it is today, else its noon. */
export const momentOn = (day, now) => (dayOf(now) === day ? new Date(now) : noonOf(day));

/** Noon, which exists on every day whatever the clocks do. */
export const noonOf = (day) => new Date(`${day}T12:00:00`);

/** The entries of a day by meal, each in order of time: `[[meal, entries], …]` without empty meals. */
export function byMeal(entries, day) {
  const ofDay = entries.filter(({ consumed_at }) => dayOf(consumed_at) === day)
    .sort((one, other) => (one.consumed_at < other.consumed_at ? -1 : one.consumed_at > other.consumed_at ? 1 : one.id < other.id ? -1 : 1));
  const meal = ({ meal_type }) => (MEALS.includes(meal_type) ? meal_type : 'other');
  return MEALS.map((name) => [name, ofDay.filter((entry) => meal(entry) === name)]).filter(([, some]) => some.length > 0);
}

/** The meal that people have at this time of day. */
export function mealAt(moment) {
  const hour = new Date(moment).getHours();
  if (hour >= 5 && hour < 11) return 'breakfast';
  if (hour >= 11 && hour < 15) return 'lunch';
  return hour >= 18 && hour < 22 ? 'dinner' : 'snack';
}
