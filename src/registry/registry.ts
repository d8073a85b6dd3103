import { randomUUID } from 'node:crypto';
import { METHODS as httpMethods } from 'node:http';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import { type Clock, KeyedMutex, ReadOnlyError, systemClock } from '../core/index.ts';
import type { StorageDriver } from '../driver/index.ts';
import { type AccessControl, type Caller, findNeed, openAccess } from './access.ts';
import { handleBlob } from './blobs.ts';
import { listCatalog } from './catalog.ts';
import { answerError } from './error-mapper.ts';
import { AccessDeniedError } from './errors.ts';
import type { EventSink, RegistryDeed, RegistryEvent } from './events.ts';
import { type Answer, clientSignal, type Exchange, type RegistryParts } from './exchange.ts';
import { sendLent } from './lent-answer.ts';
import { handleManifest } from './manifests.ts';
import { RegistryMetrics } from './metrics.ts';
import { type BlobDelivery, type OffloadOptions, openDelivery } from './offload.ts';
import { listReferrers } from './referrers.ts';
import { deleteRepository } from './repositories.ts';
import { parseRoute, type RegistryRoute, routeKindOf } from './router.ts';
import { StorageCache, type StorageCacheOptions } from './storage-cache.ts';
import { listTags } from './tags.ts';
import { endUnreadBody } from './unread-body.ts';
import type { UploadForwarder } from './upload-forwarder.ts';
import { UploadStore } from './upload-store.ts';
import { beginUpload, handleUpload } from './uploads.ts';
import { formatWarnings } from './warning.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Set on routes that answer without the cluster token. */
    public?: true;
  }
}

/** What a registry is made of. */
export interface RegistryOptions {
  /** Where everything is stored. The registry never closes it. */
  readonly driver: StorageDriver;
  readonly logger: Logger;
  /** Set on a registry that takes no writes: each of them answers 405 with this message, which says where to write. */
  readonly readOnly?: { readonly message: string } | undefined;
  /** Whether the manifests that an index names have to be in its repository. Default: `strict`, they have to. */
  readonly indexes?: 'strict' | 'lenient' | undefined;
  readonly uploads?: UploadOptions | undefined;
  /**
   * What stands before the path in every `Location`, without a slash at the end, such as `https://registry.example`.
   * Default: nothing, which is right behind any proxy; all clients resolve relative ones.
   */
  readonly baseUrl?: string | undefined;
  /** Whether a whole blob is hashed while it is sent. Default: when the driver does not verify blobs by itself. */
  readonly verifyReads?: boolean | undefined;
  /** Whether clients are sent to the URLs at which the driver's storage gives its objects, if it has such. Default: true. */
  readonly redirect?: boolean | undefined;
  /** Has a web server in front send the bytes of blobs. Default: they go through the registry. */
  readonly offload?: OffloadOptions | undefined;
  /**
   * What is remembered of the storage. Default: nothing. Without effect on a driver that knows only the registry's layout,
   * which has memories of its own, and with `offload`, where the file itself has to be there.
   */
  readonly cache?: StorageCacheOptions | undefined;
  /** Where the metrics go; it must not hold those of another registry. */
  readonly metrics?: Registry | undefined;
  /** Who may do what. Default: everybody everything. The caller closes it. */
  readonly access?: AccessControl | undefined;
  /** Whom to tell of pushes, pulls, mounts and deletions. The caller closes it. */
  readonly events?: EventSink | undefined;
  /** A sentence that clients show whoever pulls or pushes a manifest, such as that the registry moves. */
  readonly warning?: string | undefined;
  /** Default: the machine's. */
  readonly clock?: Clock | undefined;
}

/** How uploads are handled. */
export interface UploadOptions {
  /** A body without a byte for this long is given up; the upload keeps what came. In milliseconds, default 120 000. */
  readonly idleTimeoutMs?: number | undefined;
  /** Uploads whose hash is kept in memory between requests, default 1000; others are read once more at their end. */
  readonly maxRunningHashes?: number | undefined;
  /** Makes an id that nobody can guess: 1 to 128 letters, digits, `_` and `-`. Default: a random UUID. */
  readonly newUploadId?: (() => string) | undefined;
  /** Clients are asked to send chunks of this many bytes or more (`OCI-Chunk-Min-Length`). Default: they are asked nothing. */
  readonly chunkMinLengthBytes?: number | undefined;
  /** Knows the uploads of other registries of the same kind. Default: all uploads are here. The caller closes it. */
  readonly forwarder?: UploadForwarder | undefined;
}

