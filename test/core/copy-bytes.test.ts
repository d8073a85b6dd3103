import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { copyBytes } from '../../src/core/index.ts';

describe('copyBytes', () => {
  it('copies that part and nothing else, into memory of one thread or of several', () => {
    const part = fc.tuple(fc.nat(40), fc.nat(40));
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), fc.nat(20), part, fc.boolean(), (bytes, at, ends, shared) => {
        const source = Buffer.from(bytes);
        const [start, end] = ends.map((place) => Math.min(place, source.length)).sort((a, b) => a - b);
        const target = shared ? Buffer.from(new SharedArrayBuffer(64)) : Buffer.alloc(64);
        target.fill(0xaa);
        const expected = Buffer.alloc(64, 0xaa);
        expected.set(bytes.subarray(start, end), at);
        copyBytes(source, target, at, start, end);
        expect(target.equals(expected)).toBe(true);
      }),
    );
  });
});
