// The page: who the person is, which scene is on, and the devices side by side.

import { Arrival } from './arrival.js';
import { announce } from './announce.js';
import { Device } from './device.js';
import { button, element, say } from './element.js';
import { Guide } from './guide.js';
import { icon } from './icons.js';
import { read, write } from './local-storage.js';
import { Mirror } from './mirror.js';
import { Pane } from './pane.js';
import { fillDay } from './person.js';
import { Recorder } from './recorder.js';
import { Said } from './said.js';
import { SCENES } from './scenes.js';
import { Strip } from './strip.js';
import { nextTheme, theme, wear } from './theme.js';
import { keepToken, keptToken, subjectOf, tokenInAddress } from './token.js';
import { chosenLanguage, speak, t, tongue } from './words.js';

const KINDS = ['phone', 'tablet', 'watch'];
const FURTHER = 'browser';
const STRATEGIES = ['manual', 'server_wins', 'client_wins', 'merge'];
const STRATEGY_KEY = 'demo-strategy';
const FILL = 'fill';
const byId = (id) => document.getElementById(id);

let token = null;
let panes = [];
let spare = null;
let guide = null;
const devices = [];
const strip = new Strip(byId('strip'));
const page = {
  /** Row → the device that edited it last and when, to say how long the edit took to another. */
  edits: new Map(),
  strip,
  said: null,
  nameOfDevice: (id) => nameOfKind(devices.find((device) => device.id === id)?.kind),
  nameOfKind: (kind) => nameOfKind(kind),
  /** Whether one of the devices here is of that kind. */
  isHere: (kind) => devices.some((device) => device.kind === kind),
  drawn: (device) => strip.draw(device),
  remove: (pane) => removeDevice(pane),
};

const nameOfKind = (kind) => (kind ? t(`device.${kind}`) : t('event.elsewhere'));

/** The same in all tabs: the one that leads a device uploads for the others. */
const keptStrategy = () => read('localStorage', STRATEGY_KEY) ?? STRATEGIES[0];

function makeDevice(kind) {
  const person = subjectOf(token);
  const { edits, said } = page;
  const device = new Device(kind, { person, token: () => token, strategy: keptStrategy, name: (of) => t(`device.${of}`), edits, said });
  device.mirror = new Mirror(device);
  device.recorder = new Recorder(device);
  device.on('token', () => arrival.askAgain(subjectOf(token)));
  device.on('did', (what) => guide.did(what));
  devices.push(device);
  return device;
}

/** A further device: made once, and the same one when it comes back. */
function addDevice() {
  if (spare) devices.push(spare);
  else spare = makeDevice(FURTHER);
  spare.start();
}

function removeDevice({ device }) {
  device.recorder.close();
  device.forget();
  devices.splice(devices.indexOf(device), 1);
  write('localStorage', furtherKey(), 'false');
  drawDevices();
  byId('add').focus();
}

const furtherKey = () => `demo-further/${subjectOf(token)}`;
const scene = () => SCENES.find((name) => location.hash === `#${name}`) ?? SCENES[0];

/** Everything anew: at the start, in another language, with another device. */
function drawDevices() {
  panes.forEach((pane) => pane.close());
  panes = devices.map((device) => new Pane(device, page));
  byId('devices').replaceChildren(...panes.map(({ root }) => root));
  byId('devices').dataset.count = panes.length;
  strip.show(devices, goTo);
  byId('add').hidden = devices.length > KINDS.length;
  panes.forEach((pane) => pane.draw());
  drawScene();
}

/** A device's place on a narrow page. The address keeps the scene. */
function goTo(event, kind) {
  event.preventDefault();
  byId(kind).scrollIntoView();
  byId(kind).focus({ preventScroll: true });
}

function drawScene() {
  const now = scene();
  document.querySelectorAll('#scenes a').forEach((link) => {
    if (link.hash === `#${now}`) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  });
  say(byId('title'), t(`scene.${now}`));
  say(byId('lead'), t(`scene.${now}.lead`));
  guide.show(now);
  document.title = `${t(`scene.${now}`)} – ${t('page.title')}`;
  panes.forEach((pane) => pane.show(now));
}

