import { createHash, randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Bitfield, setBits } from '../../src/castore/bitfield.ts';
import { decodeName, digestOfPath, encodeName, isUploadId, Layout } from '../../src/castore/layout.ts';
import { LoopLoad } from '../../src/castore/loop-load.ts';
import { hashPiece } from '../../src/castore/piece-hash.ts';
import { PrefixHasher } from '../../src/castore/prefix-hasher.ts';
import { RunningHashes } from '../../src/castore/running-hashes.ts';
import { hashBytes } from '../../src/core/index.ts';
import { bytesOf } from './samples.ts';

describe('names of files', () => {
  it('come back as the text that they were made of, and are plain', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }), (text) => {
        const name = encodeName('a name', text);
        expect(decodeName(name)).toBe(text);
        expect(name).toMatch(/^[^./\0][^/\0]*$/);
      }),
    );
  });

  it.each(['%', '%zz', '%61', 'a/b', 'é', '.x', '', '%2f'])('are not made by anybody else: %j', (name) => {
    expect(decodeName(name)).toBeUndefined();
  });
});

describe('the layout', () => {
  it.each(['sha256', 'sha512'] as const)('finds the digest of the path of a %s blob', (algorithm) => {
    const digest = hashBytes(Buffer.from('x'), algorithm);
    const path = new Layout('/store').blob(digest).directory;
    const [, , , found, shard, hex] = path.split('/');
    expect(digestOfPath(found ?? '', shard ?? '', hex ?? '')).toBe(digest);
  });

  it.each([
    ['sha256', 'ab', 'cd'.repeat(32)],
    ['sha256', 'a', 'ab'.repeat(32)],
    ['sha256', 'ab', 'AB'.repeat(32)],
    ['sha512', 'ab', 'ab'.repeat(32)],
    ['md5', 'ab', 'ab'.repeat(16)],
  ])('finds no digest in %s/%s/%s', (algorithm, shard, hex) => {
    expect(digestOfPath(algorithm, shard, hex)).toBeUndefined();
  });

  it('takes upload ids that are plain names only', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 130 }), (text) => {
        expect(isUploadId(text)).toBe(text.length >= 1 && text.length <= 128 && !/[^A-Za-z0-9_-]/.test(text));
      }),
    );
    expect(isUploadId('a\n')).toBe(false);
  });
});

describe('Bitfield', () => {
  it('has the bits that were set, high bit first', () => {
    fc.assert(
      fc.property(fc.nat(70), fc.array(fc.nat(80)), (size, indexes) => {
        const bitfield = new Bitfield(size);
        const inside = new Set(indexes.filter((index) => index < size));
        for (const index of inside) bitfield.set(index);
        for (const index of [...indexes, -1, size]) expect(bitfield.has(index)).toBe(inside.has(index));
        expect(bitfield.count).toBe(inside.size);
        expect([...setBits(bitfield.bytes(), size)]).toEqual([...inside].sort((a, b) => a - b));
        expect(bitfield.bytes()).toHaveLength(Math.ceil(size / 8));
      }),
    );
    const bitfield = new Bitfield(9);
    for (const index of [0, 8]) bitfield.set(index);
    expect(Buffer.from(bitfield.bytes())).toEqual(Buffer.from([0x80, 0x80]));
  });

  it('hands out copies', () => {
    const bitfield = new Bitfield(8);
    bitfield.bytes()[0] = 0xff;
    expect(bitfield.has(0)).toBe(false);
  });

  it('reads bytes of any length', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 10 }), fc.nat(70), (bytes, size) => {
        for (const index of setBits(bytes, size)) expect(index).toBeLessThan(size);
      }),
    );
  });
});

