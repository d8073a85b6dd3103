import { createHash, randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Bitfield, setBits } from '../../src/castore/bitfield.ts';
import { decodeName, digestOfPath, encodeName, isUploadId, Layout } from '../../src/castore/layout.ts';
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
  it('has the digest once all pieces came, in any order, however slow the disk', async () => {
    const order = fc.shuffledSubarray([0, 1, 2, 3, 4, 5, 6, 7], { minLength: 8 });
    await fc.assert(
      fc.asyncProperty(order, fc.scheduler(), async (indexes, scheduler) => {
        const pieces = Array.from({ length: 8 }, (_, i) => bytesOf(50, `piece ${i}`));
        const there = new Set<number>();
        const reads: number[] = [];
        const hasher = new PrefixHasher(hashBytes(Buffer.alloc(0)), {
          pieces: 8,
          has: (index) => there.has(index),
          readPiece: async (index) => {
            reads.push(index);
            await scheduler.schedule(Promise.resolve());
            return pieces[index]!;
          },
        });
        for (const index of indexes) {
          there.add(index);
          hasher.offer(index, pieces[index]!);
          let prefix = 0;
          while (there.has(prefix)) prefix += 1;
          expect(hasher.prefixBytes).toBeLessThanOrEqual(50 * prefix);
        }
        const digest = hasher.complete();
        await scheduler.waitFor(digest);
        expect(await digest).toBe(hashBytes(Buffer.concat(pieces)));
        expect(hasher.prefixBytes).toBe(400);
        expect(new Set(reads).size).toBe(reads.length);
      }),
    );
  });

  it('tries again what could not be read', async () => {
    let failing = true;
    const hasher = new PrefixHasher(hashBytes(Buffer.alloc(0)), {
      pieces: 2,
      has: (index) => index < 2,
      readPiece: async (index) => {
        if (failing) throw new Error('cannot read');
        return Buffer.from(`${index}`);
      },
    });
    hasher.offer(1, Buffer.from('1'));
    await expect(hasher.complete()).rejects.toThrow('cannot read');
    failing = false;
    expect(await hasher.complete()).toBe(hashBytes(Buffer.from('01')));
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
