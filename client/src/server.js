// A call to the server that failed.

/** @import { FieldError, Loss } from './types.js' */

/** A call that failed; `loss` is what it means for the line, in close codes. */
export class Failure extends Error {
  /** @param {string} message @param {{status?: number, errors?: FieldError[], type?: string, isOurs?: boolean, isRedirect?: boolean, loss: Loss}} what */
  constructor(message, { status = 0, errors = [], type = '', isOurs = true, isRedirect = false, loss }) {
    super(message);
    this.status = status;
    this.errors = errors;
    this.type = type;
    this.loss = { why: message, ...loss };
    this.isFromServer = isOurs;
    /** Whether it is to be asked for elsewhere. */
    this.isRedirect = isRedirect;
  }
}
