// The interval timer. Pure: a state, commands on it, and what it shows at a moment. `now` is any clock of this device that
// never jumps (ms); other devices are told how much has elapsed, never what time it is, so their clocks need not agree.

const WARMUP_S = 5;

/** @typedef {{work: number, rest: number, rounds: number}} Plan Work and rest in seconds */

/** No timer. `revision` grows with every command, and `by` decides between two of the same. */
export const NONE = { plan: null, session: null, revision: 0, by: '', isRunning: false, elapsed: 0, at: 0 };

/** How long a plan takes, in ms: a warm-up, then work and rest without a rest after the last round. */
export const lengthOf = ({ work, rest, rounds }) => (WARMUP_S + rounds * work + (rounds - 1) * rest) * 1000;

/** ms that the timer has run. */
export const elapsedAt = ({ isRunning, elapsed, at }, now) => elapsed + (isRunning ? Math.max(0, now - at) : 0);

/** Begins a plan, named by the id of its session. */
export const started = (state, plan, session, by, now) => command(state, by, { plan, session, isRunning: true, elapsed: 0, at: now });

/** Holds it. */
export const paused = (state, by, now) => command(state, by, { isRunning: false, elapsed: elapsedAt(state, now), at: now });

/** Lets it go on. */
export const resumed = (state, by, now) => command(state, by, { isRunning: true, at: now });

/** Ends it. */
export const stopped = (state, by, now) => command(state, by, { plan: null, session: null, isRunning: false, elapsed: 0, at: now });

const command = (state, by, change) => ({ ...state, ...change, by, revision: state.revision + 1 });

/** What other devices are told. */
export const told = (state, now) => {
  const { plan, session, revision, by, isRunning } = state;
  return { plan, session, revision, by, is_running: isRunning, elapsed_ms: Math.round(elapsedAt(state, now)) };
};

/** Takes what another device tells, unless this one knows better or it makes no sense. */
export function heard(state, message, now) {
  const { plan, session, revision, by, is_running, elapsed_ms } = message ?? {};
  const isSigned = Number.isSafeInteger(revision) && typeof by === 'string';
  const makesSense = isSigned && Number.isFinite(elapsed_ms) && elapsed_ms >= 0 && (plan === null || isPlan(plan));
  if (!makesSense || !isNewer(message, state)) return state;
  return { plan, session: session ?? null, revision, by, isRunning: is_running === true, elapsed: elapsed_ms, at: now };
}

const isNewer = (one, other) => one.revision > other.revision || (one.revision === other.revision && one.by > other.by);

/** Whether a plan can be run: whole seconds and rounds, within a day. */
export const isPlan = (plan) => [plan?.work, plan?.rest, plan?.rounds].every((part) => Number.isSafeInteger(part) && part >= 0 && part <= 86_400)
  && plan.work > 0 && plan.rounds > 0;

/**
 * What is shown: `{phase, round, rounds, left, part, total}`. `phase` is `idle`, `warmup`, `work`, `rest` or `finished`, `left`
 * the ms until it ends, `part` how much of it is over (0 to 1), `total` the ms until all ends.
 */
export function shownAt(state, now) {
  const { plan } = state;
  if (!plan) return { phase: 'idle', round: 0, rounds: 0, left: 0, part: 0, total: 0 };
  const elapsed = elapsedAt(state, now);
  const total = Math.max(0, lengthOf(plan) - elapsed);
  const { rounds } = plan;
  if (total === 0) return { phase: 'finished', round: rounds, rounds, left: 0, part: 1, total };
  const phase = (name, round, length, over) => ({ phase: name, round, rounds, left: length - over, part: over / length, total });
  const [warmup, work, rest] = [WARMUP_S * 1000, plan.work * 1000, plan.rest * 1000];
  if (elapsed < warmup) return phase('warmup', 1, warmup, elapsed);
  const round = Math.floor((elapsed - warmup) / (work + rest));
  const over = elapsed - warmup - round * (work + rest);
  return over < work ? phase('work', round + 1, work, over) : phase('rest', round + 1, rest, over - work);
}
