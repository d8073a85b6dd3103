import { randomUUID } from 'node:crypto';
import { countShortLivedBytes } from '../../core/index.ts';
import { ConflictError, StorageUnavailableError, WriterClosedError } from '../errors.ts';
import type { FileWriter } from '../storage-driver.ts';
import type { WriterState } from './protocol.ts';

/** Writers at a time; each holds a file or a part of an upload. */
const MAX_WRITERS = 10_000;

/** Bytes of a write to the driver. */
const PART_BYTES = 256 * 1024;

interface Entry {
  readonly writer: FileWriter;
  readonly path: string;
  /** The call before; the next one waits for it. */
  tail: Promise<unknown>;
  calls: number;
  timer: NodeJS.Timeout | undefined;
}

/**
 * The writers that clients have opened, by the ids that they call them by. One that nobody calls for a while is closed, which
 * keeps its bytes: its client has gone, and whoever goes on with them must not be kept out for ever.
 */
export class ServedWriters {
  readonly #driverName: string;
  readonly #idleMs: number;
  readonly #entries = new Map<string, Entry>();

  constructor(driverName: string, idleMs: number) {
    this.#driverName = driverName;
    this.#idleMs = idleMs;
  }

  /** @throws StorageUnavailableError when there are too many */
  requireRoom(path: string): void {
    if (this.#entries.size < MAX_WRITERS) return;
    throw new StorageUnavailableError(this.#driverName, path, `${MAX_WRITERS} writers are open already`);
  }

  add(writer: FileWriter, path: string): WriterState {
    const id = randomUUID();
    const entry: Entry = { writer, path, tail: Promise.resolve(), calls: 0, timer: undefined };
    this.#entries.set(id, entry);
    this.#startClock(id, entry);
    return { id, ...stateOf(writer) };
  }

  /** Where a writer stands; it counts as a call. @throws WriterClosedError */
  look(id: string): Promise<WriterState> {
    return this.#call(id, async () => undefined);
  }

  /** Appends what the chunks hold at `offset`, which has to be where the writer stands. @throws ConflictError when it is not */
  write(id: string, offset: number, chunks: AsyncIterable<Uint8Array>): Promise<WriterState> {
    return this.#call(id, async ({ writer, path }) => {
      if (writer.size !== offset) {
        throw new ConflictError(this.#driverName, path, `the writer is at byte ${writer.size}, expected ${offset}`);
      }
      await writeGathered(writer, chunks);
    });
  }

  /** Ends a writer that succeeds in it; after an error it can still be closed or cancelled. */
  commit(id: string): Promise<WriterState> {
    return this.#call(id, async ({ writer }) => {
      await writer.commit();
      this.#forget(id);
      await writer.close();
    });
  }

  cancel(id: string): Promise<WriterState> {
    return this.#call(id, async ({ writer }) => {
      this.#forget(id);
      await writer.cancel().finally(() => writer.close());
    });
  }

  close(id: string): Promise<WriterState> {
    return this.#call(id, async ({ writer }) => {
      this.#forget(id);
      await writer.close();
    });
  }

  /** Closes all, which keeps their bytes. */
  async closeAll(): Promise<void> {
    await Promise.allSettled([...this.#entries.keys()].map((id) => this.close(id)));
  }

  async #call(id: string, work: (entry: Entry) => Promise<void>): Promise<WriterState> {
    const entry = this.#entries.get(id);
    if (entry === undefined) throw new WriterClosedError(this.#driverName, '/', `gone, or was never here (${id})`);
    clearTimeout(entry.timer);
    entry.calls += 1;
    const result = entry.tail.then(async () => {
      if (!this.#entries.has(id)) throw new WriterClosedError(this.#driverName, entry.path, 'closed by a call before');
      await work(entry);
      return stateOf(entry.writer);
    });
    // The caller has the error; the next call only has to wait.
    entry.tail = result.catch(() => undefined);
    try {
      return await result;
    } finally {
      entry.calls -= 1;
      if (entry.calls === 0 && this.#entries.has(id)) this.#startClock(id, entry);
    }
  }

  #startClock(id: string, entry: Entry): void {
    // What goes wrong with it is nobody's any more, and the bytes are as they would be after a crash.
    entry.timer = setTimeout(() => void this.close(id).catch(() => undefined), this.#idleMs).unref();
  }

  #forget(id: string): void {
    clearTimeout(this.#entries.get(id)?.timer);
    this.#entries.delete(id);
  }
}

function stateOf({ size, revision }: FileWriter): WriterState {
  return revision === undefined ? { size } : { size, revision };
}

/**
 * Writes what the chunks hold in parts, the next of which is gathered while one is being written: a socket gives 64 KiB at a
 * time, and a write to a disk takes little longer for more.
 */
async function writeGathered(writer: FileWriter, chunks: AsyncIterable<Uint8Array>): Promise<void> {
  let part = Buffer.allocUnsafeSlow(PART_BYTES);
  let spare = Buffer.allocUnsafeSlow(PART_BYTES);
  let length = 0;
  let writing = Promise.resolve();
  const send = async () => {
    await writing;
    writing = writer.write(part.subarray(0, length));
    // Whoever waits for it next is told.
    writing.catch(() => undefined);
    [part, spare] = [spare, part];
    length = 0;
  };
  try {
    for await (const chunk of chunks) {
      for (let offset = 0; offset < chunk.length; ) {
        const taken = chunk.subarray(offset, offset + PART_BYTES - length);
        part.set(taken, length);
        length += taken.length;
        offset += taken.length;
        if (length === PART_BYTES) await send();
      }
      countShortLivedBytes(chunk.length);
    }
    if (length > 0) await send();
  } finally {
    countShortLivedBytes(2 * PART_BYTES);
    await writing;
  }
}
