// The shapes that the modules share. Types only: nothing loads this file at run time.

/** @typedef {Record<string, any> & {id: string}} Row A row; from the server it also has `_version`, with an edit under way `_pending`. */
/** @template T @typedef {Omit<T, 'id'> & {id?: string}} Insertable A row as it is inserted, where no type of its own says so: its id is made if it has none. */
/** @typedef {'INSERT' | 'UPDATE' | 'UPSERT' | 'DELETE'} Operation */
/** @typedef {'server_wins' | 'client_wins' | 'merge' | 'manual'} Strategy */
/** @typedef {{epoch?: string, user?: number, global?: number, [part: string]: any}} Cursor "I have everything up to here"; sent back as it came. */

/**
 * @typedef {object} Edit One queued change.
 * @property {string} mutation_id
 * @property {string} table
 * @property {Operation} operation
 * @property {Row} data
 * @property {number} [base_version] The version that the edit builds on
 * @property {boolean} [sent] It may have reached the server, so nothing may join it any more
 * @property {boolean} [follows] Its fields are also in an edit before it, whose result it builds on
 * @property {Edit} [after] The edit that it follows, which met a conflict: sent again ahead of it
 * @property {string[]} [asks] The calls that made it
 * @property {string} [set] The edits that go out with it, all or none
 * @property {number} [later] The server can't take it now; when it goes out again, in ms
 * @property {Pick<Result, 'status' | 'version'>} [done] The server's verdict; it stays visible until its row is downloaded
 */
/** @typedef {{field: string, code: string, message: string}} FieldError */
/** @typedef {{mutation_id: string, status: 'applied' | 'merged' | 'conflict' | 'rejected' | 'later', table: string, id: string, version?: number, errors?: FieldError[]}} Result */
/** @typedef {{field: string, base: any, server: any, client: any, resolved: any}} ConflictField */
/** @typedef {{conflict_id?: string, mutation_id: string, table: string, id: string, strategy: Strategy, fields: ConflictField[], row: Row | null, parts?: Part[]}} Conflict `parts`: what was to become a part of the row, which was deleted elsewhere, and waits with it. */
/** @typedef {{mutation_id: string, table: string, id: string, data?: any}} Part */
/** @typedef {Record<string, {rows: number, version_sum: number, hash?: string}>} Digest The hash is missing from daemons of release 0.1. */
/** @typedef {Pick<Edit, 'mutation_id' | 'table' | 'operation' | 'data'> & {errors: FieldError[], at: string}} Refused An edit that the server refused, and when. */
/** @typedef {{status: 'applied' | 'merged' | 'conflict' | 'rejected' | 'withdrawn' | 'unknown', errors?: FieldError[]}} Verdict What became of an edit: `withdrawn` if it was undone or forgotten before it left, `unknown` if the tab that knew is gone. */
/** @template T @typedef {Promise<T> & {settled: Promise<Verdict>}} Edited Ends when the edit is stored here, or with a row whose `_stored` is false; `settled` is the server's verdict. */
/** @typedef {{isReady: boolean, isStale: boolean}} Info Whether the copy was ever synced, and whether it may be old. */
/** @typedef {Map<string, Set<string> | null>} Changed The ids by table; null is the whole table. */
/** @typedef {{to?: string, life?: string, patch?: Patch, edits?: {after?: string, gone: string[], come: Edit[]}, status?: Status, event?: string, told?: any}} Told What a leading tab tells; `life` names its copy. */

/**
 * @typedef {object} Page The answer of `POST /sync`.
 * @property {Record<string, Row[]>} changes
 * @property {Record<string, {id: string, _version: number}[]>} deletions
 * @property {Conflict[]} conflicts
 * @property {Result[]} results
 * @property {number} total_changes
 * @property {Cursor} cursor
 * @property {string} sync_timestamp
 * @property {boolean} has_more
 * @property {boolean} reset
 * @property {Digest} [digest]
 * @property {string[]} [stopped] Tables that the server can't tell of for now
 */
/** @typedef {Record<string, any> & {type: string}} Message One message over the socket. */

/**
 * @typedef {object} Meta What else is kept.
 * @property {string} [deviceId]
 * @property {string} [life] Names the copy; another one once it was dropped
 * @property {string[]} [dropped] Those that were, lately
 * @property {string} [user] Whose copy this is
 * @property {Conflict[]} [conflicts] Open ones
 * @property {Refused[]} [refused] Oldest first
 * @property {Record<string, number>} [repaired] When a table was last pulled anew
 * @property {string} [lastSync]
 * @property {string} [api] Where the server was, the last time
 * @property {string[]} [tables] What the cursor stands for; none is all
 * @property {Record<string, Verdict['status']>} [judged] The calls that had their verdict lately
 * @property {{api: string, way: Way, at: number}} [way] How this device hears from its server there, unless by a WebSocket
 * @property {Record<string, number>} [removed] The tombstones' versions of rows that were deleted here lately
 */
