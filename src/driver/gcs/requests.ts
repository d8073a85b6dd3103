import { randomUUID } from 'node:crypto';
import { Readable } from 'node:stream';
import { Agent, type Dispatcher, request } from 'undici';
import { Semaphore } from '../semaphore.ts';
import type { GcsConnection } from './connection.ts';
import { GcsAnswerError } from './errors.ts';

/** Longest wait for a connection, which is what takes longest when nobody is there. */
const connectTimeoutMs = 5_000;

/** Longest silence of the service: in front of an answer, or in the middle of one that somebody waits for. */
const silenceMs = 60_000;

// A request that waits holds little, but what holds the caller (a piece of a blob) counts too.
const maxWaitingRequests = 10_000;

/** More of an answer that is an error is not read. */
const maxErrorBytes = 64 * 1024;

/** One request of the JSON API. */
export interface GcsRequest {
  readonly method: 'GET' | 'POST' | 'DELETE';
  /** Behind the URL of the bucket, encoded; begins with a slash. */
  readonly path: string;
  /** Whether it is one of those that carry bytes to the service, which have a URL of their own. */
  readonly isUpload?: boolean;
  /** Those that are `undefined` are left out. */
  readonly query?: Readonly<Record<string, string | undefined>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Readable;
  readonly signal: AbortSignal | undefined;
}

/**
 * Sends all requests of a driver for its bucket, a number of them at once and each once. The signal of a request counts until
 * its answer has come whole. Errors are {@link GcsAnswerError}, those of undici and of `authorize`, and the signal's reason.
 */
export class GcsRequests {
  readonly #connection: GcsConnection;
  readonly #bucket: string;
  readonly #semaphore: Semaphore;
  readonly #agent = new Agent({
    connect: { timeout: connectTimeoutMs },
    headersTimeout: silenceMs,
    bodyTimeout: silenceMs,
  });

  constructor(connection: GcsConnection, options: { readonly bucket: string; readonly maxConcurrency: number }) {
    this.#connection = connection;
    this.#bucket = encodeURIComponent(options.bucket);
    this.#semaphore = new Semaphore(options.maxConcurrency, maxWaitingRequests);
  }

  /** The bucket in the URL of a request that names two objects. */
  get bucketPath(): string {
    return `/b/${this.#bucket}`;
  }

  /** The answer as JSON. */
  json<T>(call: GcsRequest): Promise<T> {
    return this.#limited(call, async () => (await (await this.#send(call)).body.json()) as T);
  }

  /** For a request whose answer says nothing. */
  empty(call: GcsRequest): Promise<void> {
    return this.#limited(call, async () => (await this.#send(call)).body.dump());
  }

  /** The answer as a stream, which the caller ends or destroys; it does not count as a request under way. */
  open(call: GcsRequest): Promise<Dispatcher.ResponseData> {
    return this.#limited(call, () => this.#send(call));
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  /** The body is destroyed when it was not sent. */
  async #limited<T>(call: GcsRequest, task: () => Promise<T>): Promise<T> {
    try {
      return await this.#semaphore.run(task, call.signal);
    } finally {
      if (call.body instanceof Readable) call.body.destroy();
    }
  }

  async #send(call: GcsRequest): Promise<Dispatcher.ResponseData> {
    const { method, path, isUpload = false, query = {}, headers = {}, body, signal } = call;
    const limit = AbortSignal.timeout(silenceMs);
    const signed = await this.#connection.authorize(signal === undefined ? limit : AbortSignal.any([signal, limit]));
    const url = new URL(`${this.#connection.endpoint}${isUpload ? '/upload' : ''}/storage/v1/b/${this.#bucket}${path}`);
    for (const [key, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(key, value);
    const answer = await request(url, {
      method,
      headers: { ...signed, ...headers },
      body: body ?? null,
      signal: signal ?? null,
      dispatcher: this.#agent,
    });
    if (answer.statusCode < 300) return answer;
    throw await readError(answer);
  }
}

/** A body of two parts, as `uploadType=multipart` wants it: what is to be known of an object, then its bytes. */
export function multipartBody(metadata: object, bytes: Uint8Array): Pick<GcsRequest, 'headers' | 'body'> {
  const boundary = randomUUID();
  const head = Buffer.from(
    `--${boundary}\r\ncontent-type: application/json\r\n\r\n${JSON.stringify(metadata)}\r\n` +
      `--${boundary}\r\ncontent-type: application/octet-stream\r\n\r\n`,
  );
  const foot = Buffer.from(`\r\n--${boundary}--\r\n`);
  return {
    headers: {
      'content-type': `multipart/related; boundary=${boundary}`,
      'content-length': String(head.length + bytes.length + foot.length),
    },
    body: Readable.from([head, bytes, foot], { objectMode: true }),
  };
}

async function readError(answer: Dispatcher.ResponseData): Promise<GcsAnswerError> {
  let text = '';
  for await (const chunk of answer.body) {
    text += chunk;
    if (text.length > maxErrorBytes) break;
  }
  const plain = new GcsAnswerError(answer.statusCode, '', text.slice(0, 200) || 'no words');
  try {
    // https://cloud.google.com/storage/docs/json_api/v1/status-codes
    const { error } = JSON.parse(text) as { error: { message?: string; errors?: { reason?: string }[] } };
    const { message = plain.message, errors = [] } = error;
    return new GcsAnswerError(answer.statusCode, errors[0]?.reason ?? '', message);
  } catch {
    // What stands in front of a service answers in a format of its own, or with nothing.
    return plain;
  }
}
