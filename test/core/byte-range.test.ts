import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { piecesOfRange } from '../../src/core/index.ts';

describe('the pieces of a range', () => {
  it.each([
    ['the first byte', { offset: 0, length: 1 }, { first: 0, last: 0 }],
    ['exactly one piece', { offset: 0, length: 100 }, { first: 0, last: 0 }],
    ['one byte past a piece', { offset: 0, length: 101 }, { first: 0, last: 1 }],
    ['two bytes over a border', { offset: 99, length: 2 }, { first: 0, last: 1 }],
    ['from a border on', { offset: 100, length: 1 }, { first: 1, last: 1 }],
    ['many', { offset: 250, length: 500 }, { first: 2, last: 7 }],
    ['far out', { offset: 2 ** 50, length: 100 }, { first: 11258999068426, last: 11258999068427 }],
  ])('%s', (_what, range, expected) => {
    expect(piecesOfRange(range, 100)).toEqual(expected);
  });

  it.each([0, 1, 99, 100, 101])('an empty range at %i touches none', (offset) => {
    const { first, last } = piecesOfRange({ offset, length: 0 }, 100);
    expect(last).toBe(first - 1);
  });

  it('hold every byte of the range, and none of them could be left out', () => {
    const range = fc.record({ offset: fc.nat(1_000_000), length: fc.integer({ min: 1, max: 1_000_000 }) });
    fc.assert(
      fc.property(range, fc.integer({ min: 1, max: 70_000 }), ({ offset, length }, pieceLength) => {
        const { first, last } = piecesOfRange({ offset, length }, pieceLength);
        const end = offset + length;
        expect(first * pieceLength).toBeLessThanOrEqual(offset);
        expect((first + 1) * pieceLength).toBeGreaterThan(offset);
        expect(last * pieceLength).toBeLessThan(end);
        expect((last + 1) * pieceLength).toBeGreaterThanOrEqual(end);
      }),
    );
  });
});
