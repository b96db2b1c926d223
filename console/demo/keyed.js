// A list on the page that follows a list of rows. Elements stay with their row, so that a field being typed in keeps its
// focus and text, and what is deleted or moved leaves the keyboard where it was.

export class Keyed {
  #items = new Map();

  /** `make(row)` answers `{root, fill(row)}`. */
  constructor(root, make) {
    this.root = root;
    this.make = make;
  }

  show(rows) {
    const { root } = this;
    const focused = root.contains(document.activeElement) ? document.activeElement : null;
    const at = [...root.children].findIndex((child) => child.contains(focused));
    const wanted = new Set(rows.map(({ id }) => id));
    for (const [id, item] of this.#items) {
      if (wanted.has(id)) continue;
      item.root.remove();
      item.close?.();
      this.#items.delete(id);
    }
    rows.forEach((row, place) => {
      const item = this.#items.get(row.id) ?? this.make(row);
      this.#items.set(row.id, item);
      item.fill(row);
      if (root.children[place] !== item.root) root.insertBefore(item.root, root.children[place] ?? null);
    });
    if (!focused || document.activeElement === focused) return;
    // It moved and lost its focus by that, or it is gone: then its neighbour is next.
    if (focused.isConnected) focused.focus();
    else this.#focusNear(at, focused.dataset.does);
  }

  /** The element of a row, if it is shown. */
  of(id) {
    return this.#items.get(id)?.root;
  }

  close() {
    this.#items.forEach((item) => item.close?.());
  }

  #focusNear(at, does) {
    const near = this.root.children[at] ?? this.root.lastElementChild;
    const shown = (selector) => [...(near?.querySelectorAll(selector) ?? [])].find((one) => one.checkVisibility());
    const next = shown(`[data-does="${does}"]`) ?? shown('button, input, select');
    if (!next) this.root.tabIndex = -1;
    (next ?? this.root).focus();
  }
}

/** The row whose fields are open: one at a time. */
export class OpenRow {
  #id = null;
  #draw;

  /** `draw()` shows which it is. */
  constructor(draw) {
    this.#draw = draw;
  }

  is(id) {
    return this.#id === id;
  }

  /** Opens a row, or closes it. */
  toggle(id) {
    this.#id = this.is(id) ? null : id;
    this.#draw();
  }

  /** Closes it on Escape, for what is pressed in its fields. The row has the focus then. */
  pressed({ key, currentTarget }) {
    if (key !== 'Escape') return;
    this.toggle(this.#id);
    currentTarget.parentElement.querySelector('.row').focus();
  }
}

/** Lights an element up once: something new came. */
export function light({ classList }) {
  classList.remove('new');
  requestAnimationFrame(() => classList.add('new'));
}
