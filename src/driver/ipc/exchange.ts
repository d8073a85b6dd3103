import type { IncomingHttpHeaders } from 'node:http';
import { Readable } from 'node:stream';
import type { Dispatcher } from 'undici';

/** Bytes of an answer that wait for their reader; beyond that the driver program has to wait. */
const WAITING_BYTES = 128 * 1024;

/** The answer is none of the protocol: its end would prove nothing, or it is longer than what was asked for. */
export class AnswerFaultError extends Error {}

/** A request, and what is made of its failure. */
export interface ExchangeRequest {
  readonly method: Dispatcher.HttpMethod;
  /** Path and query. */
  readonly target: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | undefined;
  /** Ends the exchange, the body of the answer included, until {@link AnswerStream.detach}. */
  readonly signal?: AbortSignal | undefined;
  /** More bytes than these break the protocol. */
  readonly maxBytes?: number | undefined;
  /** Makes the error for the caller when the connection broke before the answer was whole. */
  readonly broken: (cause: Error) => Error;
}

/** An answer whose body is still to come. The caller reads it to its end or destroys it, which ends the request. */
export class AnswerStream extends Readable {
  readonly status: number;
  /** Bytes that the body has, when the driver told. */
  readonly contentLength: number | undefined;
  readonly #controller: Dispatcher.DispatchController;
  readonly #detach: () => void;
  readonly #tooLong: (maxBytes: number) => Error;
  readonly #maxBytes: number;
  #received = 0;
  #isWhole = false;
  #isPaused = false;

  constructor(options: {
    readonly status: number;
    readonly headers: IncomingHttpHeaders;
    readonly controller: Dispatcher.DispatchController;
    readonly detach: () => void;
    readonly maxBytes: number;
    readonly tooLong: (maxBytes: number) => Error;
  }) {
    super({ highWaterMark: WAITING_BYTES });
    const length = options.headers['content-length'];
    this.status = options.status;
    this.contentLength = length === undefined ? undefined : Number(length);
    this.#controller = options.controller;
    this.#detach = options.detach;
    this.#maxBytes = options.maxBytes;
    this.#tooLong = options.tooLong;
  }

  /** Takes the next bytes off the socket. */
  receive(chunk: Buffer): void {
    this.#received += chunk.length;
    if (this.#received > this.#maxBytes) {
      this.destroy(this.#tooLong(this.#maxBytes));
      return;
    }
    if (this.push(chunk) || this.#isPaused) return;
    this.#isPaused = true;
    this.#controller.pause();
  }

  /** The answer has come to its end, as long as it should be. */
  finish(): void {
    this.#isWhole = true;
    this.push(null);
  }

  /** The signal of the request does not count any more. */
  detach(): void {
    this.#detach();
  }

  /** The whole body, in memory. */
  async bytes(): Promise<Buffer> {
    const chunks: Buffer[] = [];
    for await (const chunk of this) chunks.push(chunk);
    // Not from the shared pool: whoever keeps a link of 71 bytes would keep 8 KiB with it.
    const whole = Buffer.allocUnsafeSlow(chunks.reduce((total, { length }) => total + length, 0));
    let offset = 0;
    for (const chunk of chunks) offset += chunk.copy(whole, offset);
    return whole;
  }

  override _read(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#controller.resume();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#detach();
    if (!this.#isWhole) this.#controller.abort(error ?? new Error('left by its reader'));
    callback(error);
  }
}

/**
 * Sends a request; resolves with the headers of its answer. A body that ends before its length, or without the last chunk of a
 * chunked one, is an error of the stream, and never its end.
 */
export function exchange(dispatcher: Dispatcher, request: ExchangeRequest): Promise<AnswerStream> {
  return new Promise((resolve, reject) => {
    const handler = new ExchangeHandler(request, resolve, reject);
    const { method, target, headers, body } = request;
    dispatcher.dispatch({ origin: 'http://driver', path: target, method, headers, body: body ?? null }, handler);
  });
}

class ExchangeHandler implements Dispatcher.DispatchHandler {
  readonly #broken: (cause: Error) => Error;
  readonly #signal: AbortSignal | undefined;
  readonly #maxBytes: number;
  readonly #resolve: (answer: AnswerStream) => void;
  readonly #reject: (error: unknown) => void;
  #controller: Dispatcher.DispatchController | undefined;
  #answer: AnswerStream | undefined;

  constructor(request: ExchangeRequest, resolve: (answer: AnswerStream) => void, reject: (error: unknown) => void) {
    this.#broken = request.broken;
    this.#signal = request.signal;
    this.#maxBytes = request.maxBytes ?? Number.POSITIVE_INFINITY;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#signal?.addEventListener('abort', this.#abort, { once: true });
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#signal?.aborted) controller.abort(abortError(this.#signal));
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders): void {
    if (status < 200) return;
    const isBounded = 'content-length' in headers || 'transfer-encoding' in headers || status === 204;
    if (!isBounded) {
      const message = `status ${status} with neither Content-Length nor chunks, so that its end proves nothing`;
      controller.abort(new AnswerFaultError(message));
      return;
    }
    this.#answer = new AnswerStream({
      status,
      headers,
      controller,
      detach: this.#detach,
      // An error has another length than what was asked for.
      maxBytes: status < 300 ? this.#maxBytes : Number.POSITIVE_INFINITY,
      tooLong: (maxBytes) => this.#broken(new AnswerFaultError(`more than the ${maxBytes} bytes asked for`)),
    });
    this.#resolve(this.#answer);
  }

  onResponseData(_: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#answer?.receive(chunk);
  }

  onResponseEnd(): void {
    this.#detach();
    this.#answer?.finish();
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error): void {
    this.#detach();
    // Whoever has destroyed the stream has ended the request by that: there is nobody left to tell.
    if (this.#answer?.destroyed) return;
    const cause = this.#signal?.aborted && error === this.#aborted ? this.#signal.reason : this.#broken(error);
    if (this.#answer === undefined) this.#reject(cause);
    else this.#answer.destroy(cause instanceof Error ? cause : abortError(this.#signal));
  }

  #aborted: Error | undefined;

  readonly #abort = () => {
    this.#aborted = abortError(this.#signal);
    // A request that waits for a connection has no controller yet, and is ended when it gets one.
    if (this.#answer === undefined) this.#reject(this.#signal?.reason);
    this.#controller?.abort(this.#aborted);
  };

  readonly #detach = () => this.#signal?.removeEventListener('abort', this.#abort);
}

function abortError(signal: AbortSignal | undefined): Error {
  const reason: unknown = signal?.reason;
  return reason instanceof Error ? reason : new Error(`aborted: ${reason}`, { cause: reason });
}