const IDLE_TIMEOUT_MS = 120_000;
const MAX_RUNNING_HASHES = 1000;

/** Every method that comes as a request, so that a wrong one gets a registry's answer. */
const METHODS = httpMethods.filter((method) => method !== 'CONNECT');
const READING_METHODS = ['GET', 'HEAD'];

/** Headers that speak of the content; an error that comes instead of it must not carry them. */
const CONTENT_HEADERS = [
  'accept-ranges',
  'cache-control',
  'content-length',
  'content-type',
  'docker-content-digest',
  'etag',
];

/**
 * Adds the OCI distribution API, `/v2/` and everything below, to an HTTP server that the caller listens with and closes.
 *
 * Bodies stay streams and errors get the API's form on these routes only; the rest of the server keeps its own. The routes
 * are marked `public`, as the cluster token has no say here: `access` has.
 * @throws ConfigError when blobs are to be offloaded and cannot be
 */
export async function registerRegistry(app: FastifyInstance, options: RegistryOptions): Promise<void> {
  const parts = makeParts(options);
  const serving: Serving = { ...options, delivery: openDelivery(options) };
  const metrics = options.metrics === undefined ? undefined : new RegistryMetrics(options.metrics);
  await app.register((scope, _options, done) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', (_request, payload, done) => done(null, payload));
    scope.addHook('onRequest', async (request, reply) => {
      reply.header('docker-distribution-api-version', 'registry/2.0');
      // Blobs are whatever somebody has pushed: no browser is to guess that one is a page.
      reply.header('x-content-type-options', 'nosniff');
      // What a user can name to whoever reads the log.
      reply.header('x-request-id', request.id);
    });
    scope.addHook('onResponse', async ({ raw }) => endUnreadBody(raw, parts.idleTimeoutMs));
    scope.setErrorHandler((error, request, reply) => sendError(parts, error, request, reply));
    if (metrics !== undefined) {
      scope.addHook('onResponse', async (request, reply) =>
        metrics.observe(routeKindOf(splitUrl(request).path), request.method, reply),
      );
    }
    for (const method of METHODS) {
      if (!scope.supportedMethods.includes(method)) scope.addHttpMethod(method, { hasBody: true });
    }
    for (const url of ['/v2', '/v2/*']) {
      scope.route({
        url,
        method: METHODS,
        exposeHeadRoute: false,
        config: { public: true },
        handler: (request, reply) => handle(parts, serving, request, reply),
      });
    }
    done();
  });
}

function makeParts(options: RegistryOptions): RegistryParts {
  const { logger, uploads = {} } = options;
  const idleTimeoutMs = uploads.idleTimeoutMs ?? IDLE_TIMEOUT_MS;
  const clock = options.clock ?? systemClock;
  const driver = remembering(options, clock);
  return {
    driver,
    logger,
    clock,
    baseUrl: options.baseUrl ?? '',
    indexes: options.indexes ?? 'strict',
    fallbackTags: new KeyedMutex(),
    verifyReads: options.verifyReads ?? !driver.capabilities.verifiesBlobs,
    idleTimeoutMs,
    chunkMinLengthBytes: uploads.chunkMinLengthBytes,
    uploadForwarder: uploads.forwarder,
    uploads: new UploadStore({
      driver,
      logger,
      clock,
      newUploadId: uploads.newUploadId ?? randomUUID,
      idleTimeoutMs,
      maxRunningHashes: uploads.maxRunningHashes ?? MAX_RUNNING_HASHES,
    }),
  };
}

function remembering({ driver, cache, offload }: RegistryOptions, clock: Clock): StorageDriver {
  if (cache === undefined || cache.maxBytes === 0 || offload !== undefined || !driver.capabilities.anyPath)
    return driver;
  return new StorageCache(driver, cache, clock);
}

/** What requests are admitted and blobs are delivered by. */
type Serving = Pick<RegistryOptions, 'access' | 'events' | 'readOnly' | 'warning'> & {
  readonly delivery: BlobDelivery;
};

