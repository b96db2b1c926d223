// The report of one client. What the text has of an edit are names and ids: never a token, and nothing of what a row holds.

/** @import { Device } from '../device.js' */
/** @import { Copy, Diagnosis, Edit, Status } from '../types.js' */

/** Edits, refused edits and exchanges that a report lists. */
const LIST_MOST = 50;
/** A clock that differs by more may be why something looks odd. */
const CLOCK_MOST_MS = 60_000;
/** The server is asked no longer than this. */
const ASK_MS = 5000;

/** @param {Copy} copy @param {Device} device @param {boolean} leads @param {Status} status @param {() => Promise<{calls: any[][], digest: any}>} ask Asks the one that leads
 * @returns {Promise<Diagnosis>}
 */
export async function diagnosed(copy, device, leads, status, ask) {
  const { owner: { persister, options, name, platform } } = device;
  let timer;
  const late = new Promise((resolve) => (timer = setTimeout(resolve, ASK_MS)));
  /** @type {{calls?: any[][], digest?: any}} */
  const { calls = [], digest = null } = Object(await Promise.race([ask().catch(() => null), late]));
  clearTimeout(timer);
  const disk = options.storage ? {} : await estimate();
  const sums = await copy.lazy?.sums(() => persister.stored());
  const now = platform.now();
  const { meta, queue, cursor } = copy;
  const waits = queue.filter(({ done }) => !done);
  const refused = meta.refused ?? [];
  /** @type {Omit<Diagnosis, 'advice' | 'text'>} */
  const found = {
    at: new Date(now).toISOString(),
    build: /** @type {any} */ (globalThis).RYZED_BUILD ?? 'unbundled',
    deviceId: device.id,
    person: meta.user ?? device.sub ?? null,
    status: { ...status, why: clean(status.why) },
    isLeader: leads,
    isOthers: device.isForeign,
    disk: { kind: options.storage ? 'of the app' : name ? 'IndexedDB' : 'memory', works: status.stored, ...disk },
    cursor,
    lastSync: meta.lastSync ?? null,
    tables: compared(copy, digest, sums),
    clock: clockOf(calls),
    waiting: waits.length,
    edits: waits.slice(0, LIST_MOST).map((edit, at) => ({ ...named(edit), why: whyWaits(edit, waits.slice(0, at), status, now) })),
    refused: refused.slice(-LIST_MOST).map((edit) => ({ ...named(edit), at: edit.at, errors: edit.errors })),
    conflicts: (meta.conflicts ?? []).length,
    exchanges: calls.slice(-LIST_MOST).map(([at, ms, call, sent, got, , fault]) => ({ at: new Date(at).toISOString(), ms, call, sent: sent ?? 0, got: got ?? 0, fault: fault ? clean(String(fault)) : null })),
  };
  const advice = adviceOn({ ...found, refused });
  return { ...found, advice, text: textOf(found, advice) };
}

/** @param {Pick<Edit, 'mutation_id' | 'table' | 'operation' | 'data'>} edit */
const named = ({ mutation_id, table, operation, data: { id, ...fields } }) => ({ mutation_id, table, operation, id, fields: Object.keys(fields) });

/** @param {Edit} edit @param {Edit[]} ahead @param {Status} status @param {number} now */
function whyWaits(edit, ahead, { state, why }, now) {
  if (state !== 'live') return state === 'off' ? 'The app is offline by its own choice.' : `There is no line${why ? `: ${clean(why)}` : '.'}`;
  if (edit.later && edit.later > now) return `The server can’t take it now; it goes out again in ${seconds(edit.later - now)}.`;
  if (ahead.some(({ table, data }) => table === edit.table && data.id === edit.data.id)) return 'An earlier edit of its row is under way.';
  return edit.sent ? 'It is under way.' : 'It goes out next.';
}

/** The tables, and whether each is the server's as far as that can be told now. @param {Copy} copy @param {any} told @param {Record<string, {rows: number, version_sum: number} | undefined>} [sums] Of those that stay in storage, as far as they are known @returns {Diagnosis['tables']} */
function compared({ rows, edits, cursor }, told, sums = {}) {
  const isThen = told?.digest && cursor && Object.keys({ ...told.cursor, ...cursor }).every((part) => told.cursor[part] === cursor[part]);
  const waiting = [...edits.keys()].map((key) => key.split(' ')[0]);
  const names = [...new Set([...rows.keys(), ...Object.keys(told?.digest ?? {}), ...waiting])].sort();
  return names.map((table) => {
    const held = table in sums ? sums[table] : added([...(rows.get(table)?.values() ?? [])]);
    const theirs = told?.digest?.[table] ?? { rows: 0, version_sum: 0 };
    const matches = held?.rows === theirs.rows && held?.version_sum === theirs.version_sum;
    return { table, rows: held?.rows ?? null, edited: waiting.filter((one) => one === table).length, matches: held && isThen && !told.stopped?.includes(table) ? matches : null };
  });
}

/** @param {import('../types.js').Row[]} rows */
const added = (rows) => ({ rows: rows.length, version_sum: rows.reduce((sum, { _version }) => sum + _version, 0) });

/** The lead of the device's clock over the server's, and how exactly that is known. @param {any[][]} calls @returns {Diagnosis['clock']} */
function clockOf(calls) {
  const [at, ms, , , , time] = calls.filter(([, , , , , told]) => told).pop() ?? [];
  return time ? { aheadMs: Math.round(at + ms / 2 - Date.parse(time)), withinMs: Math.ceil(ms / 2) } : null;
}

