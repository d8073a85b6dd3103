import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { onTestFinished } from 'vitest';

/** An event as a receiver reads it. */
export interface ReceivedEvent {
  readonly id: string;
  readonly timestamp: string;
  readonly action: string;
  readonly target: Readonly<Record<string, unknown>>;
  readonly request: Readonly<Record<string, unknown>>;
  readonly actor: Readonly<Record<string, unknown>>;
  readonly source: Readonly<Record<string, unknown>>;
}

/** A request as it has arrived. */
export interface ReceivedRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
  readonly events: readonly ReceivedEvent[];
  readonly atMs: number;
}

/** Answers a request; a status alone is enough. */
export type Answerer = (request: ReceivedRequest, response: ServerResponse) => number | undefined;

/** A receiver of notifications that does what a test says. */
export interface Receiver {
  readonly url: string;
  readonly port: number;
  /** All requests, whatever they were answered with. */
  readonly requests: readonly ReceivedRequest[];
  /** What was answered with 2xx. */
  readonly taken: readonly ReceivedEvent[];
  answer: Answerer;
  close(): Promise<void>;
}

/** Listens until the test is over, and takes everything until it is told otherwise. */
export async function startReceiver(
  options: { readonly port?: number; readonly answer?: Answerer } = {},
): Promise<Receiver> {
  const requests: ReceivedRequest[] = [];
  const taken: ReceivedEvent[] = [];
  const server = createServer((request, response) => {
    response.on('error', () => undefined);
    void serve(request, response).catch(() => response.destroy());
  });
  const serve = async (request: IncomingMessage, response: ServerResponse) => {
    const body = await text(request);
    const { events } = JSON.parse(body) as { events: ReceivedEvent[] };
    const { method = '', url = '', headers } = request;
    const received = { method, path: url, headers, body, events, atMs: performance.now() };
    requests.push(received);
    const status = receiver.answer(received, response);
    if (status === undefined) return;
    if (status < 300) taken.push(...events);
    response.writeHead(status).end();
  };
  server.listen(options.port ?? 0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const close = async () => {
    if (!server.listening) return;
    const closed = once(server, 'close');
    server.close();
    server.closeAllConnections();
    await closed;
  };
  onTestFinished(close);
  const answer: Answerer = options.answer ?? (() => 200);
  const receiver: Receiver = { url: `http://127.0.0.1:${port}/hook`, port, requests, taken, answer, close };
  return receiver;
}
