import type { Bitfield } from './bitfield.ts';
import type { DownloadHome } from './download-home.ts';
import type { OpenFile } from './files.ts';

/** Half of the second that the contract gives, so that sync and write fit into the other half. */
const PERSIST_DELAY_MS = 500;

/** Persists which pieces of a download are there: what they belong to first, then their bytes, then their bits. */
export class PiecePersistence {
  readonly #home: DownloadHome;
  readonly #file: OpenFile;
  readonly #pieces: Bitfield;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> = Promise.resolve();
  #behind = false;
  /** Set for good when a sync failed: what is on disk may not be what was written. */
  #syncFailure: { readonly error: unknown } | undefined;

  constructor(deps: { home: DownloadHome; file: OpenFile; pieces: Bitfield }) {
    this.#home = deps.home;
    this.#file = deps.file;
    this.#pieces = deps.pieces;
  }

  /** A piece has been written; it is persisted soon. */
  changed(): void {
    this.#behind = true;
    this.#timer ??= setTimeout(() => void this.#flushSoon(), PERSIST_DELAY_MS).unref();
  }

  /** Persists what is not persisted yet. One after the other. */
  flush(): Promise<void> {
    const before = this.#running.catch(() => undefined);
    this.#running = before.then(() => this.#flush());
    return this.#running;
  }

  /** Syncs the bytes. Rejects for ever once it has failed. */
  async sync(): Promise<void> {
    if (this.#syncFailure !== undefined) throw this.#syncFailure.error;
    try {
      await this.#home.syncFile(this.#file);
    } catch (error) {
      this.#syncFailure = { error };
      throw error;
    }
  }

  /** Resolves when nothing is under way, and nothing is planned until the next change. */
  async pause(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    // Whoever flushed has heard of its failure.
    await this.#running.catch(() => undefined);
  }

  async #flushSoon(): Promise<void> {
    this.#timer = undefined;
    const { context, metainfo } = this.#home;
    try {
      await this.flush();
    } catch (error) {
      context.logger.warn(
        { err: error, digest: metainfo.digest },
        'cannot persist which pieces of a download are there',
      );
    }
  }

  async #flush(): Promise<void> {
    if (!this.#behind || this.#syncFailure !== undefined) return;
    this.#behind = false;
    const bitfield = this.#pieces.bytes();
    try {
      await this.#home.persistMetainfo();
      await this.sync();
      const { files, space } = this.#home.context;
      await space.onDisk('a bitfield', () => files.writeFile(this.#home.paths.bitfield, bitfield));
    } catch (error) {
      this.#behind = true;
      throw error;
    }
  }
}
