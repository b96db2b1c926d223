// A device's copy of the data. Pure: every function takes a replica and returns a new one; network, clock and page live
// in `device.js`. A replica is
//   rows    table → Map(id → {version, row}) as the server confirmed them; `row` is null for a deleted one
//   queue   edits without an answer, oldest first: {mutation_id, table, operation, data, base_version?, sent}
//   cursor  "I have everything up to here", as the server put it, or null for nothing
//   behind  a pull is owed: until it is done, single messages must not move the cursor over a gap

/** A copy that holds nothing yet. */
export const emptyReplica = () => ({ rows: {}, queue: [], cursor: null, behind: true });

/** Drops the copy, as the server demands when it can't bring it up to date. Queued edits stay: they are the person's. */
export const reset = ({ queue }) => ({ ...emptyReplica(), queue });

/** Notes that something was missed and must be pulled. */
export const oweAPull = (replica) => ({ ...replica, behind: true });

/** Applies a whole download at once: only after its last page the copy is one consistent state. */
export function applyPages(replica, pages) {
  const facts = [];
  for (const page of pages) {
    for (const [table, rows] of Object.entries(page.changes ?? {})) {
      for (const row of rows) facts.push({ table, id: row.id, version: row._version, row });
    }
    for (const [table, gone] of Object.entries(page.deletions ?? {})) {
      for (const { id, _version } of gone) facts.push({ table, id, version: _version, row: null });
    }
  }
  return { ...confirm(replica, facts), cursor: pages.at(-1)?.cursor ?? replica.cursor, behind: false };
}

/** Applies `data_updated` or `database_change`. */
export function applyLive(replica, message) {
  const { table, version, operation, scope } = message;
  const data = message.type === 'database_change' ? message.new_record : message.data;
  const id = data?.id ?? message.old_record?.id;
  if (!table || !id || !Number.isSafeInteger(version)) return replica;
  const row = operation === 'DELETE' ? null : { ...held(replica, table, id)?.row, ...data, _version: version };
  const next = confirm(replica, [{ table, id, version, row }]);
  if (replica.behind) return next;
  const [key] = String(scope).split(':');
  return { ...next, cursor: { ...next.cursor, [key]: Math.max(next.cursor?.[key] ?? 0, version) } };
}

/**
 * Queues an edit. It joins a queued one of the same row that was never sent: the server judges an edit by the version
 * it started from, and two from one version would conflict with each other.
 */
export function queueEdit(replica, edit) {
  const { table, operation, data } = edit;
  const { queue } = replica;
  const at = queue.findLastIndex((queued) => sameRow(queued, table, data.id));
  if (at >= 0 && !queue[at].sent) return { ...replica, queue: queue.toSpliced(at, 1, ...joined(queue[at], edit)) };
  const base = held(replica, table, data.id);
  const known = base?.row && operation !== 'INSERT' ? { base_version: base.version } : {};
  return { ...replica, queue: [...queue, { ...edit, ...known, sent: false }] };
}

/**
 * The edits that may go out now: one a row, since a later one waits for the version that the first makes. With `again`
 * also those that a broken line left unanswered; their `mutation_id` keeps that harmless.
 */
export function sendable({ queue }, { again = false } = {}) {
  return queue.filter((edit, at) =>
    (again || !edit.sent) && queue.findIndex((other) => sameRow(other, edit.table, edit.data.id)) === at);
}

/** Notes which edits went out, so that nothing joins them any more. */
export function markSent(replica, edits) {
  const ids = new Set(edits.map((edit) => edit.mutation_id));
  return { ...replica, queue: replica.queue.map((edit) => (ids.has(edit.mutation_id) ? { ...edit, sent: true } : edit)) };
}

/** An edit as the protocol wants it. */
export const onTheWire = ({ sent, ...edit }, conflict_strategy) => ({ ...edit, conflict_strategy });

