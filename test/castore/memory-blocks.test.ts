import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BlockCache } from '../../src/castore/block-cache.ts';
import { BlockMemory, type MemoryBlock } from '../../src/castore/memory-blocks.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const SLAB = 4 * MIB;

function memoryOf(limitBytes: number): BlockMemory {
  return new BlockMemory({ limitBytes, reclaim: () => 0 });
}

describe('BlockMemory', () => {
  it('never gives bytes to two at the same time, and keeps its limit, in any sequence', () => {
    const length = fc.constantFrom(0, 1, 64 * KIB, 64 * KIB + 1, 200 * KIB, MIB, 3 * MIB, SLAB, SLAB + 1);
    const step = fc.oneof(
      length.map((bytes) => ({ take: bytes })),
      fc.nat(50).map((which) => ({ release: which })),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 100, size: 'max' }), (steps) => {
        const memory = memoryOf(2 * SLAB);
        const live: { block: MemoryBlock; mark: number }[] = [];
        let mark = 0;
        for (const one of steps) {
          if ('take' in one) {
            mark = (mark + 1) % 256;
            const block = memory.take(one.take);
            expect(block.buffer).toHaveLength(one.take);
            live.push({ block, mark });
            // Both ends: whatever overlaps it has one of them, or lies inside and is overwritten itself.
            if (one.take > 0) block.buffer[0] = block.buffer[one.take - 1] = mark;
          } else if (live.length > 0) live.splice(one.release % live.length, 1)[0]!.block.release();
          for (const { block, mark: expected } of live) {
            expect([block.buffer[0] ?? expected, block.buffer.at(-1) ?? expected]).toEqual([expected, expected]);
          }
          expect(memory.slabBytes).toBeLessThanOrEqual(2 * SLAB);
        }
        for (const { block } of live) block.release();
        expect(memory.usedBytes).toBe(0);
      }),
    );
  });

  it('uses a block again only when its last reference is released', () => {
    const memory = memoryOf(SLAB);
    const first = memory.take(SLAB);
    const buffer = first.retain().buffer;
    first.release();
    expect(memory.takeShared(SLAB)).toBeUndefined();
    expect(memory.take(SLAB).place).toBeUndefined();
    first.release();
    const second = memory.takeShared(SLAB);
    expect(second?.buffer.buffer).toBe(buffer.buffer);
    expect(() => first.release()).toThrow('more often');
    expect(() => first.retain()).toThrow('after its last reference');
  });

  it('cuts a slab anew for another length once all of it is free', () => {
    const memory = memoryOf(SLAB);
    const short = Array.from({ length: 64 }, () => memory.takeShared(64 * KIB)!);
    expect(memory.takeShared(64 * KIB)).toBeUndefined();
    for (const block of short.slice(1)) block.release();
    expect(memory.takeShared(MIB)).toBeUndefined();
    short[0]!.release();
    const long = Array.from({ length: 4 }, () => memory.takeShared(MIB));
    expect(long.every((block) => block !== undefined)).toBe(true);
    expect(memory.slabBytes).toBe(SLAB);
  });

  it('knows a buffer that was handed out by the very object, once', () => {
    const memory = memoryOf(SLAB);
    const buffer = memory.handOut(100);
    expect(memory.takeBack(buffer.subarray())).toBeUndefined();
    const block = memory.takeBack(buffer);
    expect(block?.buffer).toBe(buffer);
    expect(memory.takeBack(buffer)).toBeUndefined();
    block?.release();
    expect(memory.usedBytes).toBe(0);
  });
});

describe('BlockCache', () => {
  it('gives what was used longest ago for what is needed now, and never what is lent', () => {
    const cache = new BlockCache(SLAB);
    const file = cache.openDownload(MIB);
    for (let index = 0; index < 4; index += 1) {
      const block = cache.memory.takeShared(MIB)!;
      block.buffer.fill(index);
      file.put(block, index * MIB);
      block.release();
    }
    const lent = file.find(4)!;
    expect(file.find(0)?.block.release()).toBeUndefined();
    // Of piece 1 one extent is lent, of 0 one was used again: 2 and 3 go, in this order.
    const needed = [cache.memory.takeShared(MIB)!, cache.memory.takeShared(MIB)!];
    for (const block of needed) block.buffer.fill(0xff);
    expect([0, 1, 2, 3].map((index) => file.has(index * 4))).toEqual([true, true, false, false]);
    expect(lent.block.buffer.every((byte) => byte === 1)).toBe(true);
    const third = cache.memory.takeShared(MIB);
    expect(third?.buffer[0]).toBe(0);
    expect(cache.memory.takeShared(MIB)).toBeUndefined();
    for (const block of [...needed, third!, lent.block]) block.release();
    cache.close();
    expect(cache.memory.usedBytes).toBe(0);
  });

  it('does not keep memory that nothing bounds, and forgets one file only', () => {
    const cache = new BlockCache(SLAB);
    const [one, two] = [cache.openDownload(64 * KIB), cache.openDownload(64 * KIB)];
    for (const file of [one, two]) {
      const block = cache.memory.take(100);
      file.put(block, 0);
      block.release();
    }
    const plain = cache.memory.take(SLAB + 1);
    one.put(plain, 64 * KIB);
    expect([one.has(0), one.has(1), two.has(0)]).toEqual([true, false, true]);
    one.forget();
    expect([one.has(0), two.has(0)]).toEqual([false, true]);
  });
});
