import { setImmediate as nextTurn } from 'node:timers/promises';
import Value from 'typebox/value';
import { describe, expect, it } from 'vitest';
import {
  BlobNotFoundError,
  type Clock,
  hashBytes,
  parseRepository,
  parseTag,
  UnavailableError,
} from '../../src/core/index.ts';
import { orAborted, resolvesWithin } from '../../src/transfer/abort.ts';
import {
  defaultReadOnlyTransferConfig,
  defaultReadWriteTransferConfig,
  ReadOnlyTransferConfigSchema,
  ReadWriteTransferConfigSchema,
} from '../../src/transfer/config.ts';
import { hedged } from '../../src/transfer/hedge.ts';
import type { BlobStat } from '../../src/transfer/index.ts';
import { LinkCache } from '../../src/transfer/link-cache.ts';
import { pulledStream } from '../../src/transfer/pulled-stream.ts';
import { SingleFlight } from '../../src/transfer/single-flight.ts';
import { TagCache } from '../../src/transfer/tag-cache.ts';
import { testLogger } from '../helpers/logger.ts';

const never = new AbortController().signal;
const hungUp = new Error('hung up');

describe('SingleFlight', () => {
  it('makes one call for all who ask meanwhile, and a new one for who asks later', async () => {
    const flights = new SingleFlight<string, number>();
    let calls = 0;
    const call = async () => ++calls;
    expect(await Promise.all([flights.run('a', call), flights.run('a', call), flights.run('b', call)])).toEqual([
      1, 1, 2,
    ]);
    expect(await flights.run('a', call)).toBe(3);
  });

  it('gives everyone the same failure, and tries again after it', async () => {
    const flights = new SingleFlight<string, number>();
    const failure = new Error('failed');
    const failing = async () => {
      await nextTurn();
      throw failure;
    };
    const both = [flights.run('a', failing), flights.run('a', failing)];
    for (const one of both) await expect(one).rejects.toBe(failure);
    expect(await flights.run('a', async () => 7)).toBe(7);
  });

  it('goes on while one waiter is left, and is aborted when the last one leaves', async () => {
    const flights = new SingleFlight<string, number>();
    const answer = Promise.withResolvers<number>();
    let shared: AbortSignal | undefined;
    const call = (signal: AbortSignal) => {
      shared = signal;
      return answer.promise;
    };
    const [first, second] = [new AbortController(), new AbortController()];
    const one = flights.run('a', call, first.signal);
    const two = flights.run('a', call, second.signal);
    first.abort(hungUp);
    await expect(one).rejects.toBe(hungUp);
    expect(shared?.aborted).toBe(false);
    second.abort(hungUp);
    await expect(two).rejects.toBe(hungUp);
    expect(shared?.aborted).toBe(true);
    expect(await flights.run('a', async () => 8)).toBe(8);
  });
});

describe('hedged', () => {
  const later = (ms: number, value: string | Error) =>
    new Promise<string>((resolve, reject) => {
      setTimeout(() => (value instanceof Error ? reject(value) : resolve(value)), ms);
    });
  const down = new UnavailableError('down');
  const worse = new UnavailableError('worse');
  const absent = new BlobNotFoundError('absent');
  const silent = () => new Promise<string>(() => {});

  it.each([
    ['the first answer', () => later(1, 'first'), silent, 1_000, 'first', false],
    [
      'the second when the first fails, without delay',
      () => later(1, down),
      () => later(1, 'second'),
      60_000,
      'second',
      true,
    ],
    ['the second when the first is late', silent, () => later(1, 'second'), 5, 'second', true],
    [
      'the first when it is late and the second fails',
      () => later(40, 'first'),
      () => later(1, down),
      5,
      'first',
      true,
    ],
    ['a definite error of the first', () => later(1, absent), () => later(1, 'second'), 60_000, absent, false],
    ['a definite error of the second', silent, () => later(1, absent), 5, absent, true],
    ['the error of the second when both fail', () => later(1, down), () => later(1, worse), 60_000, worse, true],
  ])('gives %s', async (_name, first, second, delayMs, expected, asksSecond) => {
    let asked = false;
    const hedge = {
      first,
      second: () => {
        asked = true;
        return second();
      },
      delayMs,
      isDefinite: (error: unknown) => error === absent,
    };
    expect(await hedged(hedge, never).catch((error: unknown) => error)).toBe(expected);
    expect(asked).toBe(asksSecond);
  });

  it('aborts the way that is not needed any more', async () => {
    let loser: AbortSignal | undefined;
    const first = (signal: AbortSignal) => {
      loser = signal;
      return silent();
    };
    await hedged({ first, second: async () => 'second', delayMs: 1, isDefinite: () => false }, never);
    expect(loser?.aborted).toBe(true);
  });
});

