import { Agent, type Dispatcher } from 'undici';
import type { Clock } from '../core/index.ts';
import type { NotificationEndpointConfig } from './config.ts';
import { readEndpointHeaders } from './endpoint-headers.ts';
import { parseRetryAfter } from './retry-wait.ts';
import { EVENTS_MEDIA_TYPE } from './wire-event.ts';

/** What came of a request. */
export type Outcome =
  /** The receiver has the events. */
  | { readonly kind: 'taken'; readonly status: number; readonly redirect: string | undefined }
  /** It does not want these events: another request may fare better. */
  | (Refusal & { readonly kind: 'refused' })
  /** It takes nothing now, whatever the events are. */
  | (Refusal & { readonly kind: 'failed' });

interface Refusal {
  readonly status: number | 'timeout' | 'unreachable';
  /** For the log. */
  readonly reason: string;
  readonly retryAfterMs: number | undefined;
}

/** Statuses of 400 to 499 that say nothing of what was sent. */
const NOT_ABOUT_EVENTS = [401, 407, 408, 425, 429];
/** Statuses that have the same request sent to another place (RFC 9110, section 15.4). */
const MOVED = [301, 307, 308];
const MAX_HOPS = 5;
/** Of an answer that is no success; for the log. */
const REASON_BYTES = 512;
/** Of any answer, so that its connection can be used again; beyond it the connection is given up. */
const BODY_BYTES = 64 * 1024;

/** Posts events to one endpoint, a request at a time over a connection that is kept. The owner closes it. */
export class EndpointClient {
  readonly #endpoint: NotificationEndpointConfig;
  readonly #userAgent: string;
  readonly #clock: Clock;
  readonly #agent: Agent;
  #headers: Readonly<Record<string, string>>;

  private constructor(
    endpoint: NotificationEndpointConfig,
    headers: Readonly<Record<string, string>>,
    deps: { readonly version: string; readonly clock: Clock },
  ) {
    this.#endpoint = endpoint;
    this.#headers = headers;
    this.#userAgent = `shoal/${deps.version}`;
    this.#clock = deps.clock;
    const { timeoutMs } = endpoint;
    this.#agent = new Agent({ connections: 1, connect: { timeout: timeoutMs }, bodyTimeout: timeoutMs });
  }

  /** Reads the headers that are in files. @throws ConfigError when they cannot be read, or are none */
  static async open(
    endpoint: NotificationEndpointConfig,
    deps: { readonly version: string; readonly clock: Clock },
  ): Promise<EndpointClient> {
    return new EndpointClient(endpoint, await readEndpointHeaders(endpoint), deps);
  }

  /** Reads the headers again: a secret may have been changed. @throws ConfigError; then the old ones stay */
  async reloadHeaders(): Promise<void> {
    this.#headers = await readEndpointHeaders(this.#endpoint);
  }

  /**
   * Posts one body. A redirect is followed within the origin of the endpoint only: what is sent holds secrets, in headers
   * and perhaps in names.
   * @throws signal.reason when it is aborted, and nothing else
   */
  async post(body: string, signal: AbortSignal): Promise<Outcome> {
    signal.throwIfAborted();
    const deadline = new AbortController();
    const cut = () => deadline.abort(signal.reason);
    signal.addEventListener('abort', cut, { once: true });
    const timer = setTimeout(() => deadline.abort(), this.#endpoint.timeoutMs);
    try {
      return await this.#follow(body, deadline.signal);
    } catch (error) {
      signal.throwIfAborted();
      if (deadline.signal.aborted || isTimeout(error)) {
        const reason = `no answer within ${this.#endpoint.timeoutMs} ms`;
        return { kind: 'failed', status: 'timeout', reason, retryAfterMs: undefined };
      }
      return { kind: 'failed', status: 'unreachable', reason: reasonOf(error), retryAfterMs: undefined };
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', cut);
    }
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  async #follow(body: string, signal: AbortSignal): Promise<Outcome> {
    let url = new URL(this.#endpoint.url);
    for (let hops = 0; ; hops += 1) {
      const response = await this.#send(url, body, signal);
      const { statusCode: status } = response;
      const target = status >= 300 && status < 400 ? findLocation(response, url) : undefined;
      if (target === undefined || !MOVED.includes(status)) return this.#judge(response, target, url);
      await readSome(response, 0);
      if (target.origin !== url.origin || hops === MAX_HOPS) {
        const reason =
          hops === MAX_HOPS
            ? `more than ${MAX_HOPS} redirects`
            : `it redirects to ${target.origin}, where nothing is sent: set the url to the new place`;
        return { kind: 'failed', status, reason, retryAfterMs: undefined };
      }
      url = target;
    }
  }

  #send(url: URL, body: string, signal: AbortSignal): Promise<Dispatcher.ResponseData> {
    return this.#agent.request({
      origin: url.origin,
      path: url.pathname + url.search,
      method: 'POST',
      headers: { 'content-type': EVENTS_MEDIA_TYPE, 'user-agent': this.#userAgent, ...this.#headers },
      body,
      signal,
      headersTimeout: this.#endpoint.timeoutMs,
    });
  }

  async #judge(response: Dispatcher.ResponseData, target: URL | undefined, url: URL): Promise<Outcome> {
    const { statusCode: status } = response;
    if (status < 400) {
      await readSome(response, 0);
      const redirect = target !== undefined && target.origin !== url.origin ? target.origin : undefined;
      return { kind: 'taken', status, redirect };
    }
    const text = await readSome(response, REASON_BYTES);
    const header = response.headers['retry-after'];
    const retryAfterMs = parseRetryAfter(Array.isArray(header) ? header[0] : header, this.#clock.nowMs());
    const kind = status < 500 && !NOT_ABOUT_EVENTS.includes(status) ? 'refused' : 'failed';
    return { kind, status, reason: text === '' ? `status ${status}` : `status ${status}: ${text}`, retryAfterMs };
  }
}

/**
 * Reads the body of an answer to its end, as far as that is near, and gives its first bytes. The status has decided already,
 * so a body that fails, drips or goes on for ever costs the connection and nothing else.
 */
async function readSome({ body }: Dispatcher.ResponseData, keepBytes: number): Promise<string> {
  const kept: Buffer[] = [];
  let keptBytes = 0;
  let bytes = 0;
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      bytes += chunk.length;
      if (keptBytes < keepBytes) {
        const part = chunk.subarray(0, keepBytes - keptBytes);
        kept.push(part);
        keptBytes += part.length;
      }
      if (bytes > BODY_BYTES) break; // Leaving the loop destroys the body, and its connection with it.
    }
  } catch {
    // Cut off by the receiver or by the deadline: what has come has to do.
  }
  return Buffer.concat(kept).toString('utf8').trim();
}

function findLocation({ headers }: Dispatcher.ResponseData, base: URL): URL | undefined {
  const { location } = headers;
  const text = Array.isArray(location) ? location[0] : location;
  return text !== undefined && URL.canParse(text, base.href) ? new URL(text, base) : undefined;
}

function isTimeout(error: unknown): boolean {
  const { code } = error as { code?: unknown };
  return typeof code === 'string' && /^UND_ERR_(CONNECT|HEADERS|BODY)_TIMEOUT$/.test(code);
}

/** A connection that is tried at several addresses fails with one error for all, whose message is empty. */
function reasonOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(reasonOf).join(', ');
  return error instanceof Error ? error.message : String(error);
}
