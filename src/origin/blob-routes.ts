import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import {
  BadRequestError,
  type Digest,
  DigestMismatchError,
  encodeMetainfo,
  parseDigest,
  parseRepository,
} from '../core/index.ts';
import type { BlobMetainfo } from './blob-metainfo.ts';
import type { OriginMetrics } from './metrics.ts';
import type { OriginBlobs } from './origin-blobs.ts';
import { type BlobStatAnswer, originRoutes } from './protocol.ts';
import { parseRangeHeader } from './range-header.ts';
import type { Uploads } from './uploads.ts';

/** What the routes need. */
export interface BlobRoutesDeps {
  readonly blobs: OriginBlobs;
  readonly metainfo: BlobMetainfo;
  readonly uploads: Uploads;
  readonly metrics: OriginMetrics;
}

const OCTETS = 'application/octet-stream';

/** Adds the routes of `protocol.ts` to a server that asks for the cluster token. */
export function addBlobRoutes(app: FastifyInstance, deps: BlobRoutesDeps): void {
  // A blob may be JSON, and larger than any limit on JSON: bodies stay streams here, whatever they call themselves.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', (_request, payload, done) => done(null, payload));

  app.put(originRoutes.blob(':digest'), (request, reply) => putBlob(request, reply, deps));
  app.get(originRoutes.blob(':digest'), { exposeHeadRoute: false }, (request, reply) => getBlob(request, reply, deps));
  app.get(originRoutes.stat(':digest'), async (request, reply): Promise<BlobStatAnswer> => {
    const located = await deps.blobs.locate(digestOf(request), {
      local: flagOf(request, 'local'),
      signal: goneSignal(reply),
    });
    return { sizeBytes: located.sizeBytes };
  });
  app.post(originRoutes.keep(':digest'), async (request, reply): Promise<BlobStatAnswer> => {
    return { sizeBytes: await deps.blobs.keep(digestOf(request), goneSignal(reply)) };
  });
  app.get(originRoutes.metainfo(':digest'), async (request, reply) => {
    const metainfo = await deps.metainfo.get(digestOf(request), goneSignal(reply));
    return reply.type(OCTETS).send(encodeMetainfo(metainfo));
  });
  app.get(originRoutes.inline(':digest'), async (request, reply) => {
    return reply.type(OCTETS).send(await deps.metainfo.getInline(digestOf(request), goneSignal(reply)));
  });
}

async function putBlob(request: FastifyRequest, reply: FastifyReply, deps: BlobRoutesDeps): Promise<FastifyReply> {
  const digest = digestOf(request);
  const repository = queryOf(request)['repository'];
  const upload = {
    repository: repository === undefined ? undefined : parseRepository(repository),
    replica: flagOf(request, 'replica'),
  };
  try {
    await deps.uploads.take(digest, bodyOf(request, digest), upload);
  } catch (error) {
    // Bytes that nobody reads would keep the client from reading the answer.
    request.raw.resume();
    throw error;
  }
  return reply.code(201).send();
}

async function getBlob(request: FastifyRequest, reply: FastifyReply, deps: BlobRoutesDeps): Promise<FastifyReply> {
  const digest = digestOf(request);
  const opened = await deps.blobs.open(digest, (sizeBytes) => parseRangeHeader(request.headers.range, sizeBytes), {
    local: flagOf(request, 'local'),
    signal: goneSignal(reply),
    onBytes: (bytes) => deps.metrics.sentBytes.inc({ via: 'http' }, bytes),
  });
  const { sizeBytes, range, stream } = opened;
  void reply.type(OCTETS).header('accept-ranges', 'bytes');
  if (range === undefined) return reply.header('content-length', sizeBytes).send(stream);
  return reply
    .code(206)
    .header('content-range', `bytes ${range.offset}-${range.offset + range.length - 1}/${sizeBytes}`)
    .header('content-length', range.length)
    .send(stream);
}

/** The bytes of a body, and an error that says so when the client goes away, or sends fewer than it announced. */
async function* bodyOf(request: FastifyRequest, digest: Digest): AsyncGenerator<Buffer> {
  const announced = request.headers['content-length'];
  let total = 0;
  try {
    // The socket has to outlive a failure to keep the bytes: the answer goes through it.
    for await (const chunk of request.raw.iterator({ destroyOnReturn: false })) {
      total += (chunk as Buffer).length;
      yield chunk as Buffer;
    }
  } catch (cause) {
    throw new BadRequestError(`the upload of blob ${digest} ended after ${total} bytes`, { digest, total }, { cause });
  }
  if (announced !== undefined && total !== Number(announced)) {
    throw new DigestMismatchError(`blob ${digest} was announced with ${announced} bytes, ${total} came`, {
      digest,
      announced: Number(announced),
      total,
    });
  }
}

/** Ends the work for a request when its client goes away before the answer is whole. */
function goneSignal(reply: FastifyReply): AbortSignal {
  const controller = new AbortController();
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) controller.abort(new BadRequestError('the client has gone'));
  });
  return controller.signal;
}

function digestOf(request: FastifyRequest): Digest {
  return parseDigest((request.params as { digest: string }).digest);
}

function queryOf(request: FastifyRequest): Readonly<Record<string, string | undefined>> {
  return request.query as Record<string, string | undefined>;
}

function flagOf(request: FastifyRequest, name: 'local' | 'replica'): boolean {
  const value = queryOf(request)[name];
  if (value === undefined || value === 'false') return false;
  if (value === 'true') return true;
  throw new BadRequestError(`?${name}= takes "true" or "false", got "${value.slice(0, 50)}"`);
}