describe('pulledStream', () => {
  it('ends a wait in the middle of a step when it is destroyed, and runs what is to be cleaned up', async () => {
    let waiting = false;
    let cleaned = false;
    const stream = pulledStream(async function* (signal) {
      try {
        yield Buffer.from('a');
        waiting = true;
        await orAborted(new Promise(() => {}), signal);
      } finally {
        cleaned = true;
      }
    });
    stream.resume();
    await expect.poll(() => waiting).toBe(true);
    stream.destroy();
    await expect.poll(() => cleaned).toBe(true);
  });

  it('passes an error on after the bytes before it, and never an end', async () => {
    const stream = pulledStream(async function* () {
      yield Buffer.from('a');
      throw hungUp;
    });
    const seen: string[] = [];
    stream.on('data', (chunk: Buffer) => seen.push(chunk.toString())).on('end', () => seen.push('end'));
    await expect(new Promise((_resolve, reject) => stream.once('error', reject))).rejects.toBe(hungUp);
    expect(seen).toEqual(['a']);
  });

  it('begins nothing for a signal that is aborted already', async () => {
    const stream = pulledStream(async function* () {
      yield Buffer.from('a');
    }, AbortSignal.abort(hungUp));
    await expect(stream.toArray()).rejects.toBe(hungUp);
  });
});

describe('resolvesWithin', () => {
  it('tells whether it does, and throws what it rejects with', async () => {
    expect(await resolvesWithin(Promise.resolve(), 1_000)).toBe(true);
    expect(await resolvesWithin(new Promise(() => {}), 1)).toBe(false);
    await expect(resolvesWithin(Promise.reject(hungUp), 1_000)).rejects.toBe(hungUp);
  });
});

describe('LinkCache', () => {
  const app = parseRepository('team/app');
  const digest = hashBytes(Buffer.from('a'));
  const options = { linkCacheMs: 5_000, staleMs: 60_000, maxEntries: 2 };

  it('does not remember an answer that was asked for before a change', async () => {
    const answers: PromiseWithResolvers<BlobStat>[] = [];
    const source = {
      statBlob: () => {
        const answer = Promise.withResolvers<BlobStat>();
        answers.push(answer);
        return answer.promise;
      },
    };
    const cache = new LinkCache({ source, clock: stillClock(), logger: testLogger() }, options);
    const before = cache.stat(app, digest);
    cache.invalidate(app, digest);
    const after = cache.stat(app, digest);
    answers[1]!.resolve({ sizeBytes: 1, links: ['layer', 'revision'] });
    expect((await after).links).toEqual(['layer', 'revision']);
    answers[0]!.resolve({ sizeBytes: 1, links: ['layer'] });
    expect((await before).links).toEqual(['layer']);
    expect((await cache.stat(app, digest)).links).toEqual(['layer', 'revision']);
    expect(answers).toHaveLength(2);
  });

  it('asks again for a kind that the remembered answer lacks', async () => {
    let links: BlobStat['links'] = ['layer'];
    let calls = 0;
    const source = {
      statBlob: async () => {
        calls += 1;
        return { sizeBytes: 1, links };
      },
    };
    const cache = new LinkCache({ source, clock: stillClock(), logger: testLogger() }, options);
    expect(await cache.hasLink(app, 'layer', digest)).toBe(true);
    links = ['layer', 'revision'];
    expect(await cache.hasLink(app, 'revision', digest)).toBe(true);
    expect(await cache.hasLink(app, 'layer', digest)).toBe(true);
    expect(calls).toBe(2);
  });

  it('keeps so many answers and no more', async () => {
    let calls = 0;
    const source = {
      statBlob: async () => {
        calls += 1;
        return { sizeBytes: 1, links: ['layer'] as const };
      },
    };
    const cache = new LinkCache({ source, clock: stillClock(), logger: testLogger() }, options);
    const digests = ['1', '2', '3'].map((text) => hashBytes(Buffer.from(text)));
    for (const one of digests) await cache.stat(app, one);
    await cache.stat(app, digests[2]!);
    expect(calls).toBe(3);
    await cache.stat(app, digests[0]!);
    expect(calls).toBe(4);
  });
});

describe('TagCache', () => {
  it('does not take a failure that is none of absence for a reason to answer from memory', async () => {
    let failure: Error | undefined;
    const digest = hashBytes(Buffer.from('a'));
    const getTag = async () => {
      if (failure !== undefined) throw failure;
      return digest;
    };
    const cache = new TagCache(
      { getTag, clock: stillClock(), logger: testLogger() },
      { staleMs: 1_000, maxEntries: 1 },
    );
    const get = () => cache.get(parseRepository('team/app'), parseTag('v1'));
    expect(await get()).toBe(digest);
    failure = hungUp;
    await expect(get()).rejects.toBe(hungUp);
    failure = new UnavailableError('down');
    expect(await get()).toBe(digest);
  });
});

describe('the configuration of transfers', () => {
  it('has the same defaults with and without a file', () => {
    expect(Value.Default(ReadOnlyTransferConfigSchema, {})).toEqual(defaultReadOnlyTransferConfig);
    expect(Value.Default(ReadWriteTransferConfigSchema, {})).toEqual(defaultReadWriteTransferConfig);
  });
});

function stillClock(): Clock {
  return { monotonicMs: () => 0, nowMs: () => 0 };
}
