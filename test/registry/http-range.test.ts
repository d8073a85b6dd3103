import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { findChunkRange, formatUploadRange, parseRange } from '../../src/registry/http-range.ts';

describe('parseRange', () => {
  it.each([
    ['bytes=0-9', 0, 10],
    ['bytes=90-', 90, 10],
    ['bytes=-10', 90, 10],
    ['bytes=-1000', 0, 100],
    ['bytes=99-99', 99, 1],
    ['bytes=50-100000', 50, 50],
    ['bytes=0-99999999999999999999999', 0, 100],
    ['Bytes = 0 - 9', 0, 10],
  ])('reads %s of 100 bytes', (header, offset, length) => {
    expect(parseRange(header, 100)).toEqual({ kind: 'part', range: { offset, length } });
  });

  it.each(['bytes=100-', 'bytes=100-200', 'bytes=9-0', 'bytes=-0', 'bytes=99999999999999999999999-'])(
    'cannot satisfy %s of 100 bytes',
    (header) => {
      expect(parseRange(header, 100)).toEqual({ kind: 'unsatisfiable' });
    },
  );

  it.each([
    undefined,
    '',
    'bytes',
    'bytes=',
    'bytes=-',
    'bytes=0-1,',
    'bytes=0-1,x',
    'bytes=0-1,9-0',
    'bytes=0-59,40-99',
    `bytes=${'0-0,'.repeat(1_024)}0-0`,
    'bytes=x-y',
    'items=0-1',
    '0-1',
    'bytes=+1-2',
  ])('ignores %s', (header) => {
    expect(parseRange(header, 100)).toEqual({ kind: 'whole' });
  });

  it('reads several ranges, in their order, without those that lie outside', () => {
    expect(parseRange('bytes=20-29, -5,0-9 , 100-', 100)).toEqual({
      kind: 'parts',
      ranges: [
        { offset: 20, length: 10 },
        { offset: 95, length: 5 },
        { offset: 0, length: 10 },
      ],
    });
    expect(parseRange('bytes=100-,0-9', 100)).toEqual({ kind: 'part', range: { offset: 0, length: 10 } });
    expect(parseRange('bytes=100-,200-300', 100)).toEqual({ kind: 'unsatisfiable' });
  });

  it('ignores every range of an empty blob', () => {
    for (const header of ['bytes=0-', 'bytes=0-9', 'bytes=-1'])
      expect(parseRange(header, 0)).toEqual({ kind: 'whole' });
  });

  it('gives exactly the bytes that the RFC names, and never one outside of the blob', () => {
    const bound = fc.option(fc.nat(300), { nil: undefined });
    fc.assert(
      fc.property(bound, bound, fc.integer({ min: 1, max: 200 }), (first, last, size) => {
        const all = Array.from({ length: size }, (_, index) => index);
        const asked = parseRange(`bytes=${first ?? ''}-${last ?? ''}`, size);
        const expected =
          first !== undefined
            ? all.filter((index) => index >= first && index <= (last ?? size))
            : all.slice(last === 0 ? size : -(last ?? size));
        if (first === undefined && last === undefined) expect(asked.kind).toBe('whole');
        else if (expected.length === 0) expect(asked.kind).toBe('unsatisfiable');
        else expect(asked).toEqual({ kind: 'part', range: { offset: expected[0], length: expected.length } });
      }),
    );
  });

  it('never fails on any text', () => {
    fc.assert(
      fc.property(fc.string(), fc.nat(), (text, size) => {
        expect(['whole', 'part', 'parts', 'unsatisfiable']).toContain(parseRange(`bytes=${text}`, size).kind);
      }),
    );
  });
});

describe('findChunkRange', () => {
  it.each([
    ['0-0', 0, 1],
    ['10-19', 10, 10],
    [' 10-19 ', 10, 10],
    ['bytes 10-19/*', 10, 10],
    ['bytes=10-19', 10, 10],
    ['bytes 0-9/100', 0, 10],
  ])('reads %s', (header, offset, length) => {
    expect(findChunkRange(header)).toEqual({ offset, length });
  });

  it.each(['', '-', '5', '5-', '-5', '9-0', 'a-b', '0-1,2-3', 'bytes */9', `0-${'9'.repeat(30)}`, '0 - 9', '-1-2'])(
    'does not read %j',
    (header) => {
      expect(findChunkRange(header)).toBe(undefined);
    },
  );

  it('agrees with the range that an upload answers with', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 40 }), (size) => {
        expect(findChunkRange(formatUploadRange(size))).toEqual({ offset: 0, length: size });
      }),
    );
    expect(formatUploadRange(0)).toBe('0-0');
  });
});
