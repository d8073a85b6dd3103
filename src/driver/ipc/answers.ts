import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { toWire } from './wire-errors.ts';

/** Lines are sent together, up to this many bytes or this long. */
const BATCH_LENGTH = 16 * 1024;
const BATCH_MS = 50;

/** Sends JSON as the whole answer. */
export function answerJson(response: ServerResponse, status: number, json: string): void {
  const body = Buffer.from(json);
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': body.length });
  response.end(body);
}

/** Sends an error as the whole answer; after the answer has begun, breaks the connection off, so that it cannot pass for whole. */
export function answerError(response: ServerResponse, error: unknown): void {
  if (response.destroyed) return;
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const { status, body } = toWire(error);
  answerJson(response, status, JSON.stringify(body));
}

/**
 * Sends items as lines of JSON, as fast as the client takes them. The last line says that this is all, or what went wrong after
 * the first; an error before the first is an ordinary one.
 */
export async function answerLines<T>(
  response: ServerResponse,
  items: AsyncIterable<T>,
  format: (item: T) => object,
): Promise<void> {
  const iterator = items[Symbol.asyncIterator]();
  let next = await iterator.next();
  const lines = new LineSender(response);
  try {
    for (; !next.done; next = await iterator.next()) await lines.send(format(next.value));
    await lines.send({ complete: true });
  } catch (error) {
    await lines.send({ error: toWire(error).body });
  } finally {
    await iterator.return?.();
  }
  lines.end();
}

class LineSender {
  readonly #response: ServerResponse;
  #batch = '';
  #sentMs = performance.now();

  constructor(response: ServerResponse) {
    this.#response = response;
    response.writeHead(200, { 'content-type': 'application/x-ndjson' });
  }

  async send(line: object): Promise<void> {
    this.#batch += `${JSON.stringify(line)}\n`;
    if (this.#batch.length < BATCH_LENGTH && performance.now() - this.#sentMs < BATCH_MS) return;
    const isTaken = this.#response.write(this.#batch);
    this.#batch = '';
    // A client that has gone never takes it; then there is nobody to go on for.
    if (!isTaken && !this.#response.destroyed) {
      await Promise.race([once(this.#response, 'drain'), once(this.#response, 'close')]);
    }
    this.#sentMs = performance.now();
  }

  end(): void {
    this.#response.end(this.#batch);
  }
}
