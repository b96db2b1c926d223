// One device on the page: its head with the line, the view of the scene that is on, and what it knows about its copy.

import { shownConflict, sides } from './collision.js';
import { openConflicts } from './conflicts.js';
import { Diary } from './diary.js';
import { button, element, say } from './element.js';
import { clock, number } from './formats.js';
import { icon } from './icons.js';
import { Intervals } from './intervals.js';
import { Run } from './run.js';
import { shows } from './scenes.js';
import { showTook } from './took.js';
import { t, term } from './words.js';
import { Workout } from './workout.js';

const VIEWS = { diary: Diary, workout: Workout, timer: Intervals, run: Run };
const LOG_LINES = 40;

export class Pane {
  #view = null;
  #stops = [];
  #shownScene = null;
  #wasLoaded = false;

  /** `page`: what the device shares with the others: `nameOfDevice(id)`, `edits`, `said`, `strip`. */
  constructor(device, page) {
    Object.assign(this, { device, page });
    this.body = element('div', { className: 'screen' });
    const title = `device-${device.kind}`;
    const frame = element('div', { className: 'frame' }, this.#alerts(), this.body);
    this.root = element('section', { className: 'device', id: device.kind, tabIndex: -1, 'aria-labelledby': title },
      this.#head(title), element('div', { className: 'shell' }, frame), this.#foot());
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
    const total = (text) => this.page.strip.total(this.device.kind, text);
    this.#view = new VIEWS[scene](root, { device: this.device, page: this.page, follow, total, isSmall: this.device.kind === 'watch' });
    this.body.replaceChildren(root);
    this.body.scrollTop = 0;
    this.#drawConflicts();
  }

  /** Ends it: the language changes, or the device goes. */
  close() {
    this.#closeView();
    this.stops.forEach((stop) => stop());
    this.root.remove();
  }

  draw() {
    const { state, pending, isOff, isRevoked, client: { cursor } } = this.device;
    say(this.badge, t(`device.state.${isOff ? 'off' : state.state}`));
    this.badge.dataset.state = isOff ? 'off' : state.state;
    this.line.checked = !isOff;
    say(this.queued, pending ? t('device.pending', { n: pending }) : t('device.synced'));
    this.queued.classList.toggle('some', pending > 0);
    this.#drawConflicts();
    say(this.cursor, cursor ? cursorText(cursor) : t('device.cursor.none'));
    const why = isRevoked ? t('device.revoked') : state.state === 'stopped' && !isOff ? state.why : '';
    say(this.why, why);
    this.why.hidden = !why;
    this.allow.hidden = !isRevoked;
    this.verify.disabled = state.state !== 'live';
    this.page.drawn?.(this.device);
  }

  /** The conflicts that this device has a part in, of what the scene shows. Those of others are settled there. */
  #mine() {
    const { kind, conflicts, mine } = this.device;
    return conflicts.filter(({ table }) => shows(this.#shownScene, table)).flatMap((raw) => {
      const who = sides(shownConflict(raw), (...asked) => this.page.said.who(...asked));
      if (mine.has(raw.conflict_id)) who.late = kind;
      const isNobodys = ![who.server, who.late].some((one) => one && this.page.isHere(one));
      if (!isNobodys && kind !== who.server && kind !== who.late) return [];
      return [{ raw, other: kind === who.late ? who.server : who.late }];
    });
  }

  #drawConflicts() {
    const mine = this.#mine();
    const n = mine.length;
    if (!n && document.activeElement === this.collisions) this.root.focus();
    this.collisions.hidden = n === 0;
    const device = [...new Set(mine.map(({ other }) => this.page.nameOfKind(other)))].join(', ');
    say(this.collisions.lastChild, t('device.settle', { n, device }));
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
    this.line = element('input', {
      type: 'checkbox', role: 'switch', 'aria-label': t('device.line.of', { device: name }), onchange: () => device.turn(this.line.checked),
    });
    const away = device.kind === 'browser' && button({
      className: 'plain', 'aria-label': t('device.remove', { device: name }), onclick: () => this.page.remove(this),
    }, icon('close'));
    return element('header', {}, element('span', { className: 'what' }, icon(device.kind)),
      element('div', { className: 'who' }, element('h2', { id: title }, name), element('p', { className: 'facts' }, this.badge, this.queued)),
      element('label', { className: 'line' }, element('span', { ariaHidden: 'true' }, t('device.line')), this.line), away);
  }

  /** What stands above the view while there is something to say. */
  #alerts() {
    const { device } = this;
    this.collisions = button({ className: 'collisions', onclick: () => this.#settle() }, icon('conflict'), element('span'));
    this.why = element('p', { className: 'why', role: 'status' });
    this.allow = button({ className: 'primary', hidden: true, onclick: () => device.allow() }, t('device.allow'));
    this.notice = element('span', { role: 'status' });
    this.noted = element('p', { className: 'notice', hidden: true }, this.notice, button({
      className: 'plain', 'aria-label': t('device.dismiss'), onclick: () => this.#dismiss(),
    }, icon('close')));
    return element('div', { className: 'alerts' }, this.collisions, this.noted, this.why, this.allow);
  }

  #settle() {
    openConflicts(this.device, t(`device.${this.device.kind}`), {
      isShown: ({ conflict_id }) => this.#mine().some(({ raw }) => raw.conflict_id === conflict_id),
      who: (...asked) => this.page.said.who(...asked),
      nameOfKind: this.page.nameOfKind,
    });
  }

  #foot() {
    this.cursor = element('code', { className: 'cursor' });
    this.events = element('ol', { className: 'events' });
    this.noEvents = element('p', { className: 'dim' }, t('device.noevents'));
    this.verdict = element('p', { className: 'verdict', role: 'status' });
    this.verify = button({ onclick: () => this.#compare() }, t('device.verify'));
    const label = `${t('device.events')}, ${t(`device.${this.device.kind}`)}`;
    const box = element('div', { className: 'log', tabIndex: 0, role: 'region', 'aria-label': label }, this.noEvents, this.events);
    const place = element('p', { className: 'place' }, element('span', { className: 'dim' }, t('device.cursor')), ' ', this.cursor);
    return element('footer', {},
      element('details', {}, element('summary', {}, t('device.events')), element('div', { className: 'proof' }, this.verify, this.verdict, place), box));
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
    const row = data ?? new_record;
    const edit = this.page.edits.get(row?.id);
    const ms = edit?.isLive && edit.by === source_device ? number(performance.now() - edit.at) : null;
    const delay = ms === null ? '' : t('event.delay', { ms });
    this.page.strip.flash(this.device.kind, ms && t('strip.took', { ms }));
    // Points are drawn, not listed: their run has the news.
    if (ms !== null) showTook(this.body, table === 'location_points' ? row.cardio_session_id : row.id, t(this.device.kind === 'watch' ? 'strip.took' : 'event.took', { ms }));
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
