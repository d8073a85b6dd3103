import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';

/** What the proxy does to one request instead of passing it on and back untouched. */
export type Fault =
  /** Waits before it passes the request on. */
  | { readonly kind: 'delay'; readonly ms: number }
  /** Closes the connection before the server has seen the request. */
  | { readonly kind: 'cut' }
  /** Passes the request on, and closes the connection in place of the answer. */
  | { readonly kind: 'lose-answer' }
  /** Answers by itself. */
  | {
      readonly kind: 'answer';
      readonly status: number;
      readonly headers?: Record<string, string>;
      readonly body?: string;
    }
  /** Passes on the answer with these headers in place of its own. */
  | { readonly kind: 'headers'; readonly headers: Record<string, string> }
  /** Passes on the first bytes of the answer's body, then closes the connection; a shorter body is whole. */
  | { readonly kind: 'truncate'; readonly bytes: number }
  /** Passes on the first bytes of the answer's body, then nothing more. */
  | { readonly kind: 'stall'; readonly bytes: number };

/** Decides about a request; `undefined` passes it through. */
export type FaultRule = (request: IncomingMessage) => Fault | undefined;

/** Deals with a request in any way, also before it is passed on; `true` when it has been answered, or never will be. */
export type Interception = (request: IncomingMessage, answer: ServerResponse) => Promise<boolean> | boolean;

/** An HTTP proxy before one server that does to requests what a bad network does, until the test is over. */
export class FaultProxy {
  /** Method and URL of every request that came, in order. */
  readonly requests: string[] = [];
  /** What to do; nothing, unless set. */
  rule: FaultRule = () => undefined;
  /** Asked before the rule. */
  intercept: Interception | undefined;
  readonly #server: Server;
  readonly #target: URL;

  private constructor(target: string) {
    this.#target = new URL(target);
    this.#server = createServer((incoming, answer) => {
      this.requests.push(`${incoming.method} ${incoming.url}`);
      this.#serve(incoming, answer).catch((error: Error) => answer.destroy(error));
    });
  }

  /** Stands before the server at a URL. Requests keep their Host header, so that signatures stay good for `url`. */
  static async before(target: string): Promise<FaultProxy> {
    const proxy = new FaultProxy(target);
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    onTestFinished(async () => {
      proxy.#server.closeAllConnections();
      await new Promise((resolve) => proxy.#server.close(resolve));
    });
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Does this to the next `times` requests that match. */
  failNext(times: number, fault: Fault, matches: (request: IncomingMessage) => boolean = () => true): void {
    let left = times;
    this.rule = (incoming) => {
      if (left === 0 || !matches(incoming)) return undefined;
      left -= 1;
      return fault;
    };
  }

  async #serve(incoming: IncomingMessage, answer: ServerResponse): Promise<void> {
    if (this.intercept !== undefined && (await this.intercept(incoming, answer))) return;
    const fault = this.rule(incoming);
    if (fault?.kind === 'cut') {
      incoming.socket.destroy();
      return;
    }
    if (fault?.kind === 'answer') {
      // The client may still be sending: it hears the answer only when its bytes are taken.
      incoming.resume();
      answer.writeHead(fault.status, fault.headers).end(fault.body);
      return;
    }
    if (fault?.kind === 'delay') await new Promise((resolve) => setTimeout(resolve, fault.ms));
    this.#forward(incoming, answer, fault);
  }

  #forward(incoming: IncomingMessage, answer: ServerResponse, fault: Fault | undefined): void {
    const { hostname, port } = this.#target;
    const { method, url, headers } = incoming;
    const outgoing = request({ hostname, port, method, path: url, headers, agent: false }, (response) => {
      response.on('error', () => answer.destroy());
      if (fault?.kind === 'lose-answer') {
        response.resume();
        response.once('end', () => incoming.socket.destroy());
        return;
      }
      const instead = fault?.kind === 'headers' ? fault.headers : {};
      answer.writeHead(response.statusCode ?? 502, { ...response.headers, ...instead });
      if (method === 'HEAD') {
        // Some servers send a body all the same, which is no HTTP: what comes behind the head does not matter.
        outgoing.removeAllListeners('error').on('error', () => undefined);
        answer.end();
        response.destroy();
        return;
      }
      if (fault?.kind === 'truncate' || fault?.kind === 'stall') passSome(response, answer, fault);
      else response.pipe(answer);
    });
    outgoing.on('error', () => answer.destroy());
    answer.on('close', () => outgoing.destroy());
    incoming.on('error', () => outgoing.destroy());
    incoming.pipe(outgoing);
  }
}

/** The first bytes of a body; what comes behind them depends on the fault. */
function passSome(
  response: IncomingMessage,
  answer: ServerResponse,
  { kind, bytes }: { readonly kind: 'truncate' | 'stall'; readonly bytes: number },
): void {
  let left = bytes;
  answer.flushHeaders();
  response.on('data', (chunk: Buffer) => {
    if (left <= 0) return;
    const part = chunk.subarray(0, left);
    left -= part.length;
    answer.write(part, () => {
      if (left <= 0 && kind === 'truncate') answer.destroy();
    });
  });
  response.once('end', () => {
    if (left > 0) answer.end();
  });
}
