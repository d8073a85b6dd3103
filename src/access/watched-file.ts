import { readFile, stat } from 'node:fs/promises';
import type { Logger } from 'pino';
import { AppError, type Clock, ConfigError } from '../core/index.ts';

/** What a file is read as, and how. */
export interface WatchedFileOptions<T> {
  readonly file: string;
  /** Named in errors, such as `access.htpasswd.file`. */
  readonly setting: string;
  /** @throws ConfigError when the text is none of its kind */
  readonly parse: (text: string) => T;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Looked at no more often than this; 1000 unless told. */
  readonly checkEveryMs?: number;
}

const CHECK_EVERY_MS = 1000;
const MAX_BYTES = 4 * 1024 * 1024;
const WORLD_WRITABLE = 0o002;
/** A file that changes while it is read is read again, this often. */
const ATTEMPTS = 3;

/**
 * A file whose content follows its changes. It is looked at when somebody asks, so that nothing runs while nobody does, and
 * nothing has to be closed. A changed file that cannot be used is logged once, and the former content stays.
 */
export class WatchedFile<T> {
  readonly #options: WatchedFileOptions<T>;
  #content: T;
  /** The state of the file that was read last, whether or not it could be used. */
  #seen: string;
  #checkedMs: number;
  #check: Promise<void> | undefined;

  private constructor(options: WatchedFileOptions<T>, { content, state }: FileContent<T>) {
    this.#options = options;
    this.#content = content;
    this.#seen = state;
    this.#checkedMs = options.clock.monotonicMs();
  }

  /** Reads the file for the first time. @throws ConfigError when it cannot be used */
  static async open<T>(options: WatchedFileOptions<T>): Promise<WatchedFile<T>> {
    return new WatchedFile(options, await readContent(options));
  }

  /** What is in the file, as of a second ago at most. Never rejects. */
  async current(): Promise<T> {
    const { clock, checkEveryMs = CHECK_EVERY_MS } = this.#options;
    return clock.monotonicMs() - this.#checkedMs < checkEveryMs ? this.#content : this.latest();
  }

  /** What is in the file now. Never rejects. */
  async latest(): Promise<T> {
    this.#check ??= this.#look().finally(() => {
      this.#check = undefined;
      this.#checkedMs = this.#options.clock.monotonicMs();
    });
    await this.#check;
    return this.#content;
  }

  async #look(): Promise<void> {
    const { logger, file, setting } = this.#options;
    const state = await stateOf(this.#options);
    if (state === this.#seen) return;
    try {
      const read = await readContent(this.#options);
      this.#content = read.content;
      this.#seen = read.state;
      logger.info({ file }, `${setting} has changed and was read again`);
    } catch (error) {
      this.#seen = state;
      logger.error({ err: error, file }, `${setting} has changed and cannot be used; the former content stays`);
    }
  }
}

interface FileContent<T> {
  readonly content: T;
  readonly state: string;
}

async function readContent<T>(options: WatchedFileOptions<T>): Promise<FileContent<T>> {
  const { file, setting, parse } = options;
  try {
    for (let attempt = 1; ; attempt += 1) {
      const state = await stateOf(options);
      const text = await readText(options);
      if (attempt < ATTEMPTS && state !== (await stateOf(options))) continue;
      return { content: parse(text), state };
    }
  } catch (cause) {
    if (cause instanceof AppError) throw cause;
    const { code } = cause as NodeJS.ErrnoException;
    throw new ConfigError(`${setting}: cannot read ${file}: ${code ?? String(cause)}`, { file }, { cause });
  }
}

async function readText<T>({ file, setting }: WatchedFileOptions<T>): Promise<string> {
  const { size, mode } = await stat(file);
  if ((mode & WORLD_WRITABLE) !== 0) {
    throw new ConfigError(`${setting}: everybody can write to ${file}: chmod o-w ${file}`, { file });
  }
  if (size > MAX_BYTES) {
    throw new ConfigError(`${setting}: ${file} has ${size} bytes, expected ${MAX_BYTES} at most`, { file });
  }
  return readFile(file, 'utf8');
}

/** Differs whenever the file does, also when another one was put in its place. */
async function stateOf<T>({ file }: WatchedFileOptions<T>): Promise<string> {
  try {
    const { ino, size, mtimeNs, ctimeNs } = await stat(file, { bigint: true });
    return `${ino} ${size} ${mtimeNs} ${ctimeNs}`;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  }
}
