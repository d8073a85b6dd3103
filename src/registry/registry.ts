import { randomUUID } from 'node:crypto';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import { type Clock, ReadOnlyError, systemClock } from '../core/index.ts';
import type { StorageDriver } from '../driver/index.ts';
import { handleBlob } from './blobs.ts';
import { listCatalog } from './catalog.ts';
import { answerError } from './error-mapper.ts';
import { type Answer, clientSignal, type Exchange, type RegistryParts } from './exchange.ts';
import { sendLent } from './lent-answer.ts';
import { handleManifest } from './manifests.ts';
import { RegistryMetrics } from './metrics.ts';
import { listReferrers } from './referrers.ts';
import { parseRoute, type RegistryRoute, routeKindOf } from './router.ts';
import { listTags } from './tags.ts';
import { UploadStore } from './upload-store.ts';
import { beginUpload, handleUpload } from './uploads.ts';

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
  /** Where the metrics go; it must not hold those of another registry. */
  readonly metrics?: Registry | undefined;
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
}

const IDLE_TIMEOUT_MS = 120_000;
const MAX_RUNNING_HASHES = 1000;

/** Every method that HTTP clients send, so that a wrong one gets a registry's answer. */
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'];
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
 * are marked `public`: who may use a registry is not asked here.
 */
export async function registerRegistry(app: FastifyInstance, options: RegistryOptions): Promise<void> {
  const parts = makeParts(options);
  const metrics = options.metrics === undefined ? undefined : new RegistryMetrics(options.metrics);
  await app.register((scope, _options, done) => {
    scope.removeAllContentTypeParsers();
    scope.addContentTypeParser('*', (_request, payload, done) => done(null, payload));
    scope.addHook('onRequest', async (_request, reply) => {
      reply.header('docker-distribution-api-version', 'registry/2.0');
    });
    scope.setErrorHandler((error, request, reply) => sendError(parts, error, request, reply));
    if (metrics !== undefined) {
      scope.addHook('onResponse', async (request, reply) =>
        metrics.observe(routeKindOf(splitUrl(request).path), request.method, reply),
      );
    }
    for (const url of ['/v2', '/v2/*']) {
      scope.route({
        url,
        method: METHODS,
        exposeHeadRoute: false,
        config: { public: true },
        handler: (request, reply) => handle(parts, options.readOnly?.message, request, reply),
      });
    }
    done();
  });
}

function makeParts(options: RegistryOptions): RegistryParts {
  const { driver, logger, uploads = {} } = options;
  const idleTimeoutMs = uploads.idleTimeoutMs ?? IDLE_TIMEOUT_MS;
  return {
    driver,
    logger,
    baseUrl: options.baseUrl ?? '',
    indexes: options.indexes ?? 'strict',
    verifyReads: options.verifyReads ?? !driver.capabilities.verifiesBlobs,
    idleTimeoutMs,
    uploads: new UploadStore({
      driver,
      logger,
      clock: options.clock ?? systemClock,
      newUploadId: uploads.newUploadId ?? randomUUID,
      idleTimeoutMs,
      maxRunningHashes: uploads.maxRunningHashes ?? MAX_RUNNING_HASHES,
    }),
  };
}

async function handle(
  parts: RegistryParts,
  readOnlyMessage: string | undefined,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const { path, query } = splitUrl(request);
  const { method } = request;
  const signal = clientSignal(reply);
  const route = parseRoute(method, path);
  if (readOnlyMessage !== undefined && !READING_METHODS.includes(method)) {
    reply.header('allow', READING_METHODS.join(', '));
    throw new ReadOnlyError(readOnlyMessage);
  }
  const answer = await dispatch({ ...parts, method, query, request, reply, signal }, route);
  const { status, headers, body, lent } = answer;
  if (lent !== undefined) {
    const error = await sendLent(reply, { status, headers: headers ?? {} }, lent);
    if (error !== undefined && !signal.aborted) {
      parts.logger.error({ err: error, method, url: request.url }, 'an answer broke off');
    }
    return reply;
  }
  return reply
    .code(status)
    .headers(headers ?? {})
    .send(body);
}

function dispatch(exchange: Exchange, route: RegistryRoute): Promise<Answer> {
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
      return handleBlob(exchange, route.repository, route.digest);
    case 'uploads':
      return beginUpload(exchange, route.repository);
    case 'upload':
      return handleUpload(exchange, { repository: route.repository, uploadId: route.uploadId });
    case 'referrers':
      return listReferrers(exchange, route.repository, route.digest);
  }
}

function sendError(parts: RegistryParts, error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const { status, headers, body } = answerError(error, {
    method: request.method,
    kind: routeKindOf(splitUrl(request).path),
  });
  // Nobody is there any more to tell; the error is mostly that, too.
  if (reply.raw.destroyed) {
    parts.logger.debug({ err: error, method: request.method, url: request.url }, 'the client went away');
  } else if (status >= 500) {
    parts.logger.error({ err: error, method: request.method, url: request.url, status }, 'a registry request failed');
  }
  const stale = status === 416 ? CONTENT_HEADERS : [...CONTENT_HEADERS, 'content-range'];
  for (const name of stale) reply.removeHeader(name);
  return reply.code(status).headers(headers).send(body);
}

function splitUrl(request: FastifyRequest): { readonly path: string; readonly query: URLSearchParams } {
  const url = request.raw.url ?? '';
  const mark = url.indexOf('?');
  if (mark < 0) return { path: url, query: new URLSearchParams() };
  return { path: url.slice(0, mark), query: new URLSearchParams(url.slice(mark + 1)) };
}
