// The page: who the person is, the conflict strategy, and the two devices side by side.

import { Device, uuid } from './device.js';
import { Kept, read, write } from './kept.js';
import { Pane } from './pane.js';
import { keepToken, keptToken, subjectOf, tokenInAddress } from './token.js';

const NAMES = ['Phone', 'Tablet'];
const MEANINGS = {
  server_wins: 'The value that the server already has stays.',
  client_wins: 'The value of the device that comes late is taken.',
  merge: 'Each column has its own rule; the diary’s take the latest.',
  manual: 'The server’s value stays for now, and you choose.',
};
const byId = (id) => document.getElementById(id);

let token = null;
const settings = { token: () => token, strategy: () => byId('strategy').value };
const devices = [];
/** Where both devices do not fit side by side, what can wait is folded, so that both come into sight. */
const foldIn = (part) => part.querySelectorAll('.fold').forEach((fold) => { fold.open = matchMedia('(min-width: 800px)').matches; });
/** Row → the device that edited it last and when, to say how long the edit took to the other. */
const edits = new Map();

function makeDevice(name) {
  const id = deviceId(name);
  const kept = new Kept(`${id}/${subjectOf(token)}`);
  const device = new Device({ id, name, settings, kept, listen: (event) => hear(pane, event) });
  const root = byId('device').content.firstElementChild.cloneNode(true);
  const pane = new Pane(root, device, (id) => edits.set(id, { by: device, at: performance.now(), live: device.state === 'live' }));
  foldIn(root);
  byId('devices').append(root);
  return device;
}

function hear(pane, { type, text, tone, conflict, message }) {
  if (type === 'state') pane.draw();
  else if (type === 'log') pane.log(named(text), tone);
  else if (type === 'conflict') pane.collide(conflict);
  else if (type === 'live') pane.log(arrival(message), 'good');
  else if (type === 'token') askAgain();
}

function arrival({ operation, version, source_device, data, new_record }) {
  const edit = edits.get((data ?? new_record)?.id);
  const straight = edit?.live && edit.by.id === source_device;
  const delay = straight ? `, ${(performance.now() - edit.at).toFixed(0)} ms after the tap` : '';
  return `${operation} v${version} from ${named(source_device ?? 'the database itself')}${delay}.`;
}

const named = (text) => devices.reduce((told, { id, name }) => told.replaceAll(id, name), text);

/** A device keeps its id for as long as this browser keeps its storage, as an installed app would. */
function deviceId(name) {
  const key = `demo-${name.toLowerCase()}`;
  const id = read('localStorage', key) ?? `${key}-${uuid().slice(0, 8)}`;
  write('localStorage', key, id);
  return id;
}

function askAgain() {
  byId('token-form').hidden = false;
  byId('token-why').textContent = 'The token ends or was refused. Make another one for the same person and paste what it prints:';
  byId('command').textContent = `ryzed token --user ${subjectOf(token)}`;
}

/** Starts with a token, or goes on with a new one of the same person. A copy belongs to a person: another starts over. */
function takeToken(given) {
  const subject = subjectOf(given);
  byId('token-error').textContent = subject ? '' : 'That is no token. It has three parts with dots between.';
  if (!subject) return;
  keepToken(given);
  if (devices.length > 0 && subjectOf(token) !== subject) {
    location.reload();
    return;
  }
  token = given;
  byId('token-form').hidden = true;
  byId('bench').hidden = false;
  byId('user').textContent = subject;
  if (devices.length > 0) {
    devices.forEach((device) => device.renew());
    return;
  }
  devices.push(...NAMES.map(makeDevice));
  devices.forEach((device) => device.start());
}

byId('token-form').onsubmit = (event) => {
  event.preventDefault();
  takeToken(byId('token').value.trim());
  byId('token').value = '';
};
byId('other-token').onclick = () => {
  byId('token-form').hidden = false;
  byId('token').focus();
};
const explain = () => { byId('strategy-means').textContent = MEANINGS[settings.strategy()]; };
foldIn(document);
byId('strategy').onchange = () => {
  write('localStorage', 'demo-strategy', settings.strategy());
  explain();
};
byId('strategy').value = read('localStorage', 'demo-strategy') ?? 'server_wins';
explain();

const fromAddress = () => {
  const given = tokenInAddress();
  if (given) takeToken(given);
};
addEventListener('pagehide', () => devices.forEach(({ kept }) => kept.flush()));
addEventListener('hashchange', fromAddress);
fromAddress();
if (!token && keptToken()) takeToken(keptToken());
byId('token-form').hidden = token !== null;
