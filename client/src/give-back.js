// Edits when the server turns out to be another one.

import { settle } from './verdicts.js';

/** @import { Device } from './exchange.js' */
/** @import { Edit, Result, SyncSummary } from './types.js' */

/** Edits that were made for another server's copy: the person decides. @param {Device} device @param {Edit[]} edits @param {SyncSummary} summary */
export function giveBack(device, edits, summary) {
  const errors = [{ field: '', code: 'other_server', message: 'It was made for another server.' }];
  const verdicts = edits.map((edit) => /** @type {[Edit, Result]} */ ([edit, { mutation_id: edit.mutation_id, table: edit.table, id: edit.data.id, status: 'rejected', errors }]));
  verdicts.forEach(([edit, result]) => {
    summary.rejected.push({ ...result, edit });
    device.rejected(edit, result);
  });
  device.keep({ queue: settle(device.copy.queue, verdicts.map(([, result]) => result)) });
  device.settled?.(verdicts);
}
