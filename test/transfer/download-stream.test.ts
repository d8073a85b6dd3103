import { PassThrough, Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { BlobFile } from '../../src/castore/index.ts';
import {
  BlobNotFoundError,
  type ByteRange,
  type Digest,
  DigestMismatchError,
  hashBytes,
  UnavailableError,
} from '../../src/core/index.ts';
import { generateMetainfo } from '../../src/swarm/index.ts';
import { downloadStream } from '../../src/transfer/download-stream.ts';
import { testLogger } from '../helpers/logger.ts';
import { ScriptedDownload } from './scripted-download.ts';
import { seededBytes } from './stand-in-cluster.ts';

const PIECE = 64 * 1024;
const PATIENT = { firstByteBudgetMs: 20_000, nextPieceBudgetMs: 20_000, stallLimitMs: 60_000 };
const HASTY = { firstByteBudgetMs: 5, nextPieceBudgetMs: 5, stallLimitMs: 20_000 };

describe('downloadStream', () => {
  it('hands out verified bytes while the rest is still on its way', async () => {
    const { download, bytes, open } = await scene(3 * PIECE + 100);
    const reading = reader(open());
    download.bring(0);
    await reading.has(PIECE);
    expect(reading.bytes()).toEqual(bytes.subarray(0, PIECE));
    download.bring(2, 3);
    await nextTurn();
    expect(reading.length()).toBe(PIECE);
    download.bring(1);
    await reading.has(3 * PIECE);
    download.finish();
    await reading.ended;
    expect(reading.bytes()).toEqual(bytes);
  });

  it('holds the last piece of a whole blob back until its digest has matched', async () => {
    const { download, bytes, open } = await scene(2 * PIECE);
    const reading = reader(open());
    download.bringAll();
    await reading.has(PIECE);
    await nextTurn();
    expect(reading.length()).toBe(PIECE);
    // The commit, which syncs, may take its time.
    download.matchDigest();
    await reading.ended;
    expect(reading.bytes()).toEqual(bytes);
  });

  it('rests a range on its pieces: the last one does not wait for the digest', async () => {
    const { download, bytes, open } = await scene(3 * PIECE);
    const range = { offset: PIECE + 10, length: 2 * PIECE - 10 };
    download.bring(1, 2);
    expect(await buffer(open(range))).toEqual(bytes.subarray(PIECE + 10, 3 * PIECE));
  });

  it('destroys the stream with the mismatch instead of ending it', async () => {
    const { download, open } = await scene(2 * PIECE);
    const reading = reader(open());
    download.bringAll();
    await reading.has(PIECE);
    const mismatch = new DigestMismatchError('other bytes');
    download.fail(mismatch);
    await expect(reading.ended).rejects.toBe(mismatch);
    expect(reading.length()).toBe(PIECE);
  });

  it('fetches a piece from the origins when the swarm does not bring it in time, and the missing ones behind it', async () => {
    const { download, bytes, open, requests } = await scene(6 * PIECE + 7, HASTY);
    download.bring(0);
    expect(await buffer(open())).toEqual(bytes);
    expect(download.supplied.toSorted()).toEqual([1, 2, 3, 4, 5, 6]);
    expect(requests.length).toBeLessThan(6);
  });

  it('asks the origins for no more than two things at once', async () => {
    const { open, bytes, gate, mostAtOnce } = await scene(12 * PIECE, HASTY, { isGated: true });
    const reading = reader(open());
    await expect.poll(mostAtOnce).toBe(2);
    gate.resolve();
    await reading.ended;
    expect(reading.bytes()).toEqual(bytes);
    expect(mostAtOnce()).toBe(2);
  }, 10_000);

  it('fetches nothing outside of the range', async () => {
    const { download, open, bytes } = await scene(9 * PIECE, HASTY);
    const range = { offset: 3 * PIECE, length: 2 * PIECE };
    expect(await buffer(open(range))).toEqual(bytes.subarray(3 * PIECE, 5 * PIECE));
    expect(download.supplied.toSorted()).toEqual([3, 4]);
  });

  it('leaves pieces alone that a peer is bringing, except the one that the reader waits for', async () => {
    const { download, open } = await scene(4 * PIECE, { ...HASTY, nextPieceBudgetMs: 20_000 });
    for (const piece of [0, 1, 2, 3]) download.onTheirWay.add(piece);
    const reading = reader(open());
    await reading.has(PIECE);
    download.bring(1, 2, 3);
    download.finish();
    await reading.ended;
    expect(download.supplied).toEqual([0]);
  });

  it('goes back to the swarm when that brings more than the origins do', async () => {
    const { download, open, bytes, gate, requests } = await scene(
      40 * PIECE,
      { ...HASTY, nextPieceBudgetMs: 5_000 },
      { isGated: true },
    );
    const reading = reader(open());
    await expect.poll(() => requests.length).toBe(2);
    download.bring(...Array.from({ length: 20 }, (_, piece) => piece + 5));
    gate.resolve();
    await reading.has(2 * PIECE);
    await nextTurn();
    expect(requests.length).toBe(2);
    download.bringAll();
    download.finish();
    await reading.ended;
    expect(reading.bytes()).toEqual(bytes);
  });

  it('goes on waiting for the swarm when the origins do not answer', async () => {
    const { download, open, bytes, requests } = await scene(2 * PIECE, HASTY, {
      answer: () => {
        throw new UnavailableError('every origin is down');
      },
    });
    const reading = reader(open());
    await expect.poll(() => requests.length).toBeGreaterThan(1);
    download.bringAll();
    download.finish();
    await reading.ended;
    expect(reading.bytes()).toEqual(bytes);
  });

  it('takes no piece whose bytes do not match, and ends with an error when nothing else comes', async () => {
    const budgets = { ...HASTY, stallLimitMs: 60 };
    const { download, open } = await scene(2 * PIECE, budgets, { answer: () => Readable.from([]) });
    await expect(buffer(open())).rejects.toThrow(UnavailableError);
    const other = await scene(2 * PIECE, HASTY, {
      answer: ({ length }) => Readable.from([Buffer.alloc(length, 7)]),
    });
    const reading = reader(other.open());
    await expect.poll(() => other.requests.length).toBeGreaterThan(2);
    expect(reading.length()).toBe(0);
    expect(download.supplied).toEqual([]);
    expect(other.download.supplied).toEqual([]);
    other.download.fail(new Error('enough'));
    await expect(reading.ended).rejects.toThrow('enough');
  });

  it('names blob, piece and the last failure when a read stalls', async () => {
    const failure = new UnavailableError('every origin is down');
    const { open, digest } = await scene(
      2 * PIECE,
      { ...HASTY, stallLimitMs: 30 },
      {
        answer: () => {
          throw failure;
        },
      },
    );
    const error = await buffer(open()).then(
      () => undefined,
      (thrown: Error) => thrown,
    );
    expect(error).toBeInstanceOf(UnavailableError);
    expect(error?.message).toContain(`piece 0 of ${digest}`);
    expect(error?.cause).toBe(failure);
  });

  it('reads no further than its reader wants', async () => {
    const { download, open } = await scene(64 * PIECE);
    download.bringAll();
    const stream = open();
    await new Promise((resolve) => stream.once('readable', resolve));
    await expect.poll(() => stream.readableLength).toBeGreaterThan(0);
    await nextTurn();
    const furthest = Math.max(...download.readerMoves);
    expect(furthest).toBeLessThanOrEqual(8 * PIECE);
    stream.destroy();
  });

  it('ends its waits and closes its reader when the client goes away', async () => {
    const { download, open, closes } = await scene(4 * PIECE);
    download.bring(0);
    const stream = open();
    const reading = reader(stream);
    await reading.has(PIECE);
    stream.destroy();
    await reading.ended.catch(() => {});
    await expect.poll(() => download.readerMoves.at(-1)).toBe(-1);
    expect(closes()).toBe(1);
    expect(download.cancelledWith).toBeUndefined();
  });

  it('ends requests to the origins when the client goes away', async () => {
    const { open, openBodies, mostAtOnce } = await scene(8 * PIECE, HASTY, { isGated: true });
    const stream = open();
    const reading = reader(stream);
    await expect.poll(mostAtOnce).toBe(2);
    stream.destroy();
    await reading.ended.catch(() => {});
    await expect.poll(openBodies).toBe(0);
  });

  it('throws the reason of the signal', async () => {
    const { open } = await scene(2 * PIECE);
    const controller = new AbortController();
    const reading = reader(open(undefined, controller.signal));
    const reason = new Error('the client hung up');
    controller.abort(reason);
    await expect(reading.ended).rejects.toBe(reason);
  });

  it('reads on from the store when the download has been committed under a slow reader', async () => {
    const { download, open, bytes, store } = await scene(16 * PIECE);
    const stream = open();
    download.bring(0);
    const chunks = stream[Symbol.asyncIterator]();
    const first = (await chunks.next()).value as Buffer;
    store.holdsBlob = true;
    download.bringAll();
    download.finish();
    await nextTurn();
    download.read = async () => {
      throw new Error('the partial blob is gone');
    };
    const rest: Buffer[] = [first];
    for await (const chunk of { [Symbol.asyncIterator]: () => chunks }) rest.push(chunk as Buffer);
    expect(Buffer.concat(rest)).toEqual(bytes);
    await expect.poll(() => store.openFiles).toBe(0);
    expect(store.opened).toBe(1);
  });
});

interface Reading {
  readonly ended: Promise<void>;
  bytes(): Buffer;
  length(): number;
  /** Resolves when so many bytes have come. */
  has(length: number): Promise<void>;
}

function reader(stream: Readable): Reading {
  const chunks: Buffer[] = [];
  const length = () => chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  const ended = new Promise<void>((resolve, reject) => {
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('end', resolve);
    stream.on('error', reject);
    stream.on('close', () => reject(new Error('closed before its end')));
  });
  ended.catch(() => {});
  return {
    ended,
    bytes: () => Buffer.concat(chunks),
    length,
    has: (wanted) => expect.poll(length).toBeGreaterThanOrEqual(wanted) as Promise<void>,
  };
}

/** A store that holds the blob once the test says so. */
class SmallStore {
  holdsBlob = false;
  opened = 0;
  openFiles = 0;
  readonly #bytes: Buffer;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  async openFile(digest: Digest): Promise<BlobFile> {
    if (!this.holdsBlob) throw new BlobNotFoundError(`${digest} is not here`);
    this.opened += 1;
    this.openFiles += 1;
    const close = async () => {
      this.openFiles -= 1;
    };
    return {
      sizeBytes: this.#bytes.length,
      read: async (offset, length) => this.#bytes.subarray(offset, offset + length),
      lend: (offset, length) => ({ bytes: this.#bytes.subarray(offset, offset + length), release: () => {} }),
      close,
      [Symbol.asyncDispose]: close,
    };
  }
}

interface Origins {
  /** Bodies come when the gate is opened. */
  readonly isGated?: boolean;
  /** Instead of the right bytes. */
  readonly answer?: (range: ByteRange) => Readable | undefined;
}

async function scene(length: number, budgets = PATIENT, { isGated = false, answer = () => undefined }: Origins = {}) {
  const bytes = seededBytes(length);
  const digest = hashBytes(bytes);
  const download = new ScriptedDownload(await generateMetainfo(digest, length, Readable.from([bytes])), bytes);
  const store = new SmallStore(bytes);
  const requests: ByteRange[] = [];
  const gate = Promise.withResolvers<void>();
  let atOnce = 0;
  let mostAtOnce = 0;
  let closes = 0;
  const honest = (range: ByteRange) => {
    const body = new PassThrough();
    atOnce += 1;
    mostAtOnce = Math.max(mostAtOnce, atOnce);
    body.once('close', () => {
      atOnce -= 1;
    });
    const send = () => body.end(bytes.subarray(range.offset, range.offset + range.length));
    if (isGated) void gate.promise.then(send);
    else send();
    return body;
  };
  const origins = {
    open: async (_digest: Digest, range: ByteRange | undefined) => {
      requests.push(range!);
      return answer(range!) ?? honest(range!);
    },
  };
  const open = (range: ByteRange = { offset: 0, length }, signal?: AbortSignal) =>
    downloadStream(
      { download, origins, blobs: store, logger: testLogger(), onClose: () => void closes++ },
      range,
      budgets,
      signal,
    );
  return {
    bytes,
    digest,
    download,
    store,
    requests,
    gate,
    open,
    mostAtOnce: () => mostAtOnce,
    openBodies: () => atOnce,
    closes: () => closes,
  };
}
