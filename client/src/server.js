// A call to the server that failed.

/** @import { FieldError, Loss } from './types.js' */

const AT_FAULT = [400, 413, 422];
/** What something on the way says of the moment, not of what is sent. */
const PASSING = [401, 407, 408, 425, 429];

/** A call that failed; `loss` is what it means for the line, in close codes. */
export class Failure extends Error {
  /** @param {string} message @param {{status?: number, errors?: FieldError[], type?: string, isOurs?: boolean, isRedirect?: boolean, loss: Loss}} what */
  constructor(message, { status = 0, errors = [], type = '', isOurs = true, isRedirect = false, loss }) {
    super(message);
    this.status = status;
    this.errors = errors;
    this.type = type;
    this.loss = { why: message, ...loss };
    /** Whether the request itself is at fault, so that the same again would fail again. */
    this.isRefusal = isOurs ? AT_FAULT.includes(status) : status >= 400 && status < 500 && !PASSING.includes(status);
    this.isFromServer = isOurs;
    /** Whether it is to be asked for elsewhere. */
    this.isRedirect = isRedirect;
  }
}
