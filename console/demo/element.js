// Makes elements. Text always goes in as text, so nothing that a row contains is ever read as markup.

const SVG = 'http://www.w3.org/2000/svg';

/** `element('li', {className: 'x', 'aria-label': 'y'}, 'text', child, …)`; a child that is null or false is left out. */
export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in made) made[key] = value;
    else if (value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

/** A shape of a drawing. */
export function shape(name, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** A button that does not submit. */
export const button = (properties, ...children) => element('button', { type: 'button', ...properties }, ...children);

/** Sets a text only where it differs, so that nothing is announced or selected anew. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}
