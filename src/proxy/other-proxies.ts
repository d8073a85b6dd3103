import type { Readable } from 'node:stream';
import { Agent, type Dispatcher } from 'undici';
import { type Clock, UnavailableError, UploadNotFoundError } from '../core/index.ts';
import type { UploadAnswer } from '../registry/index.ts';

/** A request on its way to another proxy. */
export interface ProxyRequest {
  /** Base URL of the proxy. */
  readonly baseUrl: string;
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  readonly headers: Readonly<Record<string, string | string[]>>;
  /** Sent as it comes; when the answer comes first, the rest is not read. */
  readonly body: AsyncIterable<Buffer> | undefined;
  readonly signal: AbortSignal;
}

/** A proxy that could not be connected to for this long is lost: its uploads have to begin again. */
export const LOST_AFTER_MS = 60_000;

/** From the last byte of a body to the answer: at the end of an upload, the origins take the whole blob in between. */
const ANSWER_TIMEOUT_MS = 15 * 60 * 1000;
const CONNECT_TIMEOUT_MS = 3_000;
/** Answers about uploads are empty, or an error of a few hundred bytes. */
const ANSWER_MAX_BYTES = 1024 * 1024;

/** What says that the other side was never reached, of Node's and undici's codes. */
const CONNECT_FAILURES: ReadonlySet<unknown> = new Set([
  'ECONNREFUSED',
  'EHOSTDOWN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ETIMEDOUT',
  'UND_ERR_CONNECT_TIMEOUT',
]);

/** Headers that speak of one connection, not of the message (RFC 9110, section 7.6.1). */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** Sends requests to other proxies, and remembers which of them are out of reach. Whoever makes it closes it. */
export class OtherProxies {
  readonly #clock: Clock;
  /** As many connections as there are requests to send on, each of which a client holds open here too. */
  readonly #agent = new Agent({
    headersTimeout: ANSWER_TIMEOUT_MS,
    connect: { timeout: CONNECT_TIMEOUT_MS },
    allowH2: false,
  });
  /** Since when connecting to a proxy fails, by its base URL. */
  readonly #awaySinceMs = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * The whole answer of a proxy, whatever its status.
   * @throws UploadNotFoundError when the proxy has been out of reach for so long that it is lost; UnavailableError when it is
   *   out of reach since a moment ago, or breaks off; the signal's reason
   */
  async send(request: ProxyRequest): Promise<UploadAnswer> {
    const { baseUrl, signal } = request;
    signal.throwIfAborted();
    try {
      const response = await this.#agent.request({
        origin: baseUrl,
        path: request.url,
        method: request.method as Dispatcher.HttpMethod,
        headers: request.headers,
        // undici's types know of streams only; it takes whatever can be iterated.
        body: (request.body as Readable | undefined) ?? null,
        signal,
      });
      this.#awaySinceMs.delete(baseUrl);
      const headers = endToEnd(response.headers);
      // Made anew for the bytes that are sent.
      delete headers['content-length'];
      const body = await readAnswer(response.body);
      return { status: response.statusCode, headers, ...(body.length === 0 ? {} : { body }) };
    } catch (cause) {
      signal.throwIfAborted();
      throw this.#errorOf(baseUrl, cause);
    }
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  #errorOf(baseUrl: string, cause: unknown): UnavailableError | UploadNotFoundError {
    const details = { url: baseUrl };
    if (!CONNECT_FAILURES.has((cause as { code?: unknown }).code)) {
      this.#awaySinceMs.delete(baseUrl);
      return new UnavailableError(`the proxy ${baseUrl} broke off a request that was sent on to it`, details, {
        cause,
      });
    }
    const nowMs = this.#clock.monotonicMs();
    const awaySinceMs = this.#awaySinceMs.get(baseUrl) ?? nowMs;
    this.#awaySinceMs.set(baseUrl, awaySinceMs);
    if (nowMs - awaySinceMs < LOST_AFTER_MS) {
      return new UnavailableError(`the proxy ${baseUrl}, which holds the upload, cannot be reached`, details, {
        cause,
      });
    }
    return new UploadNotFoundError('the upload was on a proxy that is lost: begin it again with POST', {}, { cause });
  }
}

/** The headers of a message that go on with it. */
export function endToEnd(headers: NodeJS.Dict<string | string[]>): Record<string, string | string[]> {
  const named = String(headers['connection'] ?? '')
    .split(',')
    .map((name) => name.trim().toLowerCase());
  const kept: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined && !HOP_BY_HOP.has(name) && !named.includes(name)) kept[name] = value;
  }
  return kept;
}

async function readAnswer(body: Dispatcher.ResponseData['body']): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body) {
    chunks.push(chunk as Buffer);
    size += (chunk as Buffer).length;
    if (size > ANSWER_MAX_BYTES) throw new Error(`the answer is longer than ${ANSWER_MAX_BYTES} bytes`);
  }
  return Buffer.concat(chunks, size);
}
