import { connect } from 'node:net';

/** Room for one read. It is used again for the next: what Node allocates for each read costs twice what the read does. */
const READ_BYTES = 256 * 1024;
const HEAD_END = '\r\n\r\n';
const MAX_HEAD_BYTES = 16 * 1024;

/**
 * `GET` over a connection of its own at the least cost, because the clients of a bench run on the cores that are measured.
 * Only for servers that answer 200 with a `Content-Length`.
 *
 * @param onBytes gets the body; each chunk is only good during the call
 * @throws Error when the answer is another, or breaks off
 */
export function rawGet(
  url: string,
  headers: Readonly<Record<string, string>>,
  onBytes: (chunk: Buffer) => void,
  signal: AbortSignal,
): Promise<void> {
  const { hostname, port, pathname, host } = new URL(url);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const body = new AnswerBody(url, onBytes);
  const buffer = Buffer.allocUnsafeSlow(READ_BYTES);
  const callback = (bytes: number) => {
    try {
      if (body.take(buffer.subarray(0, bytes))) socket.destroy();
    } catch (error) {
      socket.destroy(error as Error);
    }
    return true;
  };
  const socket = connect({ host: hostname, port: Number(port), onread: { buffer, callback } });
  const lines = Object.entries({ host, ...headers, connection: 'close' }).map(
    ([name, value]) => `${name}: ${value}\r\n`,
  );
  socket.write(`GET ${pathname} HTTP/1.1\r\n${lines.join('')}\r\n`);
  const abort = () => socket.destroy(signal.reason as Error);
  if (signal.aborted) abort();
  else signal.addEventListener('abort', abort, { once: true });
  socket.once('error', reject);
  socket.once('close', () => {
    signal.removeEventListener('abort', abort);
    if (body.isWhole) resolve();
    else reject(new Error(`${url} broke off with ${body.left} bytes to come`));
  });
  return promise;
}

/** The head of an answer, then as many bytes as it announces. */
class AnswerBody {
  left = Number.POSITIVE_INFINITY;
  readonly #url: string;
  readonly #onBytes: (chunk: Buffer) => void;
  #head = '';
  #inBody = false;

  constructor(url: string, onBytes: (chunk: Buffer) => void) {
    this.#url = url;
    this.#onBytes = onBytes;
  }

  get isWhole(): boolean {
    return this.left === 0;
  }

  /** @returns whether that was all */
  take(chunk: Buffer): boolean {
    const bytes = this.#inBody ? chunk : this.#takeHead(chunk);
    if (bytes.length === 0) return this.isWhole;
    this.#onBytes(bytes.subarray(0, this.left));
    this.left = Math.max(0, this.left - bytes.length);
    return this.isWhole;
  }

  /** @returns what follows the head in this chunk */
  #takeHead(chunk: Buffer): Buffer {
    const before = this.#head.length;
    this.#head += chunk.toString('latin1', 0, MAX_HEAD_BYTES);
    const end = this.#head.indexOf(HEAD_END);
    if (end < 0) {
      if (this.#head.length > MAX_HEAD_BYTES) throw new Error(`${this.#url} answered with an endless head`);
      return chunk.subarray(0, 0);
    }
    const head = this.#head.slice(0, end);
    const length = /^content-length: *(\d+)$/im.exec(head)?.[1];
    if (!head.startsWith('HTTP/1.1 200 ') || length === undefined) {
      throw new Error(`${this.#url} answered "${head.split('\r\n')[0]}", expected 200 with a Content-Length`);
    }
    this.left = Number(length);
    this.#inBody = true;
    return chunk.subarray(end + HEAD_END.length - before);
  }
}
