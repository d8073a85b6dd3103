import { hash, randomUUID, timingSafeEqual } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { createServer, isIP } from 'node:net';
import type { Server } from 'node:tls';
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest, LogController } from 'fastify';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import { BadRequestError, ConfigError, toWireError, UnauthorizedError } from '../core/index.ts';
import { statusOf } from './error-status.ts';
import { TlsCertificate, type TlsFiles } from './tls-files.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Set on routes that answer without the cluster token. Every other route asks for it. */
    public?: true;
  }
  interface FastifyInstance {
    /**
     * Reads certificate and key again at once, for new connections; files that cannot be used are logged, and the former
     * certificate stays. Does nothing on a server without TLS. Never rejects.
     */
    reloadTls(): Promise<void>;
  }
}

/** What one program's HTTP server is made of. */
export interface ServiceOptions {
  /** The program's name, for logs and errors. */
  readonly role: string;
  /** Asked of every route that is not marked `public`. */
  readonly clusterToken: string;
  readonly logger: Logger;
  readonly metrics: Registry;
  /** What `/readyz` asks: resolves when the program can do its work, throws with the reason when it cannot. */
  readonly ready: (signal: AbortSignal) => Promise<void>;
  /** A certificate and key make it HTTPS; they are read again when they change. */
  readonly tls?: TlsFiles | undefined;
}

/** Announces of a host with thousands of swarms have to fit. */
const JSON_BODY_LIMIT_BYTES = 8 * 1024 * 1024;
/** Repository, digest and upload state in a URL; fastify's own 100 characters would refuse a sha512 digest. */
const PARAMETER_MAX_LENGTH = 2048;
const READINESS_TIMEOUT_MS = 3_000;
/** A head that has not come by then; Node looks for those every half minute. */
const HEADERS_TIMEOUT_MS = 30_000;
/**
 * A connection on which no byte goes either way: its client does not read what it has asked for. The longest silence of one
 * that does is that of a blob which is read once more at the end of its upload.
 */
const CONNECTION_TIMEOUT_MS = 30 * 60_000;
/** What is below has errors in a form of its own. */
const REGISTRY_PATH = /^\/v2(?:\/|$)/;

/**
 * A fastify server with what every program has: the cluster token asked of all routes but public ones, errors as JSON
 * `{code, message, details}`, bodies other than JSON left as streams, and `/healthz`, `/readyz`, `/metrics`.
 * The caller listens with {@link listen} and closes it.
 *
 * @throws ConfigError when certificate or key cannot be used
 */
export function createService(options: ServiceOptions): FastifyInstance {
  const certificate = options.tls === undefined ? undefined : TlsCertificate.read(options.tls);
  const app = Fastify({
    loggerInstance: options.logger as never,
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: JSON_BODY_LIMIT_BYTES,
    routerOptions: { maxParamLength: PARAMETER_MAX_LENGTH },
    // Uploads may take hours; headers may not.
    requestTimeout: 0,
    http: { headersTimeout: HEADERS_TIMEOUT_MS },
    connectionTimeout: CONNECTION_TIMEOUT_MS,
    frameworkErrors: refuseUnreadablePath,
    genReqId: requestIdOf,
    forceCloseConnections: true,
    ...(certificate === undefined ? {} : { https: { ...certificate.options, headersTimeout: HEADERS_TIMEOUT_MS } }),
  } as object) as unknown as FastifyInstance;
  followCertificate(app, certificate, options.logger);
  app.addContentTypeParser('*', (_request, payload, done) => done(null, payload));
  const expected = sha256(options.clusterToken);
  app.addHook('onRequest', (request, _reply, done) => {
    const isPublic = request.routeOptions.config.public === true;
    done(isPublic ? undefined : findTokenFault(request, expected));
  });
  app.setErrorHandler((error, request, reply) => {
    const known = isFastifyClientError(error) ? new BadRequestError(error.message) : error;
    const status = statusOf(known);
    if (status >= 500) request.log.error({ err: error, url: request.url }, 'request failed');
    return reply.code(status).send(toWireError(known));
  });
  app.setNotFoundHandler((request, reply) => {
    const error = new BadRequestError(`${options.role} has no route ${request.method} ${request.url.split('?')[0]}`);
    return reply.code(404).send(toWireError(error));
  });
  addHealthRoutes(app, options);
  return app;
}

function followCertificate(app: FastifyInstance, certificate: TlsCertificate | undefined, logger: Logger): void {
  // Where there is a certificate, fastify has made an HTTPS server.
  const server = app.server as unknown as Server;
  certificate?.follow(server, logger);
  app.addHook('onClose', async () => certificate?.stop());
  app.decorate('reloadTls', async () => certificate?.reload(server, logger));
}

