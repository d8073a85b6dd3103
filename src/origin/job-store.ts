import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import {
  ConfigError,
  type Digest,
  NoSpaceError,
  parseDigest,
  parseRepository,
  type Repository,
  UnavailableError,
} from '../core/index.ts';

/** A blob that the backend may lack. There is one job a digest. */
export interface WriteBackJob {
  readonly digest: Digest;
  /** Of the upload; `undefined` when it was not told. */
  readonly repository: Repository | undefined;
  /** Milliseconds since 1970, as all times here. */
  readonly createdAtMs: number;
  /** Not to be tried before. */
  readonly notBeforeMs: number;
  /** Tries that failed. */
  readonly attempts: number;
  readonly lastError: string | undefined;
  /** Advances each time the job is added again, so that a run that began before does not end the later one. */
  readonly generation: number;
}

/** What a caller of {@link JobStore.add} tells. */
export interface NewJob {
  readonly digest: Digest;
  readonly repository: Repository | undefined;
  readonly nowMs: number;
  readonly notBeforeMs: number;
}

/** The queue of write-backs, on disk. */
export interface JobStore {
  /**
   * Adds a job; resolves once it would survive a power failure. For one that is there the earlier time counts.
   * @throws NoSpaceError when the disk is full; UnavailableError when it fails otherwise, or the store is closed
   */
  add(job: NewJob): Promise<void>;
  has(digest: Digest): boolean;
  /** Jobs that may be tried at `nowMs`, longest waiting first. */
  due(nowMs: number, limit: number): WriteBackJob[];
  /** When the next job may be tried of those that may not yet at `nowMs`. */
  findNextDueMs(nowMs: number): number | undefined;
  /** Ends a job, unless it was added again meanwhile. @returns whether it is gone */
  finish(job: WriteBackJob): boolean;
  /** Puts a job off after a failure. */
  postpone(job: WriteBackJob, notBeforeMs: number, error: string): void;
  summary(): { readonly jobs: number; readonly oldestCreatedAtMs: number | undefined };
  /** Nothing may be called afterwards. */
  close(): void;
}

/** Version of the tables, in the file's `user_version`. */
const SCHEMA_VERSION = 1;
const KIND = 'write-back';
/** The queue's bound: room for some millions of jobs; their blobs fill the disk long before. */
const MAX_BYTES = 1024 ** 3;

const SCHEMA = `
  CREATE TABLE jobs (
    kind TEXT NOT NULL,
    digest TEXT NOT NULL,
    repository TEXT,
    created_at INTEGER NOT NULL,
    not_before INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    last_error TEXT,
    generation INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (kind, digest)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX jobs_by_time ON jobs (kind, not_before);
  PRAGMA user_version = ${SCHEMA_VERSION};
`;

const ADD = `
  INSERT INTO jobs (kind, digest, repository, created_at, not_before) VALUES (?, ?, ?, ?, ?)
  ON CONFLICT (kind, digest) DO UPDATE SET
    repository = coalesce(excluded.repository, repository),
    not_before = min(not_before, excluded.not_before),
    generation = generation + 1
`;

interface Waiting {
  readonly job: NewJob;
  readonly done: PromiseWithResolvers<void>;
}

/** A {@link JobStore} in one SQLite file. Jobs that are added in one turn of the event loop share one sync of the disk. */
export class SqliteJobStore implements JobStore {
  readonly #database: DatabaseSync;
  readonly #add: StatementSync;
  #waiting: Waiting[] = [];

  private constructor(database: DatabaseSync) {
    this.#database = database;
    this.#add = database.prepare(ADD);
  }

  /**
   * Opens the file, or makes it with its folder; the caller closes the store.
   * @throws ConfigError when the file is none of this version, or cannot be read as a database
   */
  static async open(file: string, { maxBytes = MAX_BYTES } = {}): Promise<SqliteJobStore> {
    await mkdir(dirname(file), { recursive: true, mode: 0o700 });
    const database = new DatabaseSync(file, { timeout: 5_000 });
    try {
      prepareDatabase(database, file, maxBytes);
      return new SqliteJobStore(database);
    } catch (cause) {
      database.close();
      if (cause instanceof ConfigError) throw cause;
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new ConfigError(
        `the write-back queue ${file} cannot be opened: ${reason}; move it away to begin a new one, ` +
          'which is filled from the blobs that are pinned for write-back',
        { file },
        { cause },
      );
    }
  }

