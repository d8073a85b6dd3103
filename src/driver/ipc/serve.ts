import { createHash, timingSafeEqual } from 'node:crypto';
import { once } from 'node:events';
import { chmod, unlink } from 'node:fs/promises';
import { createServer, type Server, type ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { BadRequestError, ConfigError, UnauthorizedError } from '../../core/index.ts';
import { validated } from '../base.ts';
import type { StorageDriver } from '../storage-driver.ts';
import { answerError, answerJson } from './answers.ts';
import { type DriverInfo, PROTOCOL_VERSION } from './protocol.ts';
import { contextOf, type ServedCall, servedCalls } from './served-calls.ts';
import { ServedWriters } from './served-writers.ts';

/** How a driver is served. */
export interface ServeOptions {
  /** Is not closed by the server. */
  readonly driver: StorageDriver;
  /** Where to listen; a socket that a died server left there is replaced. */
  readonly socketPath: string;
  /** What clients have to show. */
  readonly token: string;
  /** A writer that nobody calls for this long is closed; 10 minutes unless told. */
  readonly writerIdleMs?: number;
  /** What one `putContent` may have at most, in bytes; 256 MiB unless told. */
  readonly maxContentBytes?: number;
}

/** A driver that others can use. */
export interface ServedDriver {
  readonly info: DriverInfo;
  /** Breaks off what is under way, and closes all writers, which keeps their bytes. */
  close(): Promise<void>;
}

const WRITER_IDLE_MS = 10 * 60 * 1000;
const MAX_CONTENT_BYTES = 256 * 1024 * 1024;
/** Longer than clients keep a connection that they do not use, so that none is closed while a call is on its way. */
const KEEP_ALIVE_MS = 60_000;

/**
 * Serves a driver at a unix socket, by the protocol of docs/driver-protocol.md. A client that breaks off a call aborts the signal
 * that the driver got with it. @throws ConfigError when somebody else serves at the socket
 */
export async function serveDriver(options: ServeOptions): Promise<ServedDriver> {
  const driver = validated(options.driver);
  const { socketPath, token, writerIdleMs = WRITER_IDLE_MS, maxContentBytes = MAX_CONTENT_BYTES } = options;
  const writers = new ServedWriters(driver.name, writerIdleMs);
  const { name, capabilities } = driver;
  const info = { version: PROTOCOL_VERSION, name, capabilities, writerIdleSeconds: writerIdleMs / 1000 };
  const isKnown = tokenCheck(token);
  // A body may take as long as its client likes.
  const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS, requestTimeout: 0 }, (request, response) => {
    void serveOne({ driver, info, writers, maxContentBytes, request, response }, isKnown);
  });
  await listen(server, socketPath);
  return {
    info,
    close: async () => {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
      await writers.closeAll();
    },
  };
}

type Incoming = Omit<ServedCall, 'query' | 'writerId' | 'context'>;

async function serveOne(incoming: Incoming, isKnown: (header: string | undefined) => boolean): Promise<void> {
  const { request, response } = incoming;
  const controller = new AbortController();
  response.once('close', () => {
    if (!response.writableFinished) controller.abort(new Error('the client has gone'));
  });
  // The call itself sees that the connection broke; without a listener it would end the process.
  response.on('error', () => undefined);
  request.on('error', () => undefined);
  try {
    if (!isKnown(request.headers.authorization)) throw new UnauthorizedError('the token is missing or wrong');
    await dispatch(incoming, controller.signal);
  } catch (error) {
    if (error instanceof UnauthorizedError || error instanceof BadRequestError) refuse(response, error);
    else answerError(response, error);
  }
}

async function dispatch(incoming: Incoming, signal: AbortSignal): Promise<void> {
  const { method } = incoming.request;
  const url = new URL(incoming.request.url ?? '/', 'http://driver');
  const { call, writerId } = readTarget(url.pathname);
  const serve = servedCalls.get(`${method} ${call}`);
  if (serve === undefined) throw new BadRequestError(`${method} ${url.pathname} is no call of this protocol`);
  const query = url.searchParams;
  await serve({ ...incoming, query, writerId, context: contextOf(query, signal) });
}

function readTarget(pathname: string): { readonly call: string; readonly writerId: string } {
  const [, version, ...parts] = pathname.split('/');
  if (version !== 'v1') return { call: '', writerId: '' };
  const [call, writerId] = parts;
  if (call !== 'writers' || writerId === undefined) return { call: parts.join('/'), writerId: '' };
  return { call: ['writers', '{id}', ...parts.slice(2)].join('/'), writerId };
}

function refuse(response: ServerResponse, error: UnauthorizedError | BadRequestError): void {
  const status = error instanceof UnauthorizedError ? 401 : 400;
  if (response.headersSent || response.destroyed) response.destroy();
  else answerJson(response, status, JSON.stringify({ code: error.code, message: error.message, retryable: false }));
}

/** Compares by digests, in the same time for every token. */
function tokenCheck(token: string): (header: string | undefined) => boolean {
  const digestOf = (text: string) => createHash('sha256').update(text).digest();
  const expected = digestOf(`Bearer ${token}`);
  return (header = '') => timingSafeEqual(digestOf(header), expected);
}

async function listen(server: Server, socketPath: string): Promise<void> {
  try {
    await listenOnce(server, socketPath);
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error) || error.code !== 'EADDRINUSE') throw error;
    if (await answers(socketPath)) throw new ConfigError(`another program serves at ${socketPath} already`);
    await unlink(socketPath);
    await listenOnce(server, socketPath);
  }
  // The token is what guards it; this keeps others from asking at all.
  await chmod(socketPath, 0o600);
}

async function listenOnce(server: Server, socketPath: string): Promise<void> {
  server.listen(socketPath);
  await once(server, 'listening');
}

/** Whether somebody listens at a socket. */
function answers(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketPath);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