/** Takes the server's verdict on a queued edit. A rejected one just leaves the queue, which undoes it on the screen. */
export function settle(replica, { mutation_id, status, version }, conflict) {
  const edit = replica.queue.find((queued) => queued.mutation_id === mutation_id);
  if (!edit) return replica;
  const rest = replica.queue.filter((queued) => queued !== edit);
  if (status === 'rejected') return { ...replica, queue: rest };

  const { table, operation, data: { id } } = edit;
  const versioned = Number.isSafeInteger(version);
  // After a conflict a waiting edit keeps its old base: its author had not seen the other side's value either.
  const follows = (queued) => versioned && status !== 'conflict' && sameRow(queued, table, id);
  const settled = { ...replica, queue: rest.map((queued) => (follows(queued) ? { ...queued, base_version: version } : queued)) };

  const known = held(replica, table, id);
  const written = operation === 'DELETE' ? null : { ...known?.row, ...edit.data };
  // What others wrote into a merged row must be pulled. Until then the edit stays visible, under the old version.
  if (status === 'merged') return oweAPull(confirm(settled, [{ table, id, version: known?.version ?? 0, row: written }]));
  const row = status === 'conflict' ? conflict?.row : written;
  if (row === undefined || !versioned) return oweAPull(settled);
  const next = confirm(settled, [{ table, id, version, row: row && { ...row, _version: version } }]);
  // An answer may overtake what others wrote before it, so only the version right after the cursor may move it.
  const reached = next.cursor?.user ?? 0;
  if (version <= reached || next.behind) return next;
  return version === reached + 1 ? { ...next, cursor: { ...next.cursor, user: version } } : oweAPull(next);
}

/** The rows of a table as the person sees them, queued edits on top of the confirmed. Each {row, pending}. */
export function view(replica, table) {
  const shown = new Map();
  for (const [id, { row }] of replica.rows[table] ?? []) {
    if (row) shown.set(id, { row, pending: false });
  }
  for (const { operation, data } of replica.queue.filter((edit) => edit.table === table)) {
    const below = shown.get(data.id);
    if (operation === 'DELETE') shown.delete(data.id);
    else if (below || operation === 'INSERT') shown.set(data.id, { row: { ...below?.row, ...data }, pending: true });
  }
  return [...shown.values()];
}

/** Rows and sum of versions by table, to be held against the server's digest. */
export function digestOf(replica, tables) {
  return Object.fromEntries(tables.map((table) => {
    const live = [...(replica.rows[table]?.values() ?? [])].filter(({ row }) => row);
    return [table, { rows: live.length, version_sum: live.reduce((sum, { version }) => sum + version, 0) }];
  }));
}

/** The tables in which two digests differ; one that a digest does not name is empty there. */
export function digestDifferences(mine, theirs, tables) {
  const empty = { rows: 0, version_sum: 0 };
  return tables
    .map((table) => ({ table, mine: mine[table] ?? empty, theirs: theirs[table] ?? empty }))
    .filter(({ mine: a, theirs: b }) => a.rows !== b.rows || a.version_sum !== b.version_sum);
}

/** A cursor as a query string has it. Parts that are unknown here are passed on as they are. */
export function cursorText(cursor) {
  const { epoch = '', ...versions } = cursor ?? {};
  return [epoch, ...Object.entries(versions).map(([scope, version]) => `${scope}:${version}`)].join(',');
}

const held = (replica, table, id) => replica.rows[table]?.get(id);
const sameRow = (edit, table, id) => edit.table === table && edit.data.id === id;

/** Takes facts in. An older one never replaces a newer one, so messages and pages may overlap. */
function confirm(replica, facts) {
  const rows = { ...replica.rows };
  for (const { table, id, version, row } of facts) {
    if (rows[table] === replica.rows[table]) rows[table] = new Map(rows[table]);
    if ((rows[table].get(id)?.version ?? 0) <= version) rows[table].set(id, { version, row });
  }
  return { ...replica, rows };
}

/**
 * What an unsent edit becomes with another on top: one edit, or none when a row comes and goes unseen. It takes the new
 * name: another tab may have sent the earlier one, and what comes again under a known name is not looked at.
 */
function joined(earlier, { mutation_id, operation, data }) {
  if (operation !== 'DELETE') return [{ ...earlier, mutation_id, data: { ...earlier.data, ...data } }];
  return earlier.operation === 'INSERT' ? [] : [{ ...earlier, mutation_id, operation, data }];
}
