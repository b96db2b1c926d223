// A field that finds one of many by name: type, choose with the arrow keys or the mouse. Follows the combobox pattern of ARIA.

import { element } from './element.js';
import { found } from './search.js';

const SHOWN = 8;
let made = 0;

export class Picker {
  /** The chosen item, or null. */
  value = null;
  #items = [];
  #shown = [];
  #at = -1;

  /** `nameOf(item)` is searched and shown, `hintOf(item)` stands beside it, `chosen(item)` hears of a choice. */
  constructor({ label, placeholder, nameOf, hintOf = () => '', chosen = () => {} }) {
    Object.assign(this, { nameOf, hintOf, chosen });
    const id = `picker-${++made}`;
    this.list = element('ul', { className: 'options', role: 'listbox', id: `${id}-list`, 'aria-label': label, hidden: true });
    this.input = element('input', {
      id, type: 'text', role: 'combobox', autocomplete: 'off', spellcheck: false, placeholder, 'aria-expanded': 'false',
      'aria-controls': `${id}-list`, 'aria-autocomplete': 'list',
    });
    this.root = element('div', { className: 'picker' }, element('label', { htmlFor: id }, label), this.input, this.list);
    this.input.addEventListener('input', () => {
      this.value = null;
      this.#open();
    });
    this.input.addEventListener('focus', () => this.input.select());
    this.input.addEventListener('click', () => this.#open());
    this.input.addEventListener('keydown', (event) => this.#pressed(event));
    this.input.addEventListener('blur', () => this.#close());
    // The field keeps its focus while the mouse chooses.
    this.list.addEventListener('mousedown', (event) => event.preventDefault());
  }

  /** What there is to choose from. */
  offer(items) {
    this.#items = items;
    if (!this.list.hidden) this.#open();
  }

  /** Empties the field. */
  clear() {
    this.value = null;
    this.input.value = '';
    this.#close();
  }

  #open() {
    this.#shown = found(this.#items, this.value ? '' : this.input.value, this.nameOf, SHOWN);
    this.list.replaceChildren(...this.#shown.map((item, at) => element('li', {
      role: 'option', id: `${this.list.id}-${at}`, 'aria-selected': 'false', onclick: () => this.#choose(at),
    }, element('span', {}, this.nameOf(item)), element('span', { className: 'dim' }, this.hintOf(item)))));
    const isOpen = this.#shown.length > 0;
    this.list.hidden = !isOpen;
    this.input.setAttribute('aria-expanded', String(isOpen));
    // A screen that scrolls has it in view.
    if (isOpen) this.list.scrollIntoView({ block: 'nearest' });
    this.#mark(isOpen && this.input.value && !this.value ? 0 : -1);
  }

  #close() {
    this.list.hidden = true;
    this.input.setAttribute('aria-expanded', 'false');
    this.#mark(-1);
  }

  #mark(at) {
    this.#at = at;
    [...this.list.children].forEach((option, place) => option.setAttribute('aria-selected', String(place === at)));
    const option = this.list.children[at];
    if (option) this.input.setAttribute('aria-activedescendant', option.id);
    else this.input.removeAttribute('aria-activedescendant');
    if (option) this.list.scrollTop = Math.max(0, option.offsetTop - this.list.clientHeight + option.offsetHeight);
  }

  #pressed(event) {
    const { key } = event;
    const step = { ArrowDown: 1, ArrowUp: -1 }[key];
    if (step) {
      event.preventDefault();
      if (this.list.hidden) this.#open();
      const count = this.#shown.length;
      if (count) this.#mark(this.#at < 0 ? (step > 0 ? 0 : count - 1) : (this.#at + step + count) % count);
    } else if (key === 'Enter' && !this.list.hidden && this.#at >= 0) {
      event.preventDefault();
      this.#choose(this.#at);
    } else if (key === 'Escape' && !this.list.hidden) {
      event.preventDefault();
      event.stopPropagation();
      this.#close();
    }
  }

  #choose(at) {
    this.value = this.#shown[at];
    this.input.value = this.nameOf(this.value);
    this.#close();
    this.chosen(this.value);
  }
}
