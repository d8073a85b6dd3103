import { EarlySync, KeyedMutex, UnavailableError, UploadNotFoundError } from '../core/index.ts';
import type { UploadWriter } from './ca-store.ts';
import type { StoreContext } from './context.ts';
import { type OpenFile, writeAll } from './files.ts';
import type { RunningHashes } from './running-hashes.ts';

/** An upload, as memory knows it. */
export interface UploadEntry {
  readonly id: string;
  sizeBytes: number;
  modifiedAtMs: number;
  writer?: FileUploadWriter | undefined;
}

interface WriterDeps {
  readonly context: StoreContext;
  readonly hashes: RunningHashes;
  readonly entry: UploadEntry;
  readonly file: OpenFile;
  /** Removes the upload, because its bytes cannot be trusted any more. */
  readonly discard: () => Promise<void>;
}

/** {@link UploadWriter} on a file. */
export class FileUploadWriter implements UploadWriter {
  readonly #deps: WriterDeps;
  /** Writes, and the close behind them, one after the other. */
  readonly #turn = new KeyedMutex();
  readonly #earlySync: EarlySync;
  #state: 'open' | 'closed' | 'cancelled' = 'open';

  /** The entry names this writer until it is closed. */
  constructor(deps: WriterDeps) {
    this.#deps = deps;
    this.#earlySync = new EarlySync(() => deps.file.sync());
    deps.entry.writer = this;
    deps.context.openThings.add(this);
  }

  get sizeBytes(): number {
    return this.#deps.entry.sizeBytes;
  }

  async write(bytes: Uint8Array): Promise<void> {
    await this.#turn.run('', () => this.#append(bytes));
  }

  async close(): Promise<void> {
    await this.#turn.run('', async () => {
      if (this.#state !== 'open') return;
      this.#state = 'closed';
      try {
        await this.#finish();
      } catch (error) {
        await this.#deps.discard();
        throw this.#deps.context.space.explain(this.#what(), error);
      } finally {
        this.#leave();
      }
    });
  }

  /** Lets go of the file of an upload that is being removed: later writes fail. */
  async cancel(): Promise<void> {
    await this.#turn.run('', async () => {
      if (this.#state !== 'open') return;
      this.#state = 'cancelled';
      this.#leave();
      await this.#earlySync.settled().catch(() => undefined); // Nobody wants the bytes any more.
      await this.#deps.file.close();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #append(bytes: Uint8Array): Promise<void> {
    const { context, hashes, entry, file } = this.#deps;
    this.#checkOpen();
    const position = entry.sizeBytes;
    await context.space.take(bytes.length, this.#what());
    try {
      await context.space.onDisk(this.#what(), () => writeAll(file, bytes, position));
    } catch (error) {
      // What got to the disk lies past the end, where `#finish` cuts it off, or the next write goes over it.
      context.space.give(bytes.length);
      throw error;
    }
    this.#earlySync.wrote(bytes.length);
    hashes.update(entry.id, bytes);
    entry.sizeBytes += bytes.length;
    entry.modifiedAtMs = context.clock.nowMs();
  }

  async #finish(): Promise<void> {
    const { entry, file } = this.#deps;
    try {
      if ((await file.sizeBytes()) !== entry.sizeBytes) await file.truncate(entry.sizeBytes);
      await this.#earlySync.settled();
      await file.sync();
    } finally {
      await this.#earlySync.settled().catch(() => undefined); // Asked above, or something has failed before.
      await file.close();
    }
  }

  #leave(): void {
    this.#deps.entry.writer = undefined;
    this.#deps.context.openThings.delete(this);
  }

  #checkOpen(): void {
    if (this.#state === 'open') return;
    const { id } = this.#deps.entry;
    if (this.#state === 'cancelled') throw new UploadNotFoundError(`upload ${id} was cancelled`, { id });
    throw new UnavailableError(`the writer of upload ${id} is closed: open another one with resume`, { id });
  }

  #what(): string {
    return `upload ${this.#deps.entry.id}`;
  }
}