/** The words that stand on the page whatever the devices do. */
function drawPage() {
  document.documentElement.lang = tongue();
  document.querySelectorAll('[data-words]').forEach((node) => say(node, t(node.dataset.words)));
  document.querySelectorAll('[data-label]').forEach((node) => { node.ariaLabel = t(node.dataset.label); });
  byId('scenes').replaceChildren(...SCENES.map((name) => element('a', { href: `#${name}` }, icon(name), element('span', {}, t(`scene.${name}`)))));
  byId('strategy').replaceChildren(...STRATEGIES.map((name) => element('option', { value: name }, t(`strategy.${name}`))));
  byId('strategy').value = keptStrategy();
  document.querySelectorAll('#languages button').forEach((one) => one.setAttribute('aria-pressed', String(one.lang === tongue())));
  drawTheme();
  document.title = t('page.title');
  if (token) drawDevices();
}

function drawTheme() {
  byId('theme').ariaLabel = t('page.theme', { theme: t(`page.theme.${theme()}`) });
  byId('theme').title = byId('theme').ariaLabel;
  byId('theme').dataset.theme = theme();
}

/** Starts with a token, or goes on with a new one of the same person. A copy belongs to a person: another starts over. */
function takeToken(given, { isNew = false } = {}) {
  const subject = subjectOf(given);
  if (!subject) return;
  keepToken(given);
  // A reload in the midst of it goes on with it.
  if (isNew) write('sessionStorage', FILL, subject);
  if (token && subjectOf(token) !== subject) return location.reload();
  const isFirst = !token;
  token = given;
  arrival.hide();
  byId('bench').hidden = byId('scenes').hidden = false;
  byId('person').textContent = subject;
  if (!isFirst) return devices.forEach((device) => device.renew(token));
  begin(subject);
}

function begin(subject) {
  page.said = new Said(subject);
  guide = new Guide(byId('steps'), subject);
  KINDS.forEach((kind) => makeDevice(kind).start());
  if (read('localStorage', furtherKey()) === 'true') addDevice();
  drawDevices();
  if (read('sessionStorage', FILL) === subject) fill();
  offerDay();
}

/** A day is offered to who has none. */
function offerDay() {
  const { client } = devices[0];
  const held = { food_entries: null, workout_sessions: null, cardio_sessions: null };
  for (const table of Object.keys(held)) {
    client.table(table).subscribe(null, ({ length }) => {
      held[table] = length;
      byId('fill').hidden = Object.values(held).some((count) => count !== 0) || devices[0].state.state !== 'live';
    });
  }
  devices[0].on('changed', () => { if (Object.values(held).every((count) => count === 0)) byId('fill').hidden = devices[0].state.state !== 'live'; });
}

async function fill() {
  byId('fill').hidden = true;
  await fillDay(devices[0], subjectOf(token));
  write('sessionStorage', FILL, '');
  announce(t('page.filled'));
}

function listen() {
  byId('fill').addEventListener('click', fill);
  byId('strategy').addEventListener('change', () => write('localStorage', STRATEGY_KEY, byId('strategy').value));
  addEventListener('storage', ({ key }) => { if (key === STRATEGY_KEY) byId('strategy').value = keptStrategy(); });
  byId('add').addEventListener('click', () => {
    addDevice();
    write('localStorage', furtherKey(), 'true');
    drawDevices();
    byId(FURTHER).focus();
  });
  byId('theme').addEventListener('click', () => {
    nextTheme();
    drawTheme();
  });
  addEventListener('hashchange', () => {
    const given = tokenInAddress();
    if (given) takeToken(given);
    else if (token) {
      drawScene();
      // A narrow page stays at the device that is looked at.
      if (matchMedia('(min-width: 700px)').matches) scrollTo(0, 0);
    }
  });
}

byId('languages').append(...['en', 'fr'].map((language) => button({
  lang: language,
  'aria-label': { en: 'EN, English', fr: 'FR, Français' }[language],
  onclick: () => {
    speak(language, true);
    drawPage();
  },
}, language.toUpperCase())));
byId('theme').append(icon('theme'));
byId('add').prepend(icon('add'));
const arrival = new Arrival(takeToken);
wear();
speak(chosenLanguage());
listen();
const first = tokenInAddress() ?? keptToken();
drawPage();
if (first) takeToken(first);
await arrival.look();
if (!token) arrival.show();
