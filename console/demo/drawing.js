// Draws a track on a canvas: its course, or its profile. Colours come from the style sheet, places from `track.js`.

import { groundOf } from './course.js';
import { marks, profile, projection } from './track.js';

const KM = 1000;
/** How far the arrows along a track are apart, in pixels. */
const ARROWS_PX = 70;

/** Runs `draw(pen, {width, height})` in CSS pixels, sharp on every screen. */
function sheet(canvas, draw) {
  const { clientWidth: width, clientHeight: height } = canvas;
  if (!width || !height) return;
  const ratio = globalThis.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const pen = canvas.getContext('2d');
  pen.scale(ratio, ratio);
  pen.lineJoin = pen.lineCap = 'round';
  draw(pen, { width, height }, getComputedStyle(canvas));
}

function along(pen, places) {
  pen.beginPath();
  places.forEach(([x, y], at) => (at ? pen.lineTo(x, y) : pen.moveTo(x, y)));
}

function dot(pen, [x, y], radius, colour) {
  pen.beginPath();
  pen.arc(x, y, radius, 0, 2 * Math.PI);
  pen.fillStyle = colour;
  pen.fill();
}

/** The course from above, on its ground; `isRunning` puts a halo round the runner. */
export function drawCourse(canvas, track, isRunning) {
  sheet(canvas, (pen, box, style) => {
    const { color, backgroundColor } = style;
    const ground = groundOf(track);
    // The whole park is shown from the beginning, so that the map does not move under the runner.
    const project = projection(ground ? ground.park : track, { ...box, margin: ground ? 6 : 24 });
    if (ground) drawGround(pen, project, ground, style);
    else grid(pen, box, style.borderTopColor);
    const places = track.map(project);
    if (!places.length) return;
    along(pen, places);
    pen.strokeStyle = backgroundColor;
    pen.lineWidth = 9;
    pen.stroke();
    pen.strokeStyle = color;
    pen.lineWidth = 5.5;
    pen.stroke();
    drawArrows(pen, places, backgroundColor);
    dot(pen, places[0], 6, color);
    dot(pen, places[0], 3, backgroundColor);
    marks(track, KM).forEach(({ run, ...point }) => drawMark(pen, project(point), String(run / KM), style));
    drawHead(pen, places, style, isRunning);
  });
}

function drawGround(pen, project, { park, pond, paths, streets }, style) {
  const colour = (name) => style.getPropertyValue(name);
  const lines = (all, width, name) => all.forEach((line) => {
    along(pen, line.map(project));
    pen.strokeStyle = colour(name);
    pen.lineWidth = width;
    pen.stroke();
  });
  const area = (line, name) => {
    along(pen, line.map(project));
    pen.fillStyle = colour(name);
    pen.fill();
  };
  lines(streets, 7, '--road');
  area(park, '--park');
  lines([park], 1.5, '--road');
  lines(paths, 2, '--path');
  area(pond, '--water');
}

/** Which way it goes: arrowheads on the line, always so far apart on the screen. */
function drawArrows(pen, places, colour) {
  let left = ARROWS_PX / 2;
  places.slice(1).forEach((to, at) => {
    const from = places[at];
    const length = Math.hypot(to[0] - from[0], to[1] - from[1]);
    for (; left <= length; left += ARROWS_PX) {
      const place = [0, 1].map((axis) => from[axis] + ((to[axis] - from[axis]) * left) / length);
      arrow(pen, place, Math.atan2(to[1] - from[1], to[0] - from[0]), 6, colour);
    }
    left -= length;
  });
}

function arrow(pen, [x, y], angle, size, colour) {
  const corner = (turn, far) => [x + Math.cos(angle + turn) * far, y + Math.sin(angle + turn) * far];
  along(pen, [corner(0, size), corner(2.5, size), corner(Math.PI, size * 0.35), corner(-2.5, size)]);
  pen.fillStyle = colour;
  pen.fill();
}

function drawMark(pen, [x, y], text, { color, backgroundColor, fontFamily }) {
  dot(pen, [x, y], 10, color);
  dot(pen, [x, y], 8.5, backgroundColor);
  pen.fillStyle = color;
  pen.font = `700 11px ${fontFamily}`;
  pen.textAlign = 'center';
  pen.textBaseline = 'middle';
  pen.fillText(text, x, y + 0.5);
}

/** The runner, looking ahead while running. */
function drawHead(pen, places, { color, backgroundColor }, isRunning) {
  const head = places.at(-1);
  if (isRunning) {
    pen.globalAlpha = 0.25;
    dot(pen, head, 16, color);
    pen.globalAlpha = 1;
  }
  dot(pen, head, 9, backgroundColor);
  const before = places.at(-2);
  if (isRunning && before) arrow(pen, head, Math.atan2(head[1] - before[1], head[0] - before[0]), 8, color);
  else dot(pen, head, 6.5, color);
}

/** The altitude over the distance, filled to the ground. */
export function drawProfile(canvas, track) {
  sheet(canvas, (pen, box, { color }) => {
    const places = profile(track, { ...box, margin: 4 });
    if (!places.length) return;
    along(pen, [...places, [box.width, box.height], [0, box.height]]);
    pen.globalAlpha = 0.18;
    pen.fillStyle = color;
    pen.fill();
    pen.globalAlpha = 1;
    along(pen, places);
    pen.strokeStyle = color;
    pen.lineWidth = 1.5;
    pen.stroke();
  });
}

function grid(pen, { width, height }, colour) {
  const step = 32;
  pen.strokeStyle = colour;
  pen.globalAlpha = 0.45;
  pen.lineWidth = 1;
  pen.beginPath();
  for (let x = (width % step) / 2; x < width; x += step) pen.moveTo(x, 0), pen.lineTo(x, height);
  for (let y = (height % step) / 2; y < height; y += step) pen.moveTo(0, y), pen.lineTo(width, y);
  pen.stroke();
  pen.globalAlpha = 1;
}
