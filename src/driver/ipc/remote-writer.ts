import { StorageUnavailableError, WriterClosedError } from '../errors.ts';
import type { FileWriter } from '../storage-driver.ts';
import type { DriverCall } from './connection.ts';
import { callProgram, type DriverProgram } from './program.ts';
import { readWriterState, type WriterState } from './protocol.ts';

/** No shorter than this, whatever a driver declares. */
const SHORTEST_TOUCH_MS = 1000;

/**
 * Bytes that are sent by one request. A request takes as long as some 100 KiB on their way; every writer at work holds twice as
 * much, since one part is on its way while the next is gathered.
 */
const PART_BYTES = 1024 * 1024;

/**
 * A writer in a driver program. The calls come in order, `OrderedWriter` sees to that. It is lost with the program; what was
 * written since it was opened is lost with it then, unless the driver keeps it all the same. Bytes are gathered here, and sent
 * while the next are gathered, so that a write that the program refuses is told by a later call, `commit` or `close` at the latest.
 */
export class RemoteWriter implements FileWriter {
  readonly #program: DriverProgram;
  readonly #driverName: string;
  readonly #path: string;
  readonly #id: string;
  readonly #touching: NodeJS.Timeout | undefined;
  /** Bytes that the program has. */
  #sentBytes: number;
  /** Those, and the ones that are here or on their way. */
  #size: number;
  /** Bytes on their way; resolves when the program has them. */
  #sending: Promise<void> | undefined;
  /** Where the next bytes are gathered, and how many there are. */
  #part: Buffer | undefined;
  #partBytes = 0;
  /** The memory of the part before, once the program has that. */
  #spare: Buffer | undefined;
  #revision: string | undefined;
  /** Whether the program has forgotten it, as it should after a commit or cancel. */
  #isOver = false;

  constructor(options: {
    readonly program: DriverProgram;
    readonly driverName: string;
    readonly path: string;
    readonly id: string;
    readonly state: WriterState;
  }) {
    this.#program = options.program;
    this.#driverName = options.driverName;
    this.#path = options.path;
    this.#id = options.id;
    this.#sentBytes = options.state.size;
    this.#size = options.state.size;
    this.#revision = options.state.revision;
    this.#touching = this.#touchOftenEnough();
  }

  get size(): number {
    return this.#size;
  }

  get revision(): string | undefined {
    return this.#revision;
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let offset = 0; offset < bytes.length; ) {
      // Not from the shared pool, which would be held whole.
      this.#part ??= this.#spare ?? Buffer.allocUnsafeSlow(PART_BYTES);
      this.#spare = undefined;
      const taken = bytes.subarray(offset, offset + PART_BYTES - this.#partBytes);
      this.#part.set(taken, this.#partBytes);
      this.#partBytes += taken.length;
      this.#size += taken.length;
      offset += taken.length;
      if (this.#partBytes === PART_BYTES) await this.#sendPart();
    }
  }

  async commit(): Promise<void> {
    await this.#flush();
    await this.#call({ method: 'POST', call: `writers/${this.#id}/commit` });
    this.#end();
  }

  async cancel(): Promise<void> {
    this.#partBytes = 0;
    // What became of them does not matter any more, but the next call must not overtake them.
    await this.#sending?.catch(() => undefined);
    this.#sending = undefined;
    this.#size = 0;
    await this.#call({ method: 'DELETE', call: `writers/${this.#id}` });
    this.#end();
  }

  async close(): Promise<void> {
    if (this.#isOver) return;
    this.#end();
    try {
      await this.#flush();
    } finally {
      await this.#call({ method: 'POST', call: `writers/${this.#id}/close` });
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Waits until the program has everything. @throws what it said to a part; the bytes from there on are given up */
  async #flush(): Promise<void> {
    if (this.#partBytes > 0) await this.#sendPart();
    await this.#settle();
  }

  /** Sends what is gathered, behind what is on its way. @throws what became of that */
  async #sendPart(): Promise<void> {
    await this.#settle();
    const memory = this.#part;
    if (memory === undefined) return;
    const bytes = this.#partBytes;
    this.#part = undefined;
    this.#partBytes = 0;
    this.#sending = this.#append(memory.subarray(0, bytes)).then(() => {
      this.#spare = memory;
    });
    // Whoever calls next is told.
    this.#sending.catch(() => undefined);
  }

  async #settle(): Promise<void> {
    try {
      await this.#sending;
    } catch (error) {
      // How many bytes have come is not known; they must not be sent again, and those behind have nothing to be behind of.
      this.#partBytes = 0;
      this.#size = this.#sentBytes;
      throw error;
    } finally {
      this.#sending = undefined;
    }
  }

  async #append(bytes: Uint8Array): Promise<void> {
    await this.#call({
      method: 'PATCH',
      call: `writers/${this.#id}`,
      headers: { 'x-offset': String(this.#sentBytes), 'content-type': 'application/octet-stream' },
      body: bytes,
      isStream: true,
    });
  }

  #end(): void {
    this.#isOver = true;
    clearInterval(this.#touching);
  }

  async #call(call: Omit<DriverCall, 'path'>): Promise<void> {
    try {
      const path = this.#path;
      const state = await callProgram(this.#program, path, undefined, (connection) =>
        connection.json({ ...call, path }, readWriterState),
      );
      this.#sentBytes = state.size;
      this.#revision = state.revision;
    } catch (error) {
      if (!(error instanceof WriterClosedError)) throw error;
      // It was not closed here, so that it has gone over there: with its program, or because nobody called it for too long.
      const message = `the driver program has lost the writer: it was started again, or has closed it for being idle; what was not closed may be missing`;
      throw new StorageUnavailableError(this.#driverName, this.#path, message, { cause: error });
    }
  }

  /** A writer that waits for its client is still wanted; the program closes those that nobody asks for. */
  #touchOftenEnough(): NodeJS.Timeout | undefined {
    const { writerIdleSeconds } = this.#program.info;
    if (writerIdleSeconds === undefined) return undefined;
    const touch = async () => {
      const connection = await this.#program.connect(this.#path, undefined);
      await connection.done({ method: 'GET', call: `writers/${this.#id}`, path: this.#path });
    };
    const everyMs = Math.max(SHORTEST_TOUCH_MS, (writerIdleSeconds * 1000) / 3);
    // Whatever is wrong, the next call of the writer says it.
    return setInterval(() => void touch().catch(() => undefined), Math.min(everyMs, 2 ** 31 - 1)).unref();
  }
}