async function handle(
  parts: RegistryParts,
  options: Serving,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const { path, query } = splitUrl(request);
  const { method } = request;
  const signal = clientSignal(reply);
  const route = parseRoute(method, path);
  const caller = await admit(options.access ?? openAccess, request, route, signal);
  if (options.readOnly !== undefined && !READING_METHODS.includes(method)) {
    reply.header('allow', READING_METHODS.join(', '));
    throw new ReadOnlyError(options.readOnly.message);
  }
  const exchange = { ...parts, method, query, request, reply, signal, caller };
  const standing = options.warning !== undefined && route.kind === 'manifest' ? [options.warning] : [];
  if (standing.length > 0) reply.header('warning', formatWarnings(standing));
  const answer = await dispatch(exchange, route, options.delivery);
  if (answer.deed !== undefined) {
    options.events?.publish(eventOf(answer.deed, request, caller.name, parts.clock.nowMs()));
  }
  const warnings = formatWarnings([...standing, ...(answer.warnings ?? [])]);
  if (warnings.length > 0) reply.header('warning', warnings);
  return send(parts, answer, { request, reply, signal });
}

async function admit(
  access: AccessControl,
  request: FastifyRequest,
  route: RegistryRoute,
  signal: AbortSignal,
): Promise<Caller> {
  const need = findNeed(request.method, route);
  if (need === undefined) throw new AccessDeniedError(`${request.method} of ${route.kind} is permitted to nobody`);
  return access.admit(request.headers.authorization, need, signal);
}

async function send(
  parts: RegistryParts,
  { status, headers, body, lent }: Answer,
  { request, reply, signal }: Pick<Exchange, 'request' | 'reply' | 'signal'>,
): Promise<FastifyReply> {
  if (lent !== undefined) {
    const error = await sendLent(reply, { status, headers: headers ?? {} }, lent);
    if (error !== undefined && !signal.aborted) {
      parts.logger.error({ err: error, ...traitsOf(request) }, 'an answer broke off');
    }
    return reply;
  }
  return reply
    .code(status)
    .headers(headers ?? {})
    .send(body);
}

function dispatch(exchange: Exchange, route: RegistryRoute, delivery: BlobDelivery): Promise<Answer> {
  switch (route.kind) {
    case 'base':
      return Promise.resolve({ status: 200, body: {} });
    case 'catalog':
      return listCatalog(exchange);
    case 'tags':
      return listTags(exchange, route.repository);
    case 'manifest':
      return handleManifest(exchange, route.repository, route.reference);
    case 'blob':
      return handleBlob(exchange, route.repository, route.digest, delivery);
    case 'uploads':
      return beginUpload(exchange, route.repository);
    case 'upload':
      return handleUpload(exchange, { repository: route.repository, uploadId: route.uploadId });
    case 'referrers':
      return listReferrers(exchange, route.repository, route.digest);
    case 'repository':
      return deleteRepository(exchange, route.repository);
  }
}

function sendError(parts: RegistryParts, error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const { status, headers, body } = answerError(error, {
    method: request.method,
    kind: routeKindOf(splitUrl(request).path),
    requestId: request.id,
  });
  // Nobody is there any more to tell; the error is mostly that, too.
  if (reply.raw.destroyed) {
    parts.logger.debug({ err: error, ...traitsOf(request) }, 'the client went away');
  } else if (status >= 500) {
    parts.logger.error({ err: error, ...traitsOf(request), status }, 'a registry request failed');
  }
  const stale = status === 416 ? CONTENT_HEADERS : [...CONTENT_HEADERS, 'content-range'];
  for (const name of stale) reply.removeHeader(name);
  return reply.code(status).headers(headers).send(body);
}

/** What the log says of a request. */
function traitsOf({ method, url, id }: FastifyRequest) {
  return { method, url, requestId: id };
}

function eventOf(deed: RegistryDeed, request: FastifyRequest, actor: string, timeMs: number): RegistryEvent {
  const { remoteAddress = '', remotePort = 0 } = request.socket;
  return {
    ...deed,
    timeMs,
    actor,
    request: {
      id: request.id,
      addr: `${remoteAddress.includes(':') ? `[${remoteAddress}]` : remoteAddress}:${remotePort}`,
      host: request.headers.host ?? '',
      method: request.method,
      userAgent: request.headers['user-agent'] ?? '',
    },
  };
}

/** What a client that takes the registry for its proxy puts before the path: every server takes it (RFC 9112, section 3.2.2). */
const absoluteForm = /^https?:\/\/[^/?]*/i;

function splitUrl(request: FastifyRequest): { readonly path: string; readonly query: URLSearchParams } {
  const url = (request.raw.url ?? '').replace(absoluteForm, '');
  const mark = url.indexOf('?');
  if (mark < 0) return { path: url, query: new URLSearchParams() };
  return { path: url.slice(0, mark), query: new URLSearchParams(url.slice(mark + 1)) };
}