describe('PrefixHasher', () => {
  /** A running digest that takes a while, and writes down what it was given. */
  function slowDigest(pieces: readonly Buffer[], wait: () => Promise<void>) {
    const taken: number[] = [];
    return {
      taken,
      take: async (first: number, end: number) => {
        await wait();
        if (first === 0) taken.length = 0;
        for (let index = first; index < end; index += 1) taken.push(index);
      },
      digest: async () => hashBytes(Buffer.concat(taken.map((index) => pieces[index]!))),
      close: () => undefined,
    };
  }

  it('has the digest once all pieces came, in any order, in any steps, however slow the disk', async () => {
    const order = fc.shuffledSubarray([0, 1, 2, 3, 4, 5, 6, 7], { minLength: 8 });
    const steps = fc.record({
      leastStep: fc.integer({ min: 1, max: 10 }),
      greatestStep: fc.integer({ min: 1, max: 4 }),
    });
    await fc.assert(
      fc.asyncProperty(order, steps, fc.scheduler(), async (indexes, { leastStep, greatestStep }, scheduler) => {
        const pieces = Array.from({ length: 8 }, (_, i) => bytesOf(50, `piece ${i}`));
        const there = new Set<number>();
        const digest = slowDigest(pieces, () => scheduler.schedule(Promise.resolve()));
        const has = (index: number) => there.has(index);
        const hasher = new PrefixHasher({ count: 8, has, leastStep, greatestStep }, digest);
        for (const index of indexes) {
          there.add(index);
          hasher.offer();
          let prefix = 0;
          while (there.has(prefix)) prefix += 1;
          expect(hasher.length).toBe(prefix);
        }
        const answer = hasher.complete();
        await scheduler.waitFor(answer);
        expect(await answer).toBe(hashBytes(Buffer.concat(pieces)));
        expect(digest.taken).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
      }),
    );
  });

  it('begins anew when what was taken is lost, once at a time', async () => {
    let failures = 1;
    const pieces = [Buffer.from('0'), Buffer.from('1')];
    const digest = slowDigest(pieces, async () => {
      if (failures-- > 0) throw new Error('cannot read');
    });
    const hasher = new PrefixHasher({ count: 2, has: (index) => index < 2, leastStep: 1, greatestStep: 1 }, digest);
    hasher.offer();
    expect(await hasher.complete()).toBe(hashBytes(Buffer.from('01')));
    failures = 2;
    const failing = new PrefixHasher({ count: 2, has: (index) => index < 2, leastStep: 3, greatestStep: 1 }, digest);
    await expect(failing.complete()).rejects.toThrow('only the first 0 of 2');
    failing.offer();
    failures = 3;
    await expect(failing.complete()).rejects.toThrow('cannot read');
    failures = 0;
    expect(await failing.complete()).toBe(hashBytes(Buffer.from('01')));
  });

  it('takes nothing more once it was stopped', async () => {
    const gate = Promise.withResolvers<void>();
    const digest = slowDigest([], () => gate.promise);
    const more = new PrefixHasher({ count: 3, has: (index) => index < 3, leastStep: 1, greatestStep: 1 }, digest);
    more.offer();
    const stopped = more.stop();
    gate.resolve();
    await stopped;
    expect(digest.taken).toEqual([0]);
    await expect(more.complete()).rejects.toThrow('stopped');
  });
});

describe('LoopLoad', () => {
  const KIB = 1024;

  it('admits so many bytes in one turn of the loop, and as many in the next', async () => {
    const load = new LoopLoad();
    expect([256, 256, 64].map((kib) => load.admits(kib * KIB))).toEqual([true, true, false]);
    await new Promise(setImmediate);
    expect(load.admits(512 * KIB)).toBe(true);
  });

  it('admits nothing after a write that waited for the disk', async () => {
    const load = new LoopLoad();
    load.wrote(1);
    expect(load.admits(KIB)).toBe(true);
    load.wrote(51);
    expect(load.admits(KIB)).toBe(false);
  });

  it('admits nothing while the thread uses most of a core, however long the loop waits for one', () => {
    const clock = { used: 0, now: 0 };
    const load = new LoopLoad({ usedMs: () => clock.used, nowMs: () => clock.now });
    const admitsAfter = (used: number, ms: number) => {
      clock.used += used;
      clock.now += ms;
      return load.admits(KIB);
    };
    expect(admitsAfter(100, 1_000)).toBe(true);
    expect(admitsAfter(500, 1_000)).toBe(true);
    expect(admitsAfter(700, 1_000)).toBe(false);
    expect(admitsAfter(100, 500)).toBe(false);
    expect(admitsAfter(100, 500)).toBe(true);
  });
});

describe('hashPiece', () => {
  it.each([0, 1, 65_536, 512 * 1024 - 1, 512 * 1024, 4 * 1024 * 1024])('hashes %d bytes', async (length) => {
    const bytes = randomBytes(length);
    expect(await hashPiece(bytes)).toEqual(createHash('sha256').update(bytes).digest());
  });
});

describe('RunningHashes', () => {
  it('drops the upload that grew longest ago when there are too many', () => {
    const hashes = new RunningHashes(2);
    for (const id of ['a', 'b']) hashes.start(id);
    hashes.update('a', Buffer.from('x'));
    hashes.start('c');
    expect(hashes.find('b')).toBeUndefined();
    hashes.update('b', Buffer.from('late'));
    expect(hashes.find('b')).toBeUndefined();
    expect(hashes.find('a')?.digest()).toBe(hashBytes(Buffer.from('x')));
    hashes.forget('a');
    expect(hashes.find('a')).toBeUndefined();
  });
});
