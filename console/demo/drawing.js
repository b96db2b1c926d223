// Draws a track on a canvas: its course, or its profile. Colours come from the style sheet, places from `track.js`.

import { placed, profile } from './track.js';

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

/** The course from above; `isRunning` puts a halo round the runner. */
export function drawCourse(canvas, track, isRunning) {
  sheet(canvas, (pen, box, { color, borderTopColor, backgroundColor }) => {
    grid(pen, box, borderTopColor);
    const places = placed(track, { ...box, margin: 22 });
    if (!places.length) return;
    along(pen, places);
    pen.strokeStyle = backgroundColor;
    pen.lineWidth = 8;
    pen.stroke();
    pen.strokeStyle = color;
    pen.lineWidth = 3.5;
    pen.stroke();
    dot(pen, places[0], 5, backgroundColor);
    dot(pen, places[0], 3.5, borderTopColor);
    const head = places.at(-1);
    if (isRunning) {
      pen.globalAlpha = 0.22;
      dot(pen, head, 14, color);
      pen.globalAlpha = 1;
    }
    dot(pen, head, 7, backgroundColor);
    dot(pen, head, 5, color);
  });
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
