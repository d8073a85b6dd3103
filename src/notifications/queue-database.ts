import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { AppError, ConfigError } from '../core/index.ts';

/** Version of the tables, in the file's `user_version`. */
const SCHEMA_VERSION = 1;

const SCHEMA = `
  CREATE TABLE endpoints (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
  PRAGMA user_version = ${SCHEMA_VERSION};
`;

/** How long a start waits for the process before it to let go of the file. */
const LOCK_TIMEOUT_MS = 2_000;
const SQLITE_ERROR = 1;

/** One endpoint's table, with what is known of it by heart. */
export interface Lane {
  events: number;
  bytes: number;
  nextSeq: number;
  /** Up to here everything has been delivered, though perhaps not deleted: a full disk refuses that too. */
  doneSeq: number;
  readonly insert: StatementSync;
  readonly oldest: StatementSync;
  readonly read: StatementSync;
  readonly sum: StatementSync;
  readonly remove: StatementSync;
  readonly firstSince: StatementSync;
}

/** SQLite has found damage, and says so in a result instead of an error. */
class DamagedQueueError extends AppError {
  readonly code = 'QUEUE_DAMAGED';
}

/** What an error of SQLite means for the queue; `undefined` when it is none. https://sqlite.org/rescode.html */
export function sqliteFault(error: unknown): 'damaged' | 'full' | 'busy' | 'other' | undefined {
  if (error instanceof DamagedQueueError) return 'damaged';
  const { errcode } = error as { errcode?: unknown };
  if (typeof errcode !== 'number') return undefined;
  // The upper bytes say more of the same.
  switch (errcode & 0xff) {
    case 11: // SQLITE_CORRUPT
    case 26: // SQLITE_NOTADB
      return 'damaged';
    case 10: // SQLITE_IOERR: a quota, or a disk that fails; it may pass
    case 13: // SQLITE_FULL
      return 'full';
    case 5: // SQLITE_BUSY
      return 'busy';
    default:
      return 'other';
  }
}

/**
 * Opens the file, or makes it, and hands it to `use`; when that fails the file is closed again. It is locked until then:
 * no other process can open it.
 * @throws ConfigError when another version has made it; SQLite's errors when it is damaged, in use, or out of reach
 */
export function openQueueDatabase<T>(
  file: string,
  maxFileBytes: number | undefined,
  use: (database: DatabaseSync) => T,
): T {
  const database = new DatabaseSync(file, { timeout: LOCK_TIMEOUT_MS });
  try {
    prepareDatabase(database, file, maxFileBytes);
    return use(database);
  } catch (cause) {
    database.close();
    // The statements are always the same: where they do not fit, the tables are not those of a queue.
    if ((cause as { errcode?: unknown }).errcode !== SQLITE_ERROR) throw cause;
    throw new DamagedQueueError(`the notification queue ${file} does not have its tables`, { file }, { cause });
  }
}

function prepareDatabase(database: DatabaseSync, file: string, maxFileBytes: number | undefined): void {
  // EXCLUSIVE before the first read keeps every other process out, and spares the shared memory of WAL mode.
  database.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;');
  if (maxFileBytes !== undefined) {
    const { page_size: pageBytes } = database.prepare('PRAGMA page_size').get() as { page_size: number };
    database.exec(`PRAGMA max_page_count = ${Math.ceil(maxFileBytes / pageBytes)}`);
  }
  const version = Number(database.prepare('PRAGMA user_version').get()?.['user_version']);
  if (version === 0) database.exec(`BEGIN IMMEDIATE; ${SCHEMA} COMMIT;`);
  else if (version !== SCHEMA_VERSION) {
    throw new ConfigError(
      `the notification queue ${file} has version ${version}, expected ${SCHEMA_VERSION}: another version of Shoal wrote ` +
        'it; run that one until it is empty, or move it away',
      { file, version },
    );
  }
  const check = database.prepare('PRAGMA quick_check(1)').get()?.['quick_check'];
  if (check !== 'ok')
    throw new DamagedQueueError(`the notification queue ${file} is damaged: ${String(check)}`, { file });
}

/** Removes the tables of all endpoints but these. @returns those that were removed, with how many events they had */
export function forgetOthers(database: DatabaseSync, endpoints: readonly string[]): Map<string, number> {
  const forgotten = new Map<string, number>();
  for (const { id, name } of database.prepare('SELECT id, name FROM endpoints').all()) {
    if (endpoints.includes(String(name))) continue;
    const row = database.prepare(`SELECT count(*) AS events FROM events_${Number(id)}`).get();
    database.exec(`BEGIN; DROP TABLE events_${Number(id)}; DELETE FROM endpoints WHERE id = ${Number(id)}; COMMIT;`);
    forgotten.set(String(name), Number(row?.['events']));
  }
  return forgotten;
}

/** The table of an endpoint, made where it is missing. */
export function openLane(database: DatabaseSync, name: string): Lane {
  const find = database.prepare('SELECT id FROM endpoints WHERE name = ?');
  let id = find.get(name)?.['id'];
  if (id === undefined) {
    id = Number(database.prepare('SELECT coalesce(max(id), 0) + 1 AS id FROM endpoints').get()?.['id']);
    database.exec('BEGIN IMMEDIATE');
    database.prepare('INSERT INTO endpoints (id, name) VALUES (?, ?)').run(Number(id), name);
    database.exec(
      `CREATE TABLE events_${id} (seq INTEGER PRIMARY KEY, created_at INTEGER NOT NULL, event TEXT NOT NULL) STRICT; COMMIT`,
    );
  }
  const table = `events_${Number(id)}`;
  const summary = database
    .prepare(
      `SELECT count(*) AS events, coalesce(sum(octet_length(event)), 0) AS bytes, coalesce(max(seq), 0) AS last FROM ${table}`,
    )
    .get();
  return {
    events: Number(summary?.['events']),
    bytes: Number(summary?.['bytes']),
    nextSeq: Number(summary?.['last']) + 1,
    doneSeq: 0,
    insert: database.prepare(`INSERT INTO ${table} (seq, created_at, event) VALUES (?, ?, ?)`),
    oldest: database.prepare(`SELECT seq, octet_length(event) AS bytes FROM ${table} ORDER BY seq`),
    read: database.prepare(`SELECT seq, created_at, event FROM ${table} WHERE seq > ? ORDER BY seq LIMIT ?`),
    sum: database.prepare(
      `SELECT count(*) AS events, coalesce(sum(octet_length(event)), 0) AS bytes FROM ${table} WHERE seq <= ?`,
    ),
    remove: database.prepare(`DELETE FROM ${table} WHERE seq <= ?`),
    firstSince: database.prepare(`SELECT seq FROM ${table} WHERE created_at >= ? ORDER BY seq LIMIT 1`),
  };
}