  add(job: NewJob): Promise<void> {
    const done = Promise.withResolvers<void>();
    if (this.#waiting.push({ job, done }) === 1) setImmediate(() => this.#flush());
    return done.promise;
  }

  has(digest: Digest): boolean {
    return this.#database.prepare('SELECT 1 FROM jobs WHERE kind = ? AND digest = ?').get(KIND, digest) !== undefined;
  }

  due(nowMs: number, limit: number): WriteBackJob[] {
    const rows = this.#database
      .prepare('SELECT * FROM jobs WHERE kind = ? AND not_before <= ? ORDER BY not_before, digest LIMIT ?')
      .all(KIND, nowMs, limit);
    return rows.map(readRow);
  }

  findNextDueMs(nowMs: number): number | undefined {
    const row = this.#database
      .prepare('SELECT min(not_before) AS next FROM jobs WHERE kind = ? AND not_before > ?')
      .get(KIND, nowMs);
    return typeof row?.['next'] === 'number' ? row['next'] : undefined;
  }

  finish({ digest, generation }: WriteBackJob): boolean {
    this.#database
      .prepare('DELETE FROM jobs WHERE kind = ? AND digest = ? AND generation = ?')
      .run(KIND, digest, generation);
    return !this.has(digest);
  }

  postpone({ digest }: WriteBackJob, notBeforeMs: number, error: string): void {
    this.#database
      .prepare('UPDATE jobs SET attempts = attempts + 1, not_before = ?, last_error = ? WHERE kind = ? AND digest = ?')
      .run(Math.ceil(notBeforeMs), error, KIND, digest);
  }

  summary(): { jobs: number; oldestCreatedAtMs: number | undefined } {
    const row = this.#database
      .prepare('SELECT count(*) AS jobs, min(created_at) AS oldest FROM jobs WHERE kind = ?')
      .get(KIND);
    return { jobs: Number(row?.['jobs']), oldestCreatedAtMs: (row?.['oldest'] as number | null) ?? undefined };
  }

  close(): void {
    this.#flush();
    this.#database.close();
  }

  /** One transaction, so one sync, for all that wait. */
  #flush(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    if (waiting.length === 0) return;
    try {
      this.#database.exec('BEGIN IMMEDIATE');
      for (const { job } of waiting) {
        this.#add.run(KIND, job.digest, job.repository ?? null, Math.floor(job.nowMs), Math.ceil(job.notBeforeMs));
      }
      this.#database.exec('COMMIT');
    } catch (cause) {
      this.#rollBack();
      const error = addError(cause);
      for (const { done } of waiting) done.reject(error);
      return;
    }
    for (const { done } of waiting) done.resolve();
  }

  #rollBack(): void {
    try {
      if (this.#database.isOpen && this.#database.isTransaction) this.#database.exec('ROLLBACK');
    } catch {
      // SQLite has rolled back by itself, as it does when the disk is full; the first error is the one that counts.
    }
  }
}

/** SQLITE_FULL, https://sqlite.org/rescode.html#full */
const DISK_FULL = 13;

function addError(cause: unknown): NoSpaceError | UnavailableError {
  const { errcode, message } = cause as { errcode?: number; message?: string };
  const text = `the write-back queue does not take a job: ${message ?? String(cause)}`;
  return errcode === DISK_FULL ? new NoSpaceError(text, {}, { cause }) : new UnavailableError(text, {}, { cause });
}

function prepareDatabase(database: DatabaseSync, file: string, maxBytes: number): void {
  // FULL in WAL mode syncs the log at each commit: a job that was acknowledged survives a power failure.
  database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;');
  const { page_size: pageBytes } = database.prepare('PRAGMA page_size').get() as { page_size: number };
  database.exec(`PRAGMA max_page_count = ${Math.ceil(maxBytes / pageBytes)}`);
  const version = Number(database.prepare('PRAGMA user_version').get()?.['user_version']);
  if (version === 0) database.exec(`BEGIN; ${SCHEMA} COMMIT;`);
  else if (version !== SCHEMA_VERSION) {
    throw new ConfigError(
      `the write-back queue ${file} has version ${version}, expected ${SCHEMA_VERSION}: another version of Shoal wrote it`,
      { file, version },
    );
  }
}

function readRow(row: Record<string, unknown>): WriteBackJob {
  const repository = row['repository'];
  const lastError = row['last_error'];
  return {
    digest: parseDigest(String(row['digest'])),
    repository: typeof repository === 'string' ? parseRepository(repository) : undefined,
    createdAtMs: Number(row['created_at']),
    notBeforeMs: Number(row['not_before']),
    attempts: Number(row['attempts']),
    lastError: typeof lastError === 'string' ? lastError : undefined,
    generation: Number(row['generation']),
  };
}