/** @typedef {Map<string, [table: string, id: string, row: any]>} Found What a download says of each row; null is gone */
/** @typedef {{found: Found, cursor: Cursor | null, replace: boolean, reset: boolean}} Staged A download that is not complete. */
/**
 * @typedef {object} Copy A device's copy of the data.
 * @property {Lazy} [lazy] Tables that are not loaded whole; of them `rows` has what is not in storage yet
 * @property {Map<string, Map<string, Row>>} rows As the server confirmed them
 * @property {Edit[]} queue Oldest first
 * @property {Map<string, Edit[]>} edits The same by `table id`
 * @property {Map<string, number>} asks How many of them each call has that wait for their verdict, and under '' how many do
 * @property {Cursor | null} cursor
 * @property {Meta} meta
 * @property {boolean} behind A pull is owed or under way: live messages wait in `held`
 * @property {Message[] | null} held Null when more came than it may hold
 * @property {Staged | null} staged
 */
/**
 * @typedef {object} Patch A change of a copy, whole or not at all.
 * @property {true | string[]} [clear] Tables that lose their rows first; `true` is all
 * @property {[table: string, id: string, row: Row | null][]} [rows]
 * @property {Edit[]} [queue]
 * @property {Cursor | null} [cursor]
 * @property {Meta} [meta]
 * @property {boolean} [behind] This and the following are never stored
 * @property {Message[] | null} [held]
 * @property {Staged | null} [staged]
 */
/** @typedef {{rows: [table: string, row: Row][], queue: Edit[], cursor: Cursor | null, meta: Meta, lazy?: Lazy}} Kept */
/** @typedef {import('./lazy/rows.js').Lazy} Lazy */
/**
 * @typedef {object} Storage Where a copy is kept.
 * @property {(leads?: boolean) => Promise<Kept | null>} load `leads`: to write it from now on
 * @property {(patches: Patch[]) => Promise<void>} commit Stores all of them or none
 * @property {() => Promise<void>} clear
 * @property {(make: any, inSql?: any) => unknown} [lazy] Leaves tables to be read when they are needed; `make` is for IndexedDB
 */

/**
 * @typedef {object} Platform What the client needs of its surroundings; tests hand in their own.
 * @property {typeof globalThis.fetch} fetch
 * @property {new (url: string, protocols: string[]) => any} [WebSocket]
 * @property {() => number} now
 * @property {() => number} random
 * @property {(run: () => void, ms: number) => any} setTimeout
 * @property {(timer: any) => void} clearTimeout
 * @property {LockManager} [locks] With `channel`, tabs share one line
 * @property {(name: string) => BroadcastChannel} [channel]
 * @property {(run: () => void) => void} [lives] Runs soon, unless the page is frozen
 * @property {(run: () => void) => void} [freezes] Calls when the page is about to be frozen
 * @property {(storage: Storage) => Storage} [disk] Stands before the browser's storage
 * @property {(nudge: () => void) => (() => void)} wakes Calls when the network or the page comes back; answers with how to stop that
 */

/** @typedef {string | (() => string | Promise<string>)} Token */
/**
 * @typedef {object} Options
 * @property {Token} [token] A JWT, or a function that gets one; the function is asked again before the token ends
 * @property {string} [app] Names the copy, where several apps share an origin
 * @property {string} [deviceId] 1 to 64 of `[A-Za-z0-9._-]`; made and kept by default
 * @property {'mobile' | 'web' | 'desktop' | 'watch'} [deviceType]
 * @property {string} [deviceName]
 * @property {string} [appVersion]
 * @property {string[] | Record<string, 'lazy' | 'whole'> | (string | Record<string, 'lazy' | 'whole'>)[]} [tables] What is copied, in a list; all by default. An object says how: rows of a `lazy` table stay in storage until they are read
 * @property {Strategy} [conflictStrategy]
 * @property {Storage} [storage]
 * @property {Partial<Platform>} [platform]
 */

/** @typedef {'off' | 'token' | 'syncing' | 'opening' | 'live' | 'waiting' | 'stopped'} StateName */
/** @typedef {{name: StateName, attempt: number, refused: boolean, wait: number, why: string}} Line */
/** @typedef {{code: number, reason?: string, ms?: number, why?: string}} Loss Why a line ended; `code` is a WebSocket's close code */
/**
 * @typedef {{type: 'connect' | 'disconnect' | 'token' | 'synced' | 'greeted' | 'beat' | 'nudge' | 'elapsed' | 'expiring' | 'changed'}
 *   | {type: 'silent', random: number}
 *   | {type: 'no_token', again: boolean, why?: string, random: number}
 *   | {type: 'lost', random: number} & Loss
 * } LineEvent
 */
