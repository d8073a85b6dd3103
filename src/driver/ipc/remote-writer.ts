import { StorageUnavailableError, WriterClosedError } from '../errors.ts';
import type { FileWriter } from '../storage-driver.ts';
import type { DriverCall } from './connection.ts';
import { callProgram, type DriverProgram } from './program.ts';
import { readWriterState, type WriterState } from './protocol.ts';

/** No shorter than this, whatever a driver declares. */
const SHORTEST_TOUCH_MS = 1000;

/**
 * A writer in a driver program. The calls come in order, `OrderedWriter` sees to that. It is lost with the program; what was
 * written since it was opened is lost with it then, unless the driver keeps it all the same.
 */
export class RemoteWriter implements FileWriter {
  readonly #program: DriverProgram;
  readonly #driverName: string;
  readonly #path: string;
  readonly #id: string;
  readonly #touching: NodeJS.Timeout | undefined;
  #size: number;
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
    if (bytes.length === 0) return;
    await this.#call({
      method: 'PATCH',
      call: `writers/${this.#id}`,
      headers: { 'x-offset': String(this.#size), 'content-type': 'application/octet-stream' },
      body: bytes,
      isStream: true,
    });
  }

  async commit(): Promise<void> {
    await this.#call({ method: 'POST', call: `writers/${this.#id}/commit` });
    this.#end();
  }

  async cancel(): Promise<void> {
    await this.#call({ method: 'DELETE', call: `writers/${this.#id}` });
    this.#end();
  }

  async close(): Promise<void> {
    if (this.#isOver) return;
    this.#end();
    await this.#call({ method: 'POST', call: `writers/${this.#id}/close` });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
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
      this.#size = state.size;
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
