import { Readable } from 'node:stream';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DigestMismatchError, hashBytes, InvalidRangeError } from '../../src/core/index.ts';
import { guardBlob } from '../../src/origin/blob-guard.ts';
import { parseRangeHeader } from '../../src/origin/range-header.ts';
import { SingleFlight } from '../../src/origin/single-flight.ts';
import { until } from './fixture.ts';

describe('a range header', () => {
  it.each([
    ['bytes=0-0', { offset: 0, length: 1 }],
    ['bytes=0-99', { offset: 0, length: 100 }],
    ['bytes=99-', { offset: 99, length: 1 }],
    ['bytes=10-5000', { offset: 10, length: 90 }],
    ['bytes=-1', { offset: 99, length: 1 }],
    ['bytes=-5000', { offset: 0, length: 100 }],
  ])('%s of 100 bytes is a range', (header, expected) => {
    expect(parseRangeHeader(header, 100)).toEqual(expected);
  });

  it.each([
    undefined,
    '',
    'bytes',
    'bytes=',
    'bytes=-',
    'bytes=5-4',
    'bytes=0-1,2-3',
    'bytes=a-',
    'bits=0-1',
    'bytes=1',
  ])('%s is none', (header) => {
    expect(parseRangeHeader(header, 100)).toBeUndefined();
  });

  it.each(['bytes=100-', 'bytes=100-200', 'bytes=-0'])('%s lies outside of 100 bytes', (header) => {
    expect(() => parseRangeHeader(header, 100)).toThrow(InvalidRangeError);
  });

  it('lies outside of an empty blob whatever it says', () => {
    expect(() => parseRangeHeader('bytes=0-', 0)).toThrow(InvalidRangeError);
    expect(() => parseRangeHeader('bytes=-5', 0)).toThrow(InvalidRangeError);
  });

  it('never gives bytes outside of the blob', () => {
    const ends = fc.option(fc.maxSafeNat(), { nil: '' });
    fc.assert(
      fc.property(ends, ends, fc.nat(1000), (first, last, sizeBytes) => {
        let range: ReturnType<typeof parseRangeHeader>;
        try {
          range = parseRangeHeader(`bytes=${first}-${last}`, sizeBytes);
        } catch (error) {
          expect(error).toBeInstanceOf(InvalidRangeError);
          return;
        }
        if (range === undefined) return;
        expect(range.length).toBeGreaterThan(0);
        expect(range.offset + range.length).toBeLessThanOrEqual(sizeBytes);
      }),
    );
  });
});

describe('a guarded stream', () => {
  const bytes = Buffer.from('the bytes of a blob');
  const digest = hashBytes(bytes);
  const chunks = (text: Buffer) => Readable.from(Array.from(text, (byte) => Buffer.of(byte)));

  it.each([true, false])('passes the right bytes on (verify: %s)', async (verify) => {
    let counted = 0;
    const guarded = guardBlob(chunks(bytes), {
      digest,
      sizeBytes: bytes.length,
      verify,
      onBytes: (count) => {
        counted += count;
      },
    });
    expect(Buffer.concat(await guarded.toArray())).toEqual(bytes);
    expect(counted).toBe(bytes.length);
  });

  it('passes no bytes on, where there are none', async () => {
    const empty = Buffer.alloc(0);
    const guarded = guardBlob(chunks(empty), { digest: hashBytes(empty), sizeBytes: 0, verify: true });
    expect(await guarded.toArray()).toEqual([]);
  });

  it.each([
    ['too few', bytes.subarray(1), false],
    ['too many', Buffer.concat([bytes, bytes]), false],
    ['none', Buffer.alloc(0), true],
    ['others', Buffer.from('THE BYTES OF A BLOB'), true],
  ])('ends in an error for %s bytes, before it has given all', async (_name, wrong, verify) => {
    const guarded = guardBlob(chunks(wrong), { digest, sizeBytes: bytes.length, verify });
    let passed = 0;
    const read = (async () => {
      for await (const chunk of guarded) passed += (chunk as Buffer).length;
    })();
    await expect(read).rejects.toBeInstanceOf(DigestMismatchError);
    if (verify) expect(passed).toBeLessThan(bytes.length);
  });

  it('ends with the error of its source', async () => {
    const failing = new Readable({
      read() {
        this.destroy(new Error('the disk fails'));
      },
    });
    const guarded = guardBlob(failing, { digest, sizeBytes: bytes.length, verify: false });
    await expect(guarded.toArray()).rejects.toThrow('the disk fails');
  });

  it('destroys its source when it is destroyed', async () => {
    const source = new Readable({ read: () => undefined });
    guardBlob(source, { digest, sizeBytes: bytes.length, verify: true }).destroy();
    await until('the source is destroyed', () => source.destroyed);
  });
});

describe('a shared run', () => {
  it('is one for all callers, and a new one when it has ended', async () => {
    const flights = new SingleFlight<number>();
    let runs = 0;
    const gate = Promise.withResolvers<void>();
    const task = async () => {
      await gate.promise;
      runs += 1;
      return runs;
    };
    const callers = [flights.run('a', task), flights.run('a', task), flights.run('b', task)];
    gate.resolve();
    expect(await Promise.all(callers)).toEqual([1, 1, 2]);
    expect(await flights.run('a', task)).toBe(3);
  });

  it('goes on when one caller ends its wait', async () => {
    const flights = new SingleFlight<string>();
    const gate = Promise.withResolvers<string>();
    const controller = new AbortController();
    const impatient = flights.run('a', () => gate.promise, controller.signal);
    const patient = flights.run('a', () => gate.promise);
    controller.abort(new Error('no more time'));
    await expect(impatient).rejects.toThrow('no more time');
    expect(flights.has('a')).toBe(true);
    gate.resolve('done');
    expect(await patient).toBe('done');
    expect(flights.has('a')).toBe(false);
  });

  it('fails for all callers, and is forgotten', async () => {
    const flights = new SingleFlight<string>();
    const failing = () => Promise.reject(new Error('failed'));
    const both = await Promise.allSettled([flights.run('a', failing), flights.run('a', failing)]);
    expect(both.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    expect(await flights.run('a', async () => 'done')).toBe('done');
  });
});
