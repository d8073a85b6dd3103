import { type Dispatcher, Pool } from 'undici';
import { StorageInternalError, StorageUnavailableError } from '../errors.ts';
import type { CallContext, PutCondition } from '../storage-driver.ts';
import { AnswerFaultError, type AnswerStream, exchange } from './exchange.ts';
import { fromWire } from './wire-errors.ts';

/** Calls that are answered at once; more of them wait. */
const CALL_CONNECTIONS = 64;
/** Readers, listings and writes: a slow client holds each as long as it likes, and must not hold up the calls. */
const STREAM_CONNECTIONS = 1024;
/** No call of a storage takes longer than this without a sign of life. */
const SILENCE_MS = 10 * 60 * 1000;
/** An error says what went wrong in less. */
const MAX_ERROR_BYTES = 64 * 1024;

/** One call of a driver program. */
export interface DriverCall {
  readonly method: Dispatcher.HttpMethod;
  /** Behind `/v1/`. */
  readonly call: string;
  /** Entries that are `undefined` are left out. */
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  /** What the call is about, for its errors. */
  readonly path: string;
  readonly condition?: PutCondition;
  readonly context?: CallContext | undefined;
  /** Whether it may last as long as a client likes. */
  readonly isStream?: boolean;
  /** More bytes than these are not asked for. */
  readonly maxBytes?: number | undefined;
}

/** The connections to one driver program, which the owner closes. */
export class DriverConnection {
  readonly #calls: Pool;
  readonly #streams: Pool;
  readonly #token: string;
  /** Named in errors; the program tells its own name when it is ready. */
  driverName: string;
  /** Whether a connection broke: the program may be gone, and whoever keeps it should look. */
  isDoubtful = false;

  constructor(options: { readonly socketPath: string; readonly token: string; readonly driverName: string }) {
    const { socketPath, token, driverName } = options;
    const settings = { socketPath, pipelining: 1, headersTimeout: SILENCE_MS, bodyTimeout: SILENCE_MS };
    this.#calls = new Pool('http://driver', { ...settings, connections: CALL_CONNECTIONS });
    this.#streams = new Pool('http://driver', { ...settings, connections: STREAM_CONNECTIONS });
    this.#token = token;
    this.driverName = driverName;
  }

  /**
   * Makes a call; resolves with its answer when that is a good one.
   * @throws StorageDriverError as the program answered; StorageUnavailableError when it does not; the reason of the signal
   */
  async send(request: DriverCall): Promise<AnswerStream> {
    const { method, path, condition, context, isStream = false } = request;
    const answer = await exchange(isStream ? this.#streams : this.#calls, {
      method,
      target: targetOf(request),
      headers: { ...request.headers, authorization: `Bearer ${this.#token}` },
      body: request.body,
      maxBytes: request.maxBytes,
      signal: context?.signal,
      broken: (cause) => this.#broken(path, cause),
    });
    if (answer.status >= 200 && answer.status < 300) return answer;
    const text = (await readAtMost(answer, MAX_ERROR_BYTES)).toString('utf8');
    throw fromWire(parseJson(text) ?? `status ${answer.status}: ${text.slice(0, 200)}`, {
      driverName: this.driverName,
      path,
      condition,
    });
  }

  /** Makes a call whose answer is JSON. @throws StorageInternalError when it is something else */
  async json<T>(request: DriverCall, read: (value: unknown) => T | undefined): Promise<T> {
    const answer = await this.send(request);
    const text = (await answer.bytes()).toString('utf8');
    const value = read(parseJson(text));
    if (value !== undefined) return value;
    const message = `the driver's answer to ${request.method} /v1/${request.call} cannot be read: ${text.slice(0, 200)}`;
    throw new StorageInternalError(this.driverName, request.path, message);
  }

  /** Makes a call whose answer says no more than that it is done. */
  async done(request: DriverCall): Promise<void> {
    const answer = await this.send(request);
    await answer.bytes();
  }

  /** Breaks off what is under way, and closes all connections. */
  async close(reason: Error): Promise<void> {
    await Promise.all([this.#calls.destroy(reason), this.#streams.destroy(reason)]);
  }

  #broken(path: string, cause: Error): Error {
    if (cause instanceof AnswerFaultError) {
      return new StorageInternalError(this.driverName, path, `the driver broke its protocol (${cause.message})`, {
        cause,
      });
    }
    this.isDoubtful = true;
    const message = `the driver program broke off or cannot be reached (${cause.message})`;
    return new StorageUnavailableError(this.driverName, path, message, { cause });
  }
}

function targetOf({ call, query = {}, context }: DriverCall): string {
  const parameters = new URLSearchParams();
  for (const [key, value] of Object.entries({ ...query, repository: context?.repository })) {
    if (value !== undefined) parameters.set(key, String(value));
  }
  return parameters.size === 0 ? `/v1/${call}` : `/v1/${call}?${parameters}`;
}

async function readAtMost(answer: AnswerStream, limit: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let total = 0;
  for await (const chunk of answer) {
    chunks.push(chunk);
    total += chunk.length;
    if (total > limit) break;
  }
  return Buffer.concat(chunks).subarray(0, limit);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // The caller says what it got.
  }
}
