import { StorageUnavailableError, WriterClosedError } from '../errors.ts';
import type { FileWriter } from '../storage-driver.ts';
import type { DriverCall } from './connection.ts';
import { callProgram, type DriverProgram } from './program.ts';
import { readWriterState, type WriterState } from './protocol.ts';

/** No shorter than this, whatever a driver declares. */
const SHORTEST_TOUCH_MS = 1000;

/**
 * Bytes of small writes that are sent by one request. A request takes as long as 100 KiB or more on their way, so that writes of
 * 64 KiB go up to twice as fast together, and those of 4 KiB ten times; more than this would make little difference, and every
 * open writer may hold as much.
 */
const GATHERED_BYTES = 256 * 1024;

/**
 * A writer in a driver program. The calls come in order, `OrderedWriter` sees to that. It is lost with the program; what was
 * written since it was opened is lost with it then, unless the driver keeps it all the same. Small writes are gathered here
 * before they are sent, so that a write that the program refuses may be told by the next call.
 */
export class RemoteWriter implements FileWriter {
  readonly #program: DriverProgram;
  readonly #driverName: string;
  readonly #path: string;
  readonly #id: string;
  readonly #touching: NodeJS.Timeout | undefined;
  /** Bytes that the program has. */
  #sentBytes: number;
  /** Bytes that are still here, at the beginning of `#gathered`. */
  #waitingBytes = 0;
  #gathered: Buffer | undefined;
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
    this.#revision = options.state.revision;
    this.#touching = this.#touchOftenEnough();
  }

  get size(): number {
    return this.#sentBytes + this.#waitingBytes;
  }

  get revision(): string | undefined {
    return this.#revision;
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (this.#waitingBytes + bytes.length > GATHERED_BYTES) await this.#sendGathered();
    if (bytes.length > GATHERED_BYTES) {
      await this.#append(bytes);
      return;
    }
    // Copied: the caller may use theirs again. Not from the shared pool, which would be held whole.
    this.#gathered ??= Buffer.allocUnsafeSlow(GATHERED_BYTES);
    this.#gathered.set(bytes, this.#waitingBytes);
    this.#waitingBytes += bytes.length;
  }

  async commit(): Promise<void> {
    await this.#sendGathered();
    await this.#call({ method: 'POST', call: `writers/${this.#id}/commit` });
    this.#end();
  }

  async cancel(): Promise<void> {
    this.#waitingBytes = 0;
    await this.#call({ method: 'DELETE', call: `writers/${this.#id}` });
    this.#end();
  }

  async close(): Promise<void> {
    if (this.#isOver) return;
    this.#end();
    try {
      await this.#sendGathered();
    } finally {
      await this.#call({ method: 'POST', call: `writers/${this.#id}/close` });
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #sendGathered(): Promise<void> {
    if (this.#gathered === undefined || this.#waitingBytes === 0) return;
    try {
      await this.#append(this.#gathered.subarray(0, this.#waitingBytes));
    } catch (error) {
      // How many of them have come is not known, and they must not be sent again.
      this.#waitingBytes = 0;
      throw error;
    }
  }

  /** Sends what comes next: all that is gathered, or bytes of the caller when nothing is. */
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
      // No call but that with the gathered bytes is made while there are any.
      this.#waitingBytes = 0;
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
