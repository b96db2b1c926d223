// What there is to try in each scene, and what of it was done. Pure: parts that are done by what happens on the devices.

/**
 * The steps of each scene, each of parts that are done in any order. A part is done by something that a device does: `by` names
 * the device, `isOff` asks that it is offline. `at` is where it is done: a selector within the device.
 */
export const STEPS = {
  diary: [
    [{ does: 'log', by: 'phone', at: '.log-meal input' }],
    [
      { does: 'offline', by: 'tablet', at: '.line input' }, { does: 'change', by: 'tablet', isOff: true, at: '.entries .row' },
      { does: 'change', by: 'phone', at: '.entries .row' },
    ],
    [{ does: 'online', by: 'tablet', at: '.line input' }, { does: 'settle', show: 'tablet', at: '.collisions' }],
  ],
  workout: [
    [{ does: 'tick', by: 'watch', at: '.tick, .begin button' }],
    [{ does: 'offline', by: 'tablet', at: '.line input' }, { does: 'reorder', by: 'tablet', isOff: true, at: '[data-does=down]' }],
    [{ does: 'online', by: 'tablet', at: '.line input' }],
  ],
  timer: [
    [{ does: 'start', show: 'phone', at: '.begin .primary' }],
    [{ does: 'hold', show: 'watch', at: '.actions .primary' }],
    [{ does: 'offline', show: 'tablet', at: '.line input' }, { does: 'online', show: 'tablet', at: '.line input' }],
  ],
  run: [
    [{ does: 'run', by: 'phone', at: '.actions button' }],
    [{ does: 'offline', by: 'phone', at: '.line input' }],
    [{ does: 'online', by: 'phone', at: '.line input' }],
  ],
};

/** What was done: the names of parts, such as `diary.1.0`. */
export const NOTHING = [];

/** What is done after a device did something while a scene was on. The same list when that was no part of it. */
export function after(done, scene, { does, by, isOff = false }) {
  const fits = (part) => part.does === does && (!part.by || part.by === by) && (!part.isOff || isOff);
  const fresh = STEPS[scene].flatMap((parts, step) => parts.flatMap((part, at) => {
    const name = `${scene}.${step}.${at}`;
    // Coming back is the end of something: it counts once one was away in this scene.
    const isEarly = does === 'online' && !isAway(done, scene);
    return fits(part) && !isEarly && !done.includes(name) ? [name] : [];
  }));
  return fresh.length ? [...done, ...fresh] : done;
}

const isAway = (done, scene) => STEPS[scene].some((parts, step) => parts.some(({ does }, at) => does === 'offline' && done.includes(`${scene}.${step}.${at}`)));

/** Whether all parts of a step are done. */
export const isDone = (done, scene, step) => STEPS[scene][step].every((_, at) => done.includes(`${scene}.${step}.${at}`));

/** Where a step goes on: `{device, at}` of its first part that is not done, else of its last. */
export function placeOf(done, scene, step) {
  const parts = STEPS[scene][step];
  const next = parts.find((_, at) => !done.includes(`${scene}.${step}.${at}`)) ?? parts.at(-1);
  return { device: next.by ?? next.show, at: next.at };
}
