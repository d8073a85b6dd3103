import type { StoreContext } from './context.ts';
import { type FileTimes, isMissing } from './files.ts';

/** A kill or power failure may forget this much of the order of use. */
const FLUSH_INTERVAL_MS = 60_000;

/** A file whose times say when something was last used. */
export interface UsedFile {
  readonly path: string;
  /** The times that it should have, as of now. */
  times(): FileTimes;
}

/**
 * Writes the order of use to disk, lazily: uses are collected in memory and set as times of files once a minute and at close.
 * Not left to the file system, because most are mounted with `relatime`, which records a use a day, or `noatime`.
 */
export class UseTimes {
  readonly #context: StoreContext;
  /** At most one entry a blob or download. */
  readonly #unwritten = new Set<UsedFile>();
  readonly #timer: NodeJS.Timeout;

  private constructor(context: StoreContext) {
    this.#context = context;
    this.#timer = setInterval(() => void this.flush(), FLUSH_INTERVAL_MS).unref();
  }

  /** Begins the timer; `stop` ends it. */
  static start(context: StoreContext): UseTimes {
    return new UseTimes(context);
  }

  used(file: UsedFile): void {
    this.#unwritten.add(file);
  }

  forget(file: UsedFile): void {
    this.#unwritten.delete(file);
  }

  async flush(): Promise<void> {
    const files = [...this.#unwritten];
    this.#unwritten.clear();
    for (const file of files) {
      try {
        await this.#context.ops.setTimes(file.path, file.times());
      } catch (error) {
        // The order of use is a hint: what matters is that a disk which fails is seen.
        if (!isMissing(error)) this.#context.logger.warn({ err: error, path: file.path }, 'cannot record a use');
      }
    }
  }

  /** Writes what is left and ends the timer. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.flush();
  }
}