/** @returns {Promise<{usedBytes?: number, mostBytes?: number}>} */
async function estimate() {
  try {
    const { usage, quota } = await navigator.storage.estimate();
    return { usedBytes: usage, mostBytes: quota };
  } catch {
    return {};
  }
}

/** Advice, the most pressing first. @param {Omit<Diagnosis, 'advice' | 'text' | 'refused'> & {refused: any[]}} found @returns {string[]} */
function adviceOn({ status: { state, why, retryInMs, stored }, isOthers, waiting, refused, conflicts, clock, tables }) {
  const differ = tables.filter(({ matches }) => matches === false).map(({ table }) => table);
  /** @type {Record<string, string>} */
  const states = {
    off: waiting ? 'The app is offline by its own choice: connect, and the edits go out.' : 'The app is offline by its own choice: connect to get what is new.',
    token: 'It waits for the app to hand it a token.',
    syncing: 'It is about to connect.',
    opening: 'It is about to connect.',
    waiting: `It tries again by itself in ${seconds(retryInMs)}. Look at the network${why ? `: ${why}` : '.'}`,
    stopped: `It does not try again by itself: ${why} Mend that, then connect.`,
  };
  const all = [
    isOthers && 'The copy on this device is another person’s: sign in as they, or forget it.',
    !stored && 'This device can’t store: make room, or allow it, and don’t close the app before all is sent.',
    states[state],
    refused.length > 0 && `The server refused ${count(refused.length, 'edit')}: try again once the reason is mended, or discard.`,
    conflicts > 0 && `${count(conflicts, 'conflict')} to settle: choose a side in the app.`,
    clock && Math.abs(clock.aheadMs) - clock.withinMs > CLOCK_MOST_MS && `Set this device’s clock: it is ${seconds(Math.abs(clock.aheadMs))} ${clock.aheadMs > 0 ? 'ahead' : 'behind'}.`,
    differ.length > 0 && `The copy differs from the server’s in ${differ.join(', ')}: load everything anew.`,
  ].filter((line) => typeof line === 'string');
  return /** @type {string[]} */ (all.length ? all : [waiting ? 'Nothing is wrong: what waits is on its way.' : 'Nothing waits, and nothing is wrong.']);
}

/** @param {Omit<Diagnosis, 'advice' | 'text'>} found @param {string[]} advice */
function textOf({ at, build, deviceId, person, status, isLeader, disk, cursor, lastSync, tables, clock, waiting, edits, refused, conflicts, exchanges }, advice) {
  const { state, why, retryInMs } = status;
  const edit = (/** @type {Diagnosis['edits'][0]} */ { operation, table, id, fields }) => `${operation} ${table} ${id}${fields.length ? ` (${fields.join(', ')})` : ''}`;
  const megabytes = (/** @type {number} */ bytes) => `${(bytes / 1e6).toFixed(1)} MB`;
  const section = (/** @type {string} */ title, /** @type {string[]} */ lines) => (lines.length ? ['', title, ...lines.map((line) => `  ${line}`)] : []);
  return [
    `ryzed client, ${at}, build ${build}`,
    `device ${deviceId}, person ${person ?? 'unknown'}, ${isLeader ? 'leads' : 'follows another tab'}`,
    `line: ${state}${retryInMs ? `, again in ${seconds(retryInMs)}` : ''}${why ? `, ${why}` : ''}`,
    `storage: ${disk.kind}, ${disk.works ? 'works' : 'does not work'}${disk.usedBytes === undefined ? '' : `, ${megabytes(disk.usedBytes)} of ${megabytes(disk.mostBytes ?? 0)}`}`,
    `clock: ${clock ? `${clock.aheadMs} ms ahead of the server, within ${clock.withinMs} ms` : 'not compared'}`,
    `copy: ${cursor ? JSON.stringify(cursor) : 'never synced'}${lastSync ? `, last synced ${lastSync}` : ''}`,
    `${waiting} waiting, ${refused.length} refused, ${count(conflicts, 'conflict')}`,
    ...section('How to go on', advice.map(clean)),
    ...section('Tables', tables.map(({ table, rows, edited, matches }) => `${table}: ${rows === null ? 'rows in storage' : count(rows, 'row')}, ${edited} edited${matches === null ? '' : matches ? ', as on the server' : ', NOT as on the server'}`)),
    ...section('Waiting', edits.map((one) => `${edit(one)}: ${one.why}`)),
    ...section('Refused', refused.map((one) => `${one.at} ${edit({ ...one, why: '' })}: ${one.errors.map(({ field, code }) => `${field} ${code}`.trim()).join(', ')}`)),
    ...section('Exchanges', exchanges.map(({ at: then, ms, call, sent, got, fault }) => `${then} ${call} ${ms} ms${sent ? `, ${sent} sent` : ''}${got ? `, ${got} got` : ''}${fault ? `, failed: ${fault}` : ''}`)),
  ].join('\n');
}

/** Without what looks like a token. @param {string} text */
const clean = (text) => text.replace(/[\w-]*\.?eyJ[\w-]{8,}[\w.-]*/g, '(token)');
/** @param {number} ms */
const seconds = (ms) => `${Math.max(1, Math.round(ms / 1000))} s`;
/** @param {number} number @param {string} what */
const count = (number, what) => `${number} ${what}${number === 1 ? '' : 's'}`;
