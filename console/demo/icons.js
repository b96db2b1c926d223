// The page's drawings, each a few strokes in a square of 24.

import { shape } from './element.js';

const PATHS = {
  phone: 'M8 2.75h8a2 2 0 0 1 2 2v14.5a2 2 0 0 1-2 2H8a2 2 0 0 1-2-2V4.75a2 2 0 0 1 2-2ZM11 18.25h2',
  tablet: 'M5.75 2.75h12.5a2 2 0 0 1 2 2v14.5a2 2 0 0 1-2 2H5.75a2 2 0 0 1-2-2V4.75a2 2 0 0 1 2-2ZM11 18.25h2',
  watch: 'M8.5 6.5h7a2 2 0 0 1 2 2v7a2 2 0 0 1-2 2h-7a2 2 0 0 1-2-2v-7a2 2 0 0 1 2-2ZM9 6.5l.6-3.75h4.8l.6 3.75M9 17.5l.6 3.75h4.8l.6-3.75M12 10v2.2l1.3.9',
  browser: 'M4.75 4.25h14.5a2 2 0 0 1 2 2v11.5a2 2 0 0 1-2 2H4.75a2 2 0 0 1-2-2V6.25a2 2 0 0 1 2-2ZM2.75 8.75h18.5M5.7 6.5h.01M8.2 6.5h.01',
  diary: 'M12 7.5c-1-1.4-2.6-1.9-4.3-1.5C5.3 6.6 4 9 4.4 12.2c.5 4 2.9 8 5.3 8 .9 0 1.5-.5 2.3-.5s1.4.5 2.3.5c2.4 0 4.8-4 5.3-8C20 9 18.7 6.6 16.3 6c-1.7-.4-3.3.1-4.3 1.5ZM12 7.5c0-2.2.9-3.8 2.8-4.5',
  workout: 'M6.5 7v10M3.5 9.5v5M17.5 7v10M20.5 9.5v5M6.5 12h11',
  timer: 'M12 21a7.75 7.75 0 1 0 0-15.5A7.75 7.75 0 0 0 12 21ZM12 9v4.25l2.5 1.5M9.5 2.75h5',
  run: 'M4 19.5c3.5 0 3.5-4.5 7-4.5s3.2-5 6-5M19 3.5c1.7 0 3 1.3 3 3 0 2.2-3 5-3 5s-3-2.8-3-5c0-1.7 1.3-3 3-3ZM4 19.5h.01',
  conflict: 'M7 4v9.5a3 3 0 0 0 3 3h7M17 20v-9.5a3 3 0 0 0-3-3H7M14.5 14l2.5 2.5-2.5 2.5M9.5 10 7 7.5 9.5 5',
  up: 'M12 19V5.5M6 11l6-6 6 6',
  down: 'M12 5v13.5M6 13l6 6 6-6',
  left: 'M14.5 6 8.5 12l6 6',
  right: 'M9.5 6l6 6-6 6',
  remove: 'M5 6.5h14M9.5 6.5v-2.25h5V6.5M7 6.5l.8 13h8.4l.8-13',
  add: 'M12 5v14M5 12h14',
  close: 'M6 6l12 12M18 6 6 18',
  play: 'M8 5.2v13.6L18.8 12 8 5.2Z',
  pause: 'M8.5 5.5v13M15.5 5.5v13',
  stop: 'M7 7h10v10H7Z',
  check: 'M5 12.5l4.5 4.5L19 7.5',
  theme: 'M12 20.5a8.5 8.5 0 1 0 0-17 8.5 8.5 0 0 0 0 17ZM12 3.5v17a8.5 8.5 0 0 0 0-17Z',
};

/** A drawing that screen readers pass over. */
export function icon(name) {
  const made = shape('svg', { viewBox: '0 0 24 24', class: 'icon', 'aria-hidden': 'true', focusable: 'false' });
  made.append(shape('path', { d: PATHS[name] }));
  return made;
}