function addHealthRoutes(app: FastifyInstance, options: ServiceOptions): void {
  const config = { public: true } as const;
  app.get('/healthz', { config }, async () => ({ role: options.role, status: 'alive' }));
  app.get('/readyz', { config }, async (_request, reply) => {
    try {
      await options.ready(AbortSignal.timeout(READINESS_TIMEOUT_MS));
      return { role: options.role, status: 'ready' };
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      return reply.code(503).send({ role: options.role, status: 'not ready', reason });
    }
  });
  app.get('/metrics', { config }, async (_request, reply) => {
    return reply.type(options.metrics.contentType).send(await options.metrics.metrics());
  });
}

/** A path whose percent-encoding is none: no route is reached, so that nobody else gives the error its form. */
function refuseUnreadablePath(error: Error, request: FastifyRequest, reply: FastifyReply): void {
  const entry = { code: 'NAME_INVALID', message: `the path cannot be read: ${error.message.slice(0, 300)}` };
  const isRegistry = REGISTRY_PATH.test(request.url.split('?')[0]!);
  reply.code(400).send(isRegistry ? { errors: [entry] } : toWireError(new BadRequestError(entry.message)));
}

/** The id that a proxy in front has given a request, as long as it can stand in a log; else a new one. */
function requestIdOf({ headers }: IncomingMessage): string {
  const given = headers['x-request-id'];
  return typeof given === 'string' && /^[\w.:=-]{1,128}$/.test(given) ? given : randomUUID();
}

/** Why a request is refused; `undefined` when it carries the cluster token, whose SHA-256 is `expected`. */
function findTokenFault(request: FastifyRequest, expected: Buffer): UnauthorizedError | undefined {
  const header = request.headers.authorization ?? '';
  const given = header.startsWith('Bearer ') ? header.slice('Bearer '.length) : '';
  // Hashed first: timingSafeEqual wants equal lengths, and the length is a secret too.
  if (given !== '' && timingSafeEqual(sha256(given), expected)) return undefined;
  return new UnauthorizedError(
    `${request.method} ${request.url.split('?')[0]} asks for the cluster token (Authorization: Bearer …); ` +
      (given === '' ? 'none came' : 'another one came'),
  );
}

function sha256(text: string): Buffer {
  return hash('sha256', text, 'buffer');
}

/** Fastify's own refusals of a request: a body that is no JSON, too large, or not of the schema. */
function isFastifyClientError(error: unknown): error is Error {
  const { statusCode } = error as { statusCode?: number };
  return error instanceof Error && statusCode !== undefined && statusCode >= 400 && statusCode < 500;
}

/** Connections that wait to be taken; Node's 511 are a sixth of a second of a fleet that arrives at once. */
const BACKLOG = 4_096;

/** Where a program listens. */
export interface ListenOptions {
  /** `localhost` listens on 127.0.0.1 and ::1, whatever the machine's own table of hosts says. */
  readonly host: string;
  readonly port: number;
}

/**
 * Starts to listen. @returns the port (the one chosen when 0 was asked)
 * @throws ConfigError when the port is taken, naming role, port and option
 */
export async function listen(
  app: FastifyInstance,
  role: string,
  { host, port }: ListenOptions,
  option = 'listen.port',
): Promise<number> {
  try {
    await app.listen({ host: host === 'localhost' ? '127.0.0.1' : host, port, backlog: BACKLOG });
    const address = app.server.address();
    const chosen = typeof address === 'object' && address !== null ? address.port : port;
    if (host === 'localhost') await listenOnIpv6Loopback(app, chosen);
    return chosen;
  } catch (error) {
    throw asPortTaken(error, role, port, option) ?? error;
  }
}

/** Adds ::1 to a server that listens on 127.0.0.1: connections are handed to it. A machine without IPv6 does without. */
async function listenOnIpv6Loopback(app: FastifyInstance, port: number): Promise<void> {
  const second = createServer((socket) => app.server.emit('connection', socket));
  try {
    second.listen({ host: '::1', port });
    await once(second, 'listening');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EADDRNOTAVAIL' || code === 'EAFNOSUPPORT') return;
    await app.close();
    throw error;
  }
  // Closing the app ends the connections; this one only stops to take new ones.
  app.server.once('close', () => second.close());
}

/** A readable error for a port that is taken; `undefined` when `error` is something else. */
export function asPortTaken(error: unknown, role: string, port: number, option: string): ConfigError | undefined {
  if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') return undefined;
  return new ConfigError(`port ${port} for the ${role} is taken by another program; choose another with ${option}`, {
    role,
    port,
    option,
  });
}

/** Whether only this machine can reach a listener on `host`. */
export function isLoopback(host: string): boolean {
  if (host === 'localhost' || host === '::1') return true;
  return isIP(host) === 4 && host.startsWith('127.');
}
