// One device on the page: its head with the line, the view of the scene that is on, and what it knows about its copy.

import { openConflicts } from './conflicts.js';
import { Diary } from './diary.js';
import { button, element, say } from './element.js';
import { clock, number } from './formats.js';
import { icon } from './icons.js';
import { Intervals } from './intervals.js';
import { Run } from './run.js';
import { t, term } from './words.js';
import { Workout } from './workout.js';

const VIEWS = { diary: Diary, workout: Workout, timer: Intervals, run: Run };
const LOG_LINES = 40;

export class Pane {
  #view = null;
  #stops = [];
  #shownScene = null;
  #wasLoaded = false;

  /** `page`: what the device shares with the others: `nameOfDevice(id)`, `edits`, `conflicts(pane)`. */
  constructor(device, page) {
    Object.assign(this, { device, page });
    this.body = element('div', { className: 'view' });
    const title = `device-${device.kind}`;
    this.root = element('section', { className: 'device', id: device.kind, tabIndex: -1, 'aria-labelledby': title },
      this.#head(title), this.body, this.#foot());
    this.root.dataset.kind = device.kind;
    this.stops = [
      device.on('changed', () => this.draw()),
      device.on('told', (line) => this.log(line)),
      device.on('arrived', (message) => this.#arrived(message)),
    ];
    this.draw();
  }

  /** Shows the view of a scene. */
  show(scene) {
    if (scene === this.#shownScene) return;
    this.#closeView();
    this.#shownScene = scene;
    const follow = (table, query, callback) => this.#stops.push(this.device.client.table(table).subscribe(query, callback));
    const root = element('div', { className: scene });
    this.#view = new VIEWS[scene](root, { device: this.device, page: this.page, follow, isSmall: this.device.kind === 'watch' });
    this.body.replaceChildren(root);
  }

  /** Ends it: the language changes, or the device goes. */
  close() {
    this.#closeView();
    this.stops.forEach((stop) => stop());
    this.root.remove();
  }

  draw() {
    const { state, pending, conflicts, isOff, isRevoked, kind, client: { cursor } } = this.device;
    say(this.badge, t(`device.state.${isOff ? 'off' : state.state}`));
    this.badge.dataset.state = isOff ? 'off' : state.state;
    this.line.checked = !isOff;
    say(this.queued, pending ? t('device.pending', { n: pending }) : t('device.synced'));
    this.queued.classList.toggle('some', pending > 0);
    const n = conflicts.length;
    if (!n && document.activeElement === this.collisions) this.root.focus();
    this.collisions.hidden = n === 0;
    say(this.collisions.lastChild, t('device.conflicts', { n }));
    this.collisions.ariaLabel = t('device.conflicts.of', { n, device: t(`device.${kind}`) });
    say(this.cursor, cursor ? cursorText(cursor) : t('device.cursor.none'));
    const why = isRevoked ? t('device.revoked') : state.state === 'stopped' && !isOff ? state.why : '';
    say(this.why, why);
    this.why.hidden = !why;
    this.allow.hidden = !isRevoked;
    this.verify.disabled = state.state !== 'live';
    this.page.drawn?.(this.device);
  }

  /** A line in the log of events. */
  log({ key, values, tone }) {
    const { table, strategy, fields = [], ...others } = values;
    const settled = fields.map(({ field, resolved }) => `${term('field', field)} ${resolved}`);
    const outcome = strategy && [t(`event.conflict.${strategy}`), ...settled].join(', ');
    const text = t(key, { ...others, ...(table && { table: term('table', table) }), ...(strategy && { outcome }) });
    if (['warn', 'bad'].includes(tone) && strategy !== 'manual') this.#notice(text);
    this.noEvents.hidden = true;
    const time = element('time', {}, clock(new Date()));
    this.events.prepend(element('li', { className: tone }, time, ' ', text));
    this.events.children[LOG_LINES]?.remove();
  }

  #head(title) {
    const { device } = this;
    const name = t(`device.${device.kind}`);
    this.badge = element('span', { className: 'badge' });
    this.queued = element('span', { className: 'queued' });
    this.collisions = button({ className: 'collisions', onclick: () => openConflicts(device, name) }, icon('conflict'), element('span'));
    this.line = element('input', {
      type: 'checkbox', role: 'switch', 'aria-label': t('device.line.of', { device: name }), onchange: () => device.turn(this.line.checked),
    });
    this.why = element('p', { className: 'why', role: 'status' });
    this.allow = button({ className: 'primary', hidden: true, onclick: () => device.allow() }, t('device.allow'));
    this.notice = element('span', { role: 'status' });
    this.noted = element('p', { className: 'notice', hidden: true }, this.notice, button({
      className: 'plain', 'aria-label': t('device.dismiss'), onclick: () => this.#dismiss(),
    }, icon('close')));
    const away = device.kind === 'browser' && button({
      className: 'plain', 'aria-label': t('device.remove', { device: name }), onclick: () => this.page.remove(this),
    }, icon('close'));
    return element('header', {}, element('span', { className: 'what' }, icon(device.kind)),
      element('div', { className: 'who' }, element('h2', { id: title }, name), element('p', { className: 'facts' }, this.badge, this.queued)),
      element('label', { className: 'line' }, element('span', { ariaHidden: 'true' }, t('device.line')), this.line), away,
      this.collisions, this.noted, this.why, this.allow);
  }

  #foot() {
    this.cursor = element('code', { className: 'cursor' });
    this.events = element('ol', { className: 'events' });
    this.noEvents = element('p', { className: 'dim' }, t('device.noevents'));
    this.verdict = element('p', { className: 'verdict', role: 'status' });
    this.verify = button({ onclick: () => this.#compare() }, t('device.verify'));
    const label = `${t('device.events')}, ${t(`device.${this.device.kind}`)}`;
    const box = element('div', { className: 'log', tabIndex: 0, role: 'region', 'aria-label': label }, this.noEvents, this.events);
    return element('footer', {},
      element('p', { className: 'place' }, element('span', { className: 'dim' }, t('device.cursor')), ' ', this.cursor),
      element('details', {}, element('summary', {}, t('device.events')), element('div', { className: 'proof' }, this.verify, this.verdict), box));
  }

  /** What the person must not miss stays until it is dismissed. */
  #notice(text) {
    this.noted.hidden = false;
    say(this.notice, text);
  }

  #dismiss() {
    this.noted.hidden = true;
    this.root.focus();
  }

  #arrived({ operation, table, version, source_device, data, new_record }) {
    const edit = this.page.edits.get((data ?? new_record)?.id);
    const isStraight = edit?.isLive && edit.by === source_device;
    const delay = isStraight ? t('event.delay', { ms: number(performance.now() - edit.at) }) : '';
    const from = source_device ? this.page.nameOfDevice(source_device) : t('event.outside');
    // A run would drive all else out of the log.
    if (table === 'location_points') return;
    this.log({ key: 'event.arrived', values: { operation, table, version, from, delay }, tone: 'good' });
  }

  async #compare() {
    const { pending } = this.device;
    const result = pending ? null : await this.device.compare();
    const isEqual = result?.tables.length === 0;
    const told = pending ? t('device.queued', { n: pending }) : !result ? t('device.unverified')
      : isEqual ? t('device.equal', { n: result.rows }) : t('device.differs', { tables: result.tables.join(', ') });
    this.verdict.className = `verdict ${isEqual ? 'good' : 'bad'}`;
    say(this.verdict, told);
  }

  #closeView() {
    this.#stops.splice(0).forEach((stop) => stop());
    this.#view?.close();
    this.#view = null;
  }
}

const cursorText = ({ epoch, user = 0, global = 0 }) => `${epoch} · user ${user} · global ${global}`;
