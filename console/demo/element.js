// Makes elements. Text always goes in as text, so nothing that a row contains is ever read as markup.

/** `element('li', {className: 'x'}, 'text', child, …)` */
export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}
