// JSON Schemas of tables in, TypeScript out. Pure; `ryzed-types.js` asks the daemon.

/** The text of a module with two types for each table, a row as it is read and as it is inserted, one for each column with few values, and `Tables`, `Inserts` and `Relations`, which name them all.
 * `tables`: name → JSON Schema. */
export function typescript(tables) {
  const names = Object.keys(tables);
  const enums = enumsOf(tables);
  const index = (ending) => names.map((name) => `  ${key(name)}: ${pascal(name)}${ending};`).join('\n');
  return `${[
    '// Made by ryzed-types from the daemon’s schemas. Make it anew rather than change it.',
    ...[...enums.values()].map(({ name, text }) => `export type ${name} = ${text};`),
    ...names.flatMap((name) => [table(pascal(name), tables[name], enums), inserted(`${pascal(name)}Insert`, tables[name], enums)]),
    `/** All tables: \`new RyzeRealtimeClient<Tables, Inserts>(…)\`. */\nexport interface Tables {\n${index('')}\n}`,
    `/** What their \`insert\` takes. */\nexport interface Inserts {\n${index('Insert')}\n}`,
    relations(tables),
    INCLUDED,
  ].join('\n\n')}\n`;
}

const INCLUDED = `/** A row with what a query's \`include\` adds: \`Included<'meals', { food: 'food_id' }>\`. */
export type Included<Name extends keyof Tables & keyof Relations, Include extends Record<string, keyof Relations[Name]>> =
  Tables[Name] & { [As in keyof Include]: Relations[Name][Include[As]] };`;

/** The type of the references between tables, in both directions, as an `include` names them. */
function relations(tables) {
  const names = Object.keys(tables);
  const references = names.flatMap((name) => Object.entries(tables[name].properties ?? {})
    .filter(([, schema]) => schema !== true && names.includes(schema['x-references'])).map(([field, schema]) => ({ from: name, field, to: schema['x-references'] })));
  const lines = names.map((name) => {
    const one = references.filter(({ from }) => from === name).map(({ field, to }) => `    ${key(field)}: ${pascal(to)} | null;`);
    const many = references.filter(({ to }) => to === name).map(({ from, field }) => `    ${JSON.stringify(`${from}.${field}`)}: ${pascal(from)}[];`);
    return `  ${key(name)}: {${one.length + many.length ? `\n${[...one, ...many].join('\n')}\n  ` : ''}};`;
  });
  return `/** The references of their rows, in both directions: the names that a query may \`include\`. */\nexport interface Relations {\n${lines.join('\n')}\n}`;
}

/** The columns with few values: schema → the type's name and text. No two names are the same. */
function enumsOf(tables) {
  const taken = new Set(['Tables', 'Inserts', 'Relations', 'Included', ...Object.keys(tables).flatMap((name) => [pascal(name), `${pascal(name)}Insert`])]);
  const found = new Map();
  for (const [table_, { properties = {} }] of Object.entries(tables)) {
    for (const [field, schema] of Object.entries(properties)) {
      const values = schema.enum?.filter((value) => value !== null) ?? [];
      if (!values.length) continue;
      let name = `${pascal(table_)}${pascal(field)}`;
      while (taken.has(name)) name += '_';
      taken.add(name);
      found.set(schema, { name, text: values.map((value) => JSON.stringify(value)).join(' | ') });
    }
  }
  return found;
}

/** @param enums As `enumsOf` finds them */
const typeOf = (schema, enums) => (enums.has(schema) ? `${enums.get(schema).name}${schema.enum.includes(null) ? ' | null' : ''}` : type(schema));

function table(name, { description, properties = {}, required = [] }, enums) {
  const fields = Object.entries(properties).flatMap(([field, schema]) => {
    const readOnly = schema.readOnly ? 'readonly ' : '';
    const optional = field === 'id' || (required.includes(field) && !schema.readOnly) ? '' : '?';
    return [...comment(schema.description, '  '), `  ${readOnly}${key(field)}${optional}: ${typeOf(schema, enums)};`];
  });
  const pending = ['  /** The server has not judged an edit of it yet. */', '  readonly _pending?: boolean;'];
  return [...comment(description, ''), `export interface ${name} {`, ...fields, ...pending, '}'].join('\n');
}

/** The server alone sets it, and ignores what comes back. */
const UPDATED = 'updated_at';

/** A row as it is inserted: what it needs, and what it may leave out. */
function inserted(name, { properties = {}, required = [] }, enums) {
  const fields = Object.entries(properties).filter(([field, { readOnly }]) => !readOnly && field !== UPDATED).flatMap(([field, schema]) => {
    const given = schema.default === undefined ? [] : comment(`Left out: ${JSON.stringify(schema.default)}.`, '  ');
    return [...given, `  ${key(field)}${required.includes(field) && field !== 'id' ? '' : '?'}: ${typeOf(schema, enums)};`];
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
