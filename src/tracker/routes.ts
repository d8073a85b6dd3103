import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import {
  AppError,
  announceKeyOf,
  BadRequestError,
  type Clock,
  decodeMetainfo,
  hexOf,
  infoHashOf,
  parseDigest,
  torrentFile,
} from '../core/index.ts';
import { encodeForeignFailure } from './bep3-answer.ts';
import type { ClusterAnnouncer } from './cluster-announce.ts';
import type { ForeignAnnouncer } from './foreign-announce.ts';
import type { MetainfoCache } from './metainfo-cache.ts';
import { decodeMetainfoAnswer, encodeAnnounceAnswer, trackerRoutes } from './protocol.ts';
import type { AnnounceKind, TrackerMetrics } from './tracker-metrics.ts';

/** What the routes are made of. */
export interface TrackerRoutesDeps {
  readonly cluster: ClusterAnnouncer;
  readonly foreign: ForeignAnnouncer;
  readonly metainfo: MetainfoCache;
  readonly metrics: TrackerMetrics;
  readonly clock: Clock;
  readonly swarmSecret: string;
  readonly publicUrl: string | undefined;
}

type BlobRequest = FastifyRequest<{ Params: { digest: string } }>;

/** Adds the routes of protocol.ts to the tracker's server. */
export function addTrackerRoutes(app: FastifyInstance, deps: TrackerRoutesDeps): void {
  app.post(trackerRoutes.announce, async (request, reply) => {
    const { remoteAddress } = request.socket;
    const answer = await measured('cluster', deps, () => deps.cluster.announce(request.body, remoteAddress));
    // All ASCII, and put together of thousands of pieces: a socket takes much longer to encode that as UTF-8.
    return reply.type('application/json').send(Buffer.from(encodeAnnounceAnswer(answer), 'latin1'));
  });
  app.get(trackerRoutes.metainfo(':digest'), async (request: BlobRequest, reply) => {
    const answer = await deps.metainfo.get(parseDigest(request.params.digest), gone(reply));
    return reply.type('application/octet-stream').send(answer);
  });
  app.get(trackerRoutes.torrent(':digest'), async (request: BlobRequest, reply) => {
    const digest = parseDigest(request.params.digest);
    const answer = decodeMetainfoAnswer(await deps.metainfo.get(digest, gone(reply)));
    const metainfo = decodeMetainfo(answer.metainfo);
    const key = announceKeyOf(infoHashOf(metainfo), deps.swarmSecret);
    const announceUrl = baseUrlOf(request, deps.publicUrl) + trackerRoutes.foreignAnnounce(key);
    return reply
      .type('application/x-bittorrent')
      .header('content-disposition', `attachment; filename="${hexOf(digest)}.torrent"`)
      .send(torrentFile(metainfo, announceUrl));
  });
  // Clients have no cluster token: the key in the path stands for it, for one blob.
  app.get(trackerRoutes.foreignAnnounce(':key'), { config: { public: true } }, (request, reply) => {
    return foreignAnnounce(request as FastifyRequest<{ Params: { key: string } }>, reply, deps);
  });
}

/** Failures are answers too in BEP 3: status 200 with a reason, which clients show to people. */
async function foreignAnnounce(
  request: FastifyRequest<{ Params: { key: string } }>,
  reply: FastifyReply,
  deps: TrackerRoutesDeps,
): Promise<FastifyReply> {
  // The raw query: fastify's own parser takes percent-encoded bytes for UTF-8.
  const query = request.raw.url?.split('?').slice(1).join('?') ?? '';
  reply.type('text/plain').header('cache-control', 'no-store');
  try {
    const { remoteAddress } = request.socket;
    return reply.send(
      await measured('foreign', deps, () => deps.foreign.announce(request.params.key, query, remoteAddress)),
    );
  } catch (error) {
    if (error instanceof AppError) return reply.send(encodeForeignFailure(error.message));
    request.log.error({ err: error }, 'foreign announce failed');
    return reply.send(encodeForeignFailure('internal error; the log of the tracker has it'));
  }
}

async function measured<T>(kind: AnnounceKind, deps: TrackerRoutesDeps, work: () => Promise<T>): Promise<T> {
  const startMs = deps.clock.monotonicMs();
  try {
    const result = await work();
    deps.metrics.announced(kind, (deps.clock.monotonicMs() - startMs) / 1000);
    return result;
  } catch (error) {
    deps.metrics.announceFailed(kind);
    throw error;
  }
}

/** Aborts when the connection closes before the answer is out. */
function gone(reply: FastifyReply): AbortSignal {
  const controller = new AbortController();
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) controller.abort(new Error('the caller went away'));
  });
  return controller.signal;
}

/** @throws BadRequestError when nothing tells under which name clients reach this tracker */
function baseUrlOf(request: FastifyRequest, publicUrl: string | undefined): string {
  if (publicUrl !== undefined) return publicUrl.replace(/\/+$/, '');
  const host = request.headers.host ?? '';
  // What a Host header may hold, no more: it ends up in a file (RFC 9112, section 3.2).
  if (/^([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?$/.test(host)) return `http://${host}`;
  throw new BadRequestError(
    `the Host header is ${JSON.stringify(host.slice(0, 100))}, expected host:port; or set publicUrl of the tracker`,
  );
}
