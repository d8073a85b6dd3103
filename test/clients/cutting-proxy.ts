import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** A request for a blob, as it came through. */
export interface BlobRequest {
  readonly digest: string;
  readonly range: string | undefined;
  readonly status: number;
}

/**
 * Stands before a registry, and ends the connection in the middle of the first answer with each large blob, as a network
 * that fails does: what was sent until then has arrived.
 */
export class CuttingProxy implements AsyncDisposable {
  readonly #requests: BlobRequest[] = [];
  readonly #server: Server;
  readonly #target: URL;
  readonly #cutAfterBytes: number;
  readonly #cut = new Set<string>();

  private constructor(target: string, cutAfterBytes: number) {
    this.#target = new URL(target);
    this.#cutAfterBytes = cutAfterBytes;
    this.#server = createServer((incoming, outgoing) => this.#forward(incoming, outgoing));
  }

  /** Listens on a free port of 127.0.0.1; the caller disposes of it. */
  static async start(target: string, cutAfterBytes: number): Promise<CuttingProxy> {
    const proxy = new CuttingProxy(target, cutAfterBytes);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get address(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Requests for blobs whose connection was cut once, in order. */
  get requests(): readonly BlobRequest[] {
    return this.#requests.filter(({ digest }) => this.#cut.has(digest));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  #forward(incoming: IncomingMessage, outgoing: ServerResponse): void {
    const { method, headers, url = '/' } = incoming;
    const asked = request(new URL(url, this.#target), { method: method ?? 'GET', headers });
    asked.on('response', (answer) => this.#answer(incoming, answer, outgoing));
    asked.on('error', () => outgoing.destroy());
    outgoing.on('close', () => asked.destroy());
    incoming.pipe(asked);
  }

  #answer(incoming: IncomingMessage, answer: IncomingMessage, outgoing: ServerResponse): void {
    outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.on('error', () => outgoing.destroy());
    const digest = /\/blobs\/(sha256:[0-9a-f]{64})$/.exec(incoming.url ?? '')?.[1];
    if (digest === undefined || incoming.method !== 'GET') return void answer.pipe(outgoing);
    this.#requests.push({ digest, range: incoming.headers.range, status: answer.statusCode ?? 0 });
    if (this.#cut.has(digest) || Number(answer.headers['content-length']) <= this.#cutAfterBytes) {
      return void answer.pipe(outgoing);
    }
    this.#cut.add(digest);
    let left = this.#cutAfterBytes;
    answer.on('data', (chunk: Buffer) => {
      if (left === 0) return;
      outgoing.write(chunk.subarray(0, left));
      left -= Math.min(left, chunk.length);
      // The bytes before the end of the connection are delivered; only what would follow is missing.
      if (left === 0) outgoing.socket?.end();
    });
  }
}
