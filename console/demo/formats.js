// Numbers, dates and durations as the language that is on writes them.

import { tongue } from './words.js';

const made = new Map();

/** One formatter for each use and language: making them is dear. */
function formatter(Kind, options) {
  const key = `${Kind.name} ${tongue()} ${JSON.stringify(options)}`;
  if (!made.has(key)) made.set(key, new Kind(tongue() === 'fr' ? 'fr-FR' : 'en-GB', options));
  return made.get(key);
}

/** A number with at most `digits` decimals. */
export const number = (value, digits = 0) => formatter(Intl.NumberFormat, { maximumFractionDigits: digits }).format(value);

/** A number with exactly `digits` decimals. */
export const fixed = (value, digits) => formatter(Intl.NumberFormat, { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value);

/** A number with its unit, such as `gram` or `kilometer`. */
export const measure = (value, unit, digits = 0) =>
  formatter(Intl.NumberFormat, { style: 'unit', unit, maximumFractionDigits: digits }).format(value);

/** A part of a whole, as per cent. */
export const percent = (part) => formatter(Intl.NumberFormat, { style: 'percent' }).format(part);

/** A day such as `Thursday 1 May`. */
export const longDay = (date) => formatter(Intl.DateTimeFormat, { weekday: 'long', day: 'numeric', month: 'long' }).format(date);

/** A day and an hour, such as `1 May, 08:30`. */
export const moment = (date) => formatter(Intl.DateTimeFormat, { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' }).format(date);

/** An hour with seconds. */
export const clock = (date) =>
  formatter(Intl.DateTimeFormat, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' }).format(date);

/** Yesterday, today, tomorrow; null for days further away. */
export function nearDay(days) {
  if (Math.abs(days) > 1) return null;
  const text = formatter(Intl.RelativeTimeFormat, { numeric: 'auto' }).format(days, 'day');
  return text[0].toUpperCase() + text.slice(1);
}

/** Seconds as `4:05` or `1:04:05`. */
export function duration(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const two = (part) => String(part).padStart(2, '0');
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}
