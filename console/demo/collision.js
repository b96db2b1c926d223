// How a conflict looks to a person: which fields, what each side has, what a choice comes to. No DOM.

/**
 * `{id, table, rowId, kind, fields, row}`. `kind` is `fields`, or who deleted the row: `deleted_there` (the server's side) or
 * `deleted_here` (the edit that came late). Each field has `field, base, server, client, type`.
 */
export function shownConflict({ conflict_id, table, id, fields, row }) {
  const hasNothing = (side) => fields.every((field) => field[side] === null || field[side] === undefined);
  const kind = !row ? 'deleted_there' : hasNothing('client') ? 'deleted_here' : 'fields';
  return { id: conflict_id, table, rowId: id, kind, row, fields: fields.map((field) => ({ ...field, type: typeOf(field) })) };
}

function typeOf({ base, server, client }) {
  const known = [server, client, base].find((value) => value !== null && value !== undefined);
  return typeof known === 'object' ? 'json' : typeof known;
}

/** The start: the server's side everywhere, as it stands until somebody chooses. */
export const untouched = ({ fields }) => Object.fromEntries(fields.map(({ field, server }) => [field, { from: 'server', value: server }]));

/** Takes a side for one field. */
export function taken(choices, { field, ...sides }, from) {
  return { ...choices, [field]: { from, value: sides[from] } };
}

/** Takes what the person typed for one field; a text that is no number stays as it is for the server to judge. */
export function written(choices, { field, type }, text) {
  const number = Number(text.replace(',', '.'));
  const value = text.trim() === '' ? null : type === 'number' && Number.isFinite(number) ? number : type === 'boolean' ? text === 'true' : text;
  return { ...choices, [field]: { from: 'merged', value } };
}

/** What to send: one side's name where all fields come from it, else the values by field. */
export function settlement(conflict, choices) {
  const sides = new Set(conflict.fields.map(({ field }) => choices[field].from));
  if (sides.size === 1 && !sides.has('merged')) return [...sides][0];
  return Object.fromEntries(conflict.fields.map(({ field }) => [field, choices[field].value]));
}

/**
 * Which devices the sides are, as far as `who(row, field, value)` knows: `{server, late}`. Without a field it is asked who deleted
 * the row.
 */
export function sides({ kind, rowId, fields }, who) {
  const said = (side) => fields.map((field) => who(rowId, field.field, field[side])).find(Boolean) ?? null;
  return {
    server: kind === 'deleted_there' ? who(rowId) : said('server'),
    late: kind === 'deleted_here' ? who(rowId) : said('client'),
  };
}
