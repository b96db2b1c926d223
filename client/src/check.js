// A row held against its table's schema, before it is queued. It refuses only what the server is sure to refuse: what a
// schema does not say, such as whether a reference exists, is the server's to judge.

/** @import { FieldError, Operation, Row } from './types.js' */

/** The server alone sets them, and ignores what comes back. */
const IGNORED = ['_version', 'updated_at', 'user_id'];

/** @param {Record<string, any>} schema @param {Operation} operation @param {Row} row @returns {FieldError[]} */
export function check({ properties = {}, required = [], additionalProperties }, operation, row) {
  /** @type {FieldError[]} */
  const errors = [];
  const found = (/** @type {string} */ field, /** @type {string} */ code, /** @type {string} */ message) => errors.push({ field, code, message });
  if (operation === 'DELETE') return errors;
  for (const [field, value] of Object.entries(row)) {
    // The database holds a value there that can't be said, and keeps it.
    if (value === null && row._unsaid?.includes(field)) continue;
    const rule = properties[field];
    if (!rule && additionalProperties === false) found(field, 'unknown_field', 'is no column of the table');
    else if (rule && !IGNORED.includes(field)) judge(rule, value, (code, message) => found(field, code, message), required.includes(field));
  }
  if (operation === 'INSERT') {
    for (const field of required) if (!(field in row) && !properties[field]?.readOnly) found(field, 'required', 'must be there');
  }
  return errors;
}

/** @param {Record<string, any>} rule @param {any} value @param {(code: string, message: string) => void} found @param {boolean} isRequired */
function judge(rule, value, found, isRequired) {
  const types = rule.type ? [rule.type].flat() : null;
  // Where there is a default, it means that.
  if (value === null) return types && !types.includes('null') && isRequired ? found('wrong_type', 'must not be null') : undefined;
  const kind = Array.isArray(value) ? 'array' : typeof value;
  if (types && !types.some((type) => type === kind || (type === 'integer' && Number.isInteger(value)))) return found('wrong_type', `must be ${types.join(' or ')}`);
  if (rule.enum && !rule.enum.includes(value)) return found('not_allowed', `must be one of ${rule.enum.filter((/** @type {any} */ one) => one !== null).join(', ')}`);
  if (value < rule.minimum) found('out_of_range', `must not be less than ${rule.minimum}`);
  if (value <= rule.exclusiveMinimum) found('out_of_range', `must be greater than ${rule.exclusiveMinimum}`);
  if (value > rule.maximum) found('out_of_range', `must not be greater than ${rule.maximum}`);
  if (value >= rule.exclusiveMaximum) found('out_of_range', `must be less than ${rule.exclusiveMaximum}`);
  const length = kind === 'string' ? [...value].length : NaN;
  if (length < rule.minLength) found('length', `must have at least ${rule.minLength} characters`);
  if (length > rule.maxLength) found('length', `must have at most ${rule.maxLength} characters`);
  if (kind === 'string' && rule.format === 'uuid' && !/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(value)) found('invalid_format', 'must be a UUID');
  if (kind === 'string' && rule.format === 'date-time' && Number.isNaN(Date.parse(value))) found('invalid_format', 'must be a time in RFC 3339');
}
