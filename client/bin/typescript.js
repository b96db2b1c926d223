// JSON Schemas of tables in, TypeScript out. Pure; `ryzed-types.js` asks the daemon.

/** The text of a module with two types for each table, a row as it is read and as it is inserted, and `Tables` and `Inserts`, which name them all. `tables`: name → JSON Schema. */
export function typescript(tables) {
  const names = Object.keys(tables);
  const index = (ending) => names.map((name) => `  ${key(name)}: ${pascal(name)}${ending};`).join('\n');
  return `${[
    '// Made by ryzed-types from the daemon’s schemas. Make it anew rather than change it.',
    ...names.flatMap((name) => [table(pascal(name), tables[name]), inserted(`${pascal(name)}Insert`, tables[name])]),
    `/** All tables: \`new RyzeRealtimeClient<Tables, Inserts>(…)\`. */\nexport interface Tables {\n${index('')}\n}`,
    `/** What their \`insert\` takes. */\nexport interface Inserts {\n${index('Insert')}\n}`,
  ].join('\n\n')}\n`;
}

function table(name, { description, properties = {}, required = [] }) {
  const fields = Object.entries(properties).flatMap(([field, schema]) => {
    const readOnly = schema.readOnly ? 'readonly ' : '';
    const optional = field === 'id' || (required.includes(field) && !schema.readOnly) ? '' : '?';
    return [...comment(schema.description, '  '), `  ${readOnly}${key(field)}${optional}: ${type(schema)};`];
  });
  const pending = ['  /** The server has not judged an edit of it yet. */', '  readonly _pending?: boolean;'];
  return [...comment(description, ''), `export interface ${name} {`, ...fields, ...pending, '}'].join('\n');
}

/** The server alone sets it, and ignores what comes back. */
const UPDATED = 'updated_at';

/** A row as it is inserted: what it needs, and what it may leave out. */
function inserted(name, { properties = {}, required = [] }) {
  const fields = Object.entries(properties).filter(([field, { readOnly }]) => !readOnly && field !== UPDATED).flatMap(([field, schema]) => {
    const given = schema.default === undefined ? [] : comment(`Left out: ${JSON.stringify(schema.default)}.`, '  ');
    return [...given, `  ${key(field)}${required.includes(field) && field !== 'id' ? '' : '?'}: ${type(schema)};`];
  });
  return [`export interface ${name} {`, ...fields, '}'].join('\n');
}

function type(schema) {
  if (schema === true || schema === undefined) return 'any';
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(' | ');
  for (const several of [schema.anyOf, schema.oneOf]) if (several) return several.map(type).join(' | ');
  const types = [schema.type ?? 'any'].flat();
  return types.map((one) => simple(one, schema)).join(' | ');
}

function simple(name, { items }) {
  if (name === 'integer') return 'number';
  if (name === 'array') {
    const item = type(items);
    return item.includes('|') ? `(${item})[]` : `${item}[]`;
  }
  return name === 'object' ? 'Record<string, any>' : name;
}

const comment = (text, indent) => (text ? [`${indent}/** ${text.replaceAll('*/', '* /')} */`] : []);
const key = (name) => (/^[A-Za-z_$][\w$]*$/.test(name) ? name : JSON.stringify(name));
const pascal = (name) => name.replace(/(^|[^A-Za-z0-9]+)([A-Za-z0-9]?)/g, (_, between, letter) => letter.toUpperCase()).replace(/^\d/, '_$&');
