// Somebody to try the page with: a throw-away person, where the server makes some, and a plausible day for them.

import { plausibleDay } from './day.js';
import { t } from './words.js';

const PLACE = '/demo/people';
const CATALOGUE = ['foods', 'workout_templates', 'workout_template_exercises', 'hiit_workouts'];
/** How long the catalogue is waited for. */
const PATIENCE_MS = 20_000;

/** Whether the server makes people for this page. */
export async function areMade() {
  const answer = await fetch(PLACE).catch(() => null);
  return answer?.ok ? (await answer.json()).are_made : false;
}

/** The token of somebody new; throws with what the server says against it. */
export async function makePerson() {
  const answer = await fetch(PLACE, { method: 'POST' }).catch(() => null);
  const told = await answer?.json().catch(() => null);
  if (!answer?.ok || !told?.token) throw new Error(told?.detail ?? t('start.unreachable'));
  return told.token;
}

/** Uploads a plausible day as the device's own edits. What is there already stays as it is, so it can be done twice. */
export async function fillDay({ client }, person) {
  if (!await stocked(client)) return;
  const catalogue = Object.fromEntries(await Promise.all(CATALOGUE.map(async (table) => [table, await client.table(table).all()])));
  const rows = plausibleDay(person, catalogue, Date.now(), { run: t('run.title') });
  const tables = [...new Set(rows.map(({ table }) => table))];
  const held = new Set((await Promise.all(tables.map((table) => client.table(table).all()))).flat().map(({ id }) => id));
  await Promise.all(rows.filter(({ row }) => !held.has(row.id)).map(({ table, row }) => client.table(table).insert(row)));
}

/** Waits until the device has the catalogue; false when it does not come. */
function stocked(client) {
  return new Promise((done) => {
    const timer = setTimeout(() => end(false), PATIENCE_MS);
    const stop = client.table('workout_template_exercises').subscribe(null, (rows) => rows.length && end(true));
    function end(isStocked) {
      clearTimeout(timer);
      done(isStocked);
      queueMicrotask(() => stop());
    }
  });
}
