import { describe, expect, it } from 'vitest';
import { BatchedWrites } from '../../src/registry/batched-writes.ts';
import { bytesOf } from './client.ts';

const PART = 256 * 1024;

describe('BatchedWrites', () => {
  it('writes all bytes in order, those together that came while others were written', async () => {
    const parts: Buffer[] = [];
    const writes = new BatchedWrites(async (bytes) => {
      parts.push(bytes);
      await new Promise((resolve) => setImmediate(resolve));
    });
    const all = bytesOf('batched', 3 * PART + 12_345);
    for (let offset = 0; offset < all.length; offset += 10_000) await writes.add(all.subarray(offset, offset + 10_000));
    await writes.flush();
    expect(Buffer.concat(parts).equals(all)).toBe(true);
    expect(parts.length).toBeLessThan(10);
    expect(Math.max(...parts.map(({ length }) => length))).toBeLessThan(PART + 10_000);
  });

  it('writes a chunk at once when nothing is being written', async () => {
    const parts: number[] = [];
    const writes = new BatchedWrites(async (bytes) => void parts.push(bytes.length));
    for (const size of [1, 2, 3]) {
      await writes.add(Buffer.alloc(size));
      expect(parts.at(-1)).toBe(size);
      await writes.flush();
    }
  });

  it('holds the caller back while two parts wait', async () => {
    const gate = Promise.withResolvers<void>();
    const begun: number[] = [];
    const writes = new BatchedWrites(async (bytes) => {
      begun.push(bytes.length);
      await gate.promise;
    });
    await writes.add(Buffer.alloc(1));
    let isBack = false;
    const second = writes.add(Buffer.alloc(PART)).then(() => {
      isBack = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect([begun.length, isBack]).toEqual([1, false]);
    gate.resolve();
    await second;
    await writes.flush();
    expect(begun).toEqual([1, PART]);
  });

  it('throws what a write has thrown, and writes nothing after it', async () => {
    let calls = 0;
    const writes = new BatchedWrites(async () => {
      calls += 1;
      throw new Error('disk full');
    });
    await writes.add(Buffer.alloc(1));
    await new Promise((resolve) => setImmediate(resolve));
    await expect(writes.add(Buffer.alloc(1))).rejects.toThrow('disk full');
    await expect(writes.add(Buffer.alloc(PART))).rejects.toThrow('disk full');
    await expect(writes.flush()).rejects.toThrow('disk full');
    expect(calls).toBe(1);
  });

  it('has nothing to do for a body of no bytes', async () => {
    const writes = new BatchedWrites(async () => {
      throw new Error('not to be called');
    });
    await writes.flush();
  });
});
