import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { FastifyReply, FastifyRequest } from 'fastify';
import {
  algorithmOf,
  BlobNotFoundError,
  type Digest,
  DigestMismatchError,
  encodeMetainfo,
  hashBytes,
  type Metainfo,
  parseDigest,
  type UnavailableError,
} from '../../src/core/index.ts';
import { originRoutes } from '../../src/origin/protocol.ts';
import { generateMetainfo } from '../../src/swarm/index.ts';
import { encodeMetainfoAnswer, trackerRoutes } from '../../src/tracker/protocol.ts';
import { StandInService } from './stand-in-service.ts';

/** A blob no longer than this comes with its metainfo (`tracker/protocol.ts`). */
const INLINE_MAX_BYTES = 64 * 1024;

/** Blobs in memory, open to the test. */
export class StandInOrigin {
  readonly blobs = new Map<string, Buffer>();
  /** `digest repository` of every upload that was taken. */
  readonly uploads: string[] = [];
  /** Ranges that were asked for, as `offset-end`; `whole` without one. */
  readonly ranges: string[] = [];
  /** Clients that went away in mid-body. */
  hangUps = 0;
  /** Uploads are refused with this. */
  refuseUploads: UnavailableError | undefined;
  /** Every body breaks off after so many bytes. */
  breakAfterBytes = Number.POSITIVE_INFINITY;
  /** Changes the bytes of a body. */
  corrupt: (bytes: Buffer) => Buffer = (bytes) => bytes;
  /** Given out instead of the metainfo that the bytes have. */
  readonly metainfoInstead = new Map<string, Metainfo>();
  #service: StandInService | undefined;

  static async start(): Promise<StandInOrigin> {
    const origin = new StandInOrigin();
    origin.#service = await StandInService.start('origin', (app) => {
      app.get(originRoutes.blob(':digest'), (request, reply) => origin.#sendBlob(request, reply));
      app.put(originRoutes.blob(':digest'), async (request, reply) => {
        await origin.#takeUpload(request);
        return reply.code(201).send();
      });
      app.get(originRoutes.stat(':digest'), async (request) => ({ sizeBytes: origin.#get(digestOf(request)).length }));
      app.post(originRoutes.keep(':digest'), async (request) => ({ sizeBytes: origin.#get(digestOf(request)).length }));
      app.get(originRoutes.inline(':digest'), async (request) => origin.answer(digestOf(request)));
    });
    return origin;
  }

  get service(): StandInService {
    return this.#service!;
  }

  add(bytes: Buffer): Digest {
    const digest = hashBytes(bytes);
    this.blobs.set(digest, bytes);
    return digest;
  }

  async metainfo(digest: string): Promise<Metainfo> {
    const bytes = this.#get(digest);
    return this.metainfoInstead.get(digest) ?? generateMetainfo(digest as Digest, bytes.length, Readable.from([bytes]));
  }

  /** An encoded metainfo answer. */
  async answer(digest: string): Promise<Buffer> {
    const bytes = this.#get(digest);
    const metainfo = encodeMetainfo(await this.metainfo(digest));
    return encodeMetainfoAnswer({ metainfo, blob: bytes.length <= INLINE_MAX_BYTES ? bytes : undefined });
  }

  #get(digest: string): Buffer {
    const bytes = this.blobs.get(digest);
    if (bytes === undefined) throw new BlobNotFoundError(`${digest} is at no origin of this test`);
    return bytes;
  }

  async #takeUpload(request: FastifyRequest): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request.body as Readable) chunks.push(chunk as Buffer);
    if (this.refuseUploads !== undefined) throw this.refuseUploads;
    const bytes = Buffer.concat(chunks);
    const digest = parseDigest(digestOf(request));
    if (hashBytes(bytes, algorithmOf(digest)) !== digest)
      throw new DigestMismatchError(`${bytes.length} bytes are not ${digest}`);
    this.blobs.set(digest, bytes);
    this.uploads.push(`${digest} ${(request.query as { repository: string }).repository}`);
  }

  async #sendBlob(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const bytes = this.corrupt(this.#get(digestOf(request)));
    const match = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '');
    const [from, to] = match === null ? [0, bytes.length - 1] : [Number(match[1]), Number(match[2])];
    this.ranges.push(match === null ? 'whole' : `${from}-${to}`);
    const body = bytes.subarray(from, to + 1);
    reply.hijack();
    reply.raw.writeHead(match === null ? 200 : 206, { 'content-length': body.length });
    if (body.length > this.breakAfterBytes) {
      reply.raw.write(body.subarray(0, this.breakAfterBytes), () => reply.raw.destroy());
      return;
    }
    await pipeline(Readable.from(slices(body)), reply.raw).catch(() => {
      this.hangUps += 1;
    });
  }
}

/** A tracker that answers metainfo out of an origin's memory. */
export function startTracker(origin: StandInOrigin): Promise<StandInService> {
  return StandInService.start('tracker', (app) => {
    app.get(trackerRoutes.metainfo(':digest'), async (request) => origin.answer(digestOf(request)));
  });
}

function digestOf(request: FastifyRequest): string {
  return (request.params as { digest: string }).digest;
}

function* slices(bytes: Buffer): Iterable<Buffer> {
  for (let offset = 0; offset < bytes.length; offset += 16_384) yield bytes.subarray(offset, offset + 16_384);
}
