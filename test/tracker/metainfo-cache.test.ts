import { describe, expect, it, vi } from 'vitest';
import { BlobNotFoundError, type Digest, encodeMetainfo, UnavailableError } from '../../src/core/index.ts';
import { MetainfoCache } from '../../src/tracker/metainfo-cache.ts';
import { encodeMetainfoAnswer } from '../../src/tracker/protocol.ts';
import { makeBlob } from './blobs.ts';
import { FakeClock } from './values.ts';

/** Origins whose answers a test gives when it wants to. */
class ScriptedSource {
  readonly calls: { digest: Digest; signal: AbortSignal | undefined; answer: PromiseWithResolvers<Buffer> }[] = [];

  inline(digest: Digest, signal?: AbortSignal): Promise<Buffer> {
    const answer = Promise.withResolvers<Buffer>();
    signal?.addEventListener('abort', () => answer.reject(signal.reason));
    this.calls.push({ digest, signal, answer });
    return answer.promise;
  }

  answerNext(bytes: Buffer): void {
    this.calls.at(-1)!.answer.resolve(bytes);
  }
}

function makeCache(maxBytes = 1_000_000) {
  const source = new ScriptedSource();
  const clock = new FakeClock();
  const results: string[] = [];
  const onResult = (result: string) => results.push(result);
  return { source, clock, results, cache: new MetainfoCache({ source, clock, onResult, maxBytes, maxAgeMs: 1_000 }) };
}

const forever = new AbortController().signal;
const blob = makeBlob('metainfo', 200_000);
const small = makeBlob('small', 1_000);

describe('MetainfoCache', () => {
  it('asks the origins once for all who ask at the same time, and not again', async () => {
    const { source, cache, results } = makeCache();
    const asked = Array.from({ length: 50 }, () => cache.get(blob.digest, forever));
    source.answerNext(blob.answer);
    for (const answer of await Promise.all(asked)) expect(answer).toEqual(blob.answer);
    expect(await cache.get(blob.digest, forever)).toEqual(blob.answer);
    expect(source.calls).toHaveLength(1);
    expect(results.filter((result) => result === 'hit')).toHaveLength(1);
  });

  it('asks again once an answer is old', async () => {
    const { source, clock, cache } = makeCache();
    const first = cache.get(blob.digest, forever);
    source.answerNext(blob.answer);
    await first;
    clock.advance(999);
    await cache.get(blob.digest, forever);
    expect(source.calls).toHaveLength(1);
    clock.advance(2);
    const second = cache.get(blob.digest, forever);
    source.answerNext(blob.answer);
    await second;
    expect(source.calls).toHaveLength(2);
  });

  it('keeps no failure', async () => {
    const { source, cache, results } = makeCache();
    const failed = cache.get(blob.digest, forever);
    source.calls[0]!.answer.reject(new BlobNotFoundError('not there'));
    await expect(failed).rejects.toBeInstanceOf(BlobNotFoundError);
    const again = cache.get(blob.digest, forever);
    source.answerNext(blob.answer);
    expect(await again).toEqual(blob.answer);
    expect(results).toEqual(['miss', 'not_found', 'miss']);
  });

  it('lets one caller go while others wait, and gives up when nobody waits', async () => {
    const { source, cache } = makeCache();
    const [one, other] = [new AbortController(), new AbortController()];
    const first = cache.get(blob.digest, one.signal);
    const second = cache.get(blob.digest, other.signal);
    one.abort(new Error('gone'));
    await expect(first).rejects.toThrow('gone');
    expect(source.calls[0]!.signal!.aborted).toBe(false);
    other.abort(new Error('gone too'));
    await expect(second).rejects.toThrow('gone too');
    expect(source.calls[0]!.signal!.aborted).toBe(true);
    // A newcomer does not join what was given up.
    const third = cache.get(blob.digest, forever);
    expect(source.calls).toHaveLength(2);
    source.answerNext(blob.answer);
    expect(await third).toEqual(blob.answer);
  });

  it('asks nobody for a caller that is gone already', async () => {
    const { source, cache } = makeCache();
    await expect(cache.get(blob.digest, AbortSignal.abort(new Error('gone')))).rejects.toThrow('gone');
    expect(source.calls).toHaveLength(0);
  });

  it('drops the least recently used when its bytes are full', async () => {
    const blobs = ['a', 'b', 'c'].map((seed) => makeBlob(seed, 10_000));
    const { source, cache } = makeCache(blobs[0]!.answer.length * 2 + 1_000);
    const get = async (index: number) => {
      const asked = cache.get(blobs[index]!.digest, forever);
      if (source.calls.at(-1)?.digest === blobs[index]!.digest) source.answerNext(blobs[index]!.answer);
      return asked;
    };
    await get(0);
    await get(1);
    await get(0);
    await get(2);
    expect(source.calls).toHaveLength(3);
    await get(0);
    expect(source.calls).toHaveLength(3);
    await get(1);
    expect(source.calls).toHaveLength(4);
  });

  it('passes on an answer that is too large to be kept', async () => {
    const { source, cache } = makeCache(500);
    const asked = cache.get(blob.digest, forever);
    source.answerNext(blob.answer);
    expect(await asked).toEqual(blob.answer);
  });

  it('asks for a bounded number of blobs at once', async () => {
    const { source, cache } = makeCache();
    const away = new AbortController();
    const asked = Array.from({ length: 1_000 }, (_, index) => {
      return cache.get(`sha256:${index.toString(16).padStart(64, '0')}` as Digest, away.signal);
    });
    await vi.waitUntil(() => source.calls.length === 1_000);
    await expect(cache.get(blob.digest, forever)).rejects.toBeInstanceOf(UnavailableError);
    away.abort(new Error('gone'));
    await Promise.allSettled(asked);
    const later = cache.get(blob.digest, forever);
    source.answerNext(blob.answer);
    expect(await later).toEqual(blob.answer);
  });

  const metainfo = encodeMetainfo(small.metainfo);
  it.each([
    ['metainfo of another blob', makeBlob('another', 1_000).answer, /is about sha256:/],
    ['nothing', Buffer.alloc(0), /cannot be used/],
    ['a cut answer', small.answer.subarray(0, 60), /cannot be used/],
    ['no metainfo', Buffer.from('<html>busy, come back later</html>'), /cannot be used/],
    [
      'another small blob',
      encodeMetainfoAnswer({ metainfo, blob: makeBlob('x', 1_000).bytes }),
      /do not have its digest/,
    ],
    ['a cut small blob', small.answer.subarray(0, -1), /999 bytes of the blob/],
  ])('refuses and forgets %s', async (_name, bytes, message) => {
    const { source, cache } = makeCache();
    const asked = cache.get(small.digest, forever);
    source.answerNext(bytes);
    await expect(asked).rejects.toBeInstanceOf(UnavailableError);
    await expect(asked).rejects.toThrow(message);
    const again = cache.get(small.digest, forever);
    source.answerNext(small.answer);
    expect(await again).toEqual(small.answer);
  });

  it.each([
    ['no bytes', makeBlob('empty', 0)],
    ['a sha512 digest', makeBlob('long', 70_000, 'sha512')],
  ])('takes the answer for a blob with %s', async (_name, { digest, answer }) => {
    const { source, cache } = makeCache();
    const asked = cache.get(digest, forever);
    source.answerNext(answer);
    expect(await asked).toEqual(answer);
  });
});