/** @typedef {'ask_token' | 'fresh_token' | 'sync' | 'open' | 'hang_up' | 'wait' | 'ping' | 'auth' | 'beat'} Effect */
/** @typedef {{totalChanges: number, conflicts: Conflict[], rejected: (Result & {edit: Edit})[]}} SyncSummary */
/** @typedef {'websocket' | 'stream' | 'poll'} Way How a device hears from its server. */
/** @typedef {{state: StateName, why: string, retryInMs: number, stored: boolean, refused: number, transport?: Way | null}} Status `transport` while it is live */
/** @typedef {Pick<Edit, 'mutation_id' | 'table' | 'operation'> & {id: string, fields: string[]}} EditName An edit without what it says. */
/**
 * @typedef {object} Diagnosis The report of a client on itself.
 * @property {string} at
 * @property {string} build
 * @property {string} deviceId
 * @property {string | null} person The copy's owner
 * @property {Status} status
 * @property {boolean} isLeader This tab has the line
 * @property {boolean} isOthers The copy is another person's than the token
 * @property {{kind: 'IndexedDB' | 'memory' | 'of the app', works: boolean, usedBytes?: number, mostBytes?: number}} disk
 * @property {Cursor | null} cursor
 * @property {string | null} lastSync
 * @property {{table: string, rows: number | null, edited: number, matches: boolean | null}[]} tables `rows` is null while they are counted in storage; `matches`: as on the server; null if that can't be told now
 * @property {{aheadMs: number, withinMs: number} | null} clock The lead of the device's clock over the server's
 * @property {number} waiting
 * @property {(EditName & {why: string})[]} edits Those that wait, the first 50
 * @property {(EditName & {at: string, errors: FieldError[]})[]} refused
 * @property {number} conflicts
 * @property {{at: string, ms: number, call: string, sent: number, got: number, fault: string | null}[]} exchanges
 * @property {string[]} advice Ways to go on, the most pressing first
 * @property {string} text All of it, to paste into a report
 */
/** @typedef {{code: string, message: string, edit?: Edit, errors?: FieldError[], [more: string]: any}} Fault `code`: `rejected`, `stopped`, `storage`, `token`, or the server's */
/**
 * @typedef {object} Events What `on` tells.
 * @property {{deviceId: string}} connected
 * @property {Status} disconnected
 * @property {Message} data_updated A device's change
 * @property {Message} database_change A change written straight into the database
 * @property {SyncSummary} sync_completed
 * @property {Message} sync_triggered
 * @property {{deviceId: string}} other_device_synced
 * @property {Conflict} conflict
 * @property {{devices: Record<string, any>[]}} too_many_devices The server takes no further device until one of these is revoked
 * @property {{}} forgotten The copy was dropped, here or in another tab
 * @property {Message} presence
 * @property {Message} broadcast
 * @property {Fault} error
 */
/**
 * @template V
 * @typedef {V | null | Date | {eq?: V | null | Date, ne?: V | null | Date, gt?: V | Date, gte?: V | Date, lt?: V | Date, lte?: V | Date, between?: [V | Date, V | Date],
 *   in?: (V | null)[], startsWith?: string, contains?: V extends (infer Item)[] ? Item : string, isNull?: boolean, not?: Condition<V>}} Condition
 * What a field has to be.
 */
/** @template [T=any] @typedef {{[Field in keyof T]?: Condition<NonNullable<T[Field]>>} & {and?: Where<T>[], or?: Where<T>[], not?: Where<T>}} Where All of them have to hold. */
/** @template [T=any] @typedef {(keyof T & string) | {[Field in keyof T]?: 'asc' | 'desc'}} Order */
/** @template [T=any] @typedef {Order<T> | Order<T>[]} OrderBy */
/** @template [T=any] @typedef {(keyof T & string) | {day: keyof T & string} | {week: keyof T & string} | {month: keyof T & string}} Group */
/** @template [T=any] @typedef {Group<T> | Group<T>[]} GroupBy */
/** @template [T=any] @typedef {'count' | {sum: keyof T & string} | {avg: keyof T & string} | {min: keyof T & string} | {max: keyof T & string}} Aggregate */
/**
 * @template [T=any] @template {string} [Reference=string] The names that an `include` may have
 * @typedef {object} QuerySpec A query as a plain object.
 * @property {Where<T>} [where]
 * @property {OrderBy<T>} [orderBy]
 * @property {number} [limit]
 * @property {number} [offset]
 * @property {Record<string, Reference>} [include] Name → the field that refers to a row (`food_id`), or the field by which others refer to this one (`exercise_sets.workout_exercise_id`)
 * @property {GroupBy<T>} [groupBy]
 * @property {Record<string, Aggregate<T>>} [aggregate] With `groupBy`, or for all rows as one group; a count if there is none
 */
/**
 * @template [T=any]
 * @typedef {object} Queried A query that was made.
 * @property {() => Promise<T[]>} get
 * @property {() => Promise<T | undefined>} first
 * @property {() => Promise<number>} count
 * @property {(field: keyof T & string) => Promise<number>} sum
 * @property {(field: keyof T & string) => Promise<number | null>} avg
 * @property {(field: keyof T & string) => Promise<any>} min
 * @property {(field: keyof T & string) => Promise<any>} max
 * @property {(callback: (rows: T[], info: Info & {changed: string[]}) => void, failed?: (fault: Error) => void) => () => void} subscribe `failed` hears of a query that can't be
 */
/** @typedef {Record<string, any> | ((row: any) => boolean) | null | undefined} Query Fields that must be equal, or a test; nothing is all rows */

export {};
