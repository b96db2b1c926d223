// The page: who the person is, which scene is on, and the devices side by side.

import { announce } from './announce.js';
import { Device } from './device.js';
import { button, element, say } from './element.js';
import { icon } from './icons.js';
import { read, write } from './kept.js';
import { Mirror } from './mirror.js';
import { Pane } from './pane.js';
import { Recorder } from './recorder.js';
import { nextTheme, theme, wear } from './theme.js';
import { keepToken, keptToken, subjectOf, tokenInAddress } from './token.js';
import { chosenLanguage, speak, t, tongue } from './words.js';

const SCENES = ['diary', 'workout', 'timer', 'run'];
const KINDS = ['phone', 'tablet', 'watch'];
const FURTHER = 'browser';
const STRATEGIES = ['manual', 'server_wins', 'client_wins', 'merge'];
const STRATEGY_KEY = 'demo-strategy';
const byId = (id) => document.getElementById(id);

let token = null;
let panes = [];
let spare = null;
const devices = [];
const page = {
  /** Row → the device that edited it last and when, to say how long the edit took to another. */
  edits: new Map(),
  nameOfDevice: (id) => {
    const kind = devices.find((device) => device.id === id)?.kind;
    return kind ? t(`device.${kind}`) : t('event.elsewhere');
  },
  drawn: ({ kind, isOff, state }) => {
    const chip = byId('chips').querySelector(`[data-kind=${kind}]`);
    if (chip) chip.dataset.state = isOff ? 'off' : state.state;
  },
  remove: (pane) => removeDevice(pane),
};

/** The same in all tabs: the one that leads a device uploads for the others. */
const keptStrategy = () => read('localStorage', STRATEGY_KEY) ?? STRATEGIES[0];

function makeDevice(kind) {
  const person = subjectOf(token);
  const device = new Device(kind, { person, token: () => token, strategy: keptStrategy, name: (of) => t(`device.${of}`), edits: page.edits });
  device.mirror = new Mirror(device);
  device.recorder = new Recorder(device);
  device.on('token', askAgain);
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
  byId('chips').replaceChildren(...devices.map(({ kind }) => {
    const chip = element('a', { href: `#${kind}`, onclick: (event) => goTo(event, kind) }, icon(kind), t(`device.${kind}`));
    chip.dataset.kind = kind;
    return chip;
  }));
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
  byId('steps').replaceChildren(...[1, 2, 3].map((step) => element('li', {}, t(`scene.${now}.step${step}`))));
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

function askAgain() {
  const isAsked = !byId('token-form').hidden;
  byId('token-form').hidden = false;
  byId('token-why').dataset.words = 'token.again';
  say(byId('token-why'), t('token.again'));
  byId('command').textContent = `ryzed token --user ${subjectOf(token)}`;
  // Once: several devices find out.
  if (isAsked) return;
  announce(t('token.again'));
  byId('token').focus();
}

/** Starts with a token, or goes on with a new one of the same person. A copy belongs to a person: another starts over. */
function takeToken(given) {
  const subject = subjectOf(given);
  byId('token-error').textContent = subject ? '' : t('token.bad');
  if (!subject) return;
  keepToken(given);
  if (token && subjectOf(token) !== subject) return location.reload();
  const isFirst = !token;
  token = given;
  byId('token-form').hidden = true;
  byId('bench').hidden = byId('scenes').hidden = false;
  byId('person').textContent = subject;
  if (!isFirst) return devices.forEach((device) => device.renew(token));
  KINDS.forEach((kind) => makeDevice(kind).start());
  if (read('localStorage', furtherKey()) === 'true') addDevice();
  drawDevices();
}

function listen() {
  byId('token-form').addEventListener('submit', (event) => {
    event.preventDefault();
    takeToken(byId('token').value.trim());
    byId('token').value = '';
  });
  byId('other-token').addEventListener('click', () => {
    byId('token-form').hidden = false;
    byId('token').focus();
  });
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
wear();
speak(chosenLanguage());
listen();
const first = tokenInAddress() ?? keptToken();
drawPage();
if (first) takeToken(first);
byId('token-form').hidden = token !== null;
