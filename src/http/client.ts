import type { Readable } from 'node:stream';
import { Agent, type Dispatcher } from 'undici';
import { AppError, fromWireError, UnavailableError, type WireError } from '../core/index.ts';

/** One request to another program of the cluster. */
export interface ServiceRequest {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE';
  readonly path: string;
  /** Entries that are `undefined` are left out. */
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  readonly json?: unknown;
  /** Sent as it is; `contentLength` goes with a stream whose length is known. */
  readonly body?: Readable | Buffer;
  readonly contentLength?: number;
  readonly signal?: AbortSignal | undefined;
  /** Until the headers of the answer are there; 10 s unless told. Bodies have no limit but silence of 30 s. */
  readonly timeoutMs?: number;
}

/** An answer whose body is still to be read; the caller reads it to its end or destroys it. */
export interface StreamedAnswer {
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Readable;
}

/** How a client reaches a program. */
export interface ServiceClientOptions {
  /** Named in errors, such as `origin`. */
  readonly role: string;
  /** Such as `http://10.0.0.7:15002`. */
  readonly baseUrl: string;
  readonly clusterToken: string;
}

const DEFAULT_TIMEOUT_MS = 10_000;
const BODY_SILENCE_MS = 30_000;

/**
 * Calls one program: the token on every request, typed errors back ({@link fromWireError}), and {@link UnavailableError}
 * when it cannot be reached or takes too long. Keeps connections open; the owner closes it.
 */
export class ServiceClient {
  readonly role: string;
  readonly baseUrl: string;
  readonly #token: string;
  readonly #agent: Agent;

  constructor({ role, baseUrl, clusterToken }: ServiceClientOptions) {
    this.role = role;
    this.baseUrl = baseUrl.replace(/\/$/, '');
    this.#token = clusterToken;
    this.#agent = new Agent({ connections: 64, bodyTimeout: BODY_SILENCE_MS, connect: { timeout: 3_000 } });
  }

  /** The answer's JSON; `undefined` when the answer has no body. */
  async json<T>(request: ServiceRequest): Promise<T> {
    const bytes = await this.bytes(request);
    return (bytes.length === 0 ? undefined : JSON.parse(bytes.toString('utf8'))) as T;
  }

  /** The answer's body in memory: for answers that are known to be small. */
  async bytes(request: ServiceRequest): Promise<Buffer> {
    const response = await this.#send(request);
    try {
      return Buffer.from(await response.body.arrayBuffer());
    } catch (cause) {
      throw this.#unavailable(request, cause);
    }
  }

  /** The answer with its body as a stream. A failure in mid-body destroys the stream with an {@link UnavailableError}. */
  async stream(request: ServiceRequest): Promise<StreamedAnswer> {
    const response = await this.#send(request);
    return { headers: response.headers, body: response.body };
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  async #send(request: ServiceRequest): Promise<Dispatcher.ResponseData> {
    request.signal?.throwIfAborted();
    let response: Dispatcher.ResponseData;
    try {
      response = await this.#agent.request({
        origin: new URL(this.baseUrl).origin,
        path: this.#pathOf(request),
        method: request.method,
        headers: this.#headersOf(request),
        body: request.json === undefined ? (request.body ?? null) : JSON.stringify(request.json),
        headersTimeout: request.timeoutMs ?? DEFAULT_TIMEOUT_MS,
        ...(request.signal === undefined ? {} : { signal: request.signal }),
      });
    } catch (cause) {
      if (request.signal?.aborted === true) throw request.signal.reason;
      throw this.#unavailable(request, cause);
    }
    if (response.statusCode >= 400) throw await this.#errorOf(request, response);
    return response;
  }

  #pathOf(request: ServiceRequest): string {
    const url = new URL(this.baseUrl + request.path);
    for (const [key, value] of Object.entries(request.query ?? {})) {
      if (value !== undefined) url.searchParams.set(key, String(value));
    }
    return url.pathname + url.search;
  }

  #headersOf(request: ServiceRequest): Record<string, string> {
    const headers: Record<string, string> = { ...request.headers, authorization: `Bearer ${this.#token}` };
    if (request.json !== undefined) headers['content-type'] = 'application/json';
    else if (request.body !== undefined) headers['content-type'] ??= 'application/octet-stream';
    if (request.contentLength !== undefined) headers['content-length'] = String(request.contentLength);
    return headers;
  }

  async #errorOf(request: ServiceRequest, response: Dispatcher.ResponseData): Promise<AppError> {
    const text = await response.body.text().catch(() => '');
    const wire = readWireError(text);
    if (wire !== undefined) return fromWireError(wire);
    return this.#unavailable(request, new Error(`status ${response.statusCode}`));
  }

  #unavailable(request: ServiceRequest, cause: unknown): UnavailableError {
    const reason = cause instanceof AppError || cause instanceof Error ? cause.message : String(cause);
    return new UnavailableError(
      `${this.role} at ${this.baseUrl} did not answer ${request.method} ${request.path}: ${reason}`,
      { role: this.role, url: this.baseUrl },
      { cause },
    );
  }
}

function readWireError(text: string): WireError | undefined {
  try {
    const value = JSON.parse(text) as Partial<WireError> | null;
    if (typeof value?.code !== 'string' || typeof value.message !== 'string') return undefined;
    return { code: value.code, message: value.message, ...(value.details ? { details: value.details } : {}) };
  } catch {
    return undefined; // Not one of ours (a proxy between, perhaps): the status has to do.
  }
}
