// The report of a client on itself, for whoever has to find out what is wrong: as an object, as text, and as a panel on the page.

export { diagnosed } from './inspector/report.js';
export { open } from './inspector/panel.js';
