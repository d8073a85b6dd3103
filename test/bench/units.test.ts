import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BenchUsageError } from '../../bench/lib/errors.ts';
import {
  formatRate,
  formatSize,
  parseCount,
  parseLinkRate,
  parseRate,
  parseSeconds,
  parseShare,
  parseSize,
} from '../../bench/lib/units.ts';

describe('sizes', () => {
  it.each([
    ['64MiB', 64 * 2 ** 20],
    ['1GiB', 2 ** 30],
    ['1.5GB', 1.5e9],
    ['4096B', 4096],
    ['64 KiB', 65_536],
    ['10mib', 10 * 2 ** 20],
  ])('%s is %d bytes', (text, bytes) => {
    expect(parseSize(text)).toBe(bytes);
  });

  it.each(['', '64', 'MiB', '-1MiB', '0MiB', '1e3MB', '64MiB/s', '64Mbit', '1.MiB', '64MiBx'])(
    '%j is no size',
    (text) => {
      expect(() => parseSize(text)).toThrow(BenchUsageError);
    },
  );

  it('are read back from how they are written, as far as they are written', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2 ** 40 }), (bytes) => {
        const read = parseSize(formatSize(bytes));
        expect(Math.abs(read - bytes) / bytes).toBeLessThanOrEqual(0.01);
      }),
    );
  });
});

describe('rates', () => {
  it.each([
    ['50mbit', 50e6],
    ['1.5gbit', 1.5e9],
    ['300MB/s', 2.4e9],
    ['100kbit', 100e3],
    ['1MiB/s', 8 * 2 ** 20],
  ])('%s is %d bits a second', (text, bits) => {
    expect(parseRate(text)).toBe(bits);
  });

  it.each(['', '50', '50mb', '50MiB', '-5mbit', '1bit', 'none', 'mbit'])('%j is no rate', (text) => {
    expect(() => parseRate(text)).toThrow(BenchUsageError);
  });

  it('may be none for a link', () => {
    expect(parseLinkRate('none')).toBeUndefined();
    expect(parseLinkRate('20mbit')).toBe(20e6);
    expect(() => parseLinkRate('never')).toThrow(BenchUsageError);
  });

  it('are written in the larger unit', () => {
    expect([50e6, 2.4e9, 5e5, undefined].map(formatRate)).toEqual([
      '50 Mbit/s',
      '2.4 Gbit/s',
      '0.5 Mbit/s',
      'unshaped',
    ]);
  });
});

describe('shares, counts and times', () => {
  it.each([
    ['0.5', 0.5],
    ['.25', 0.25],
    ['50%', 0.5],
    ['1/3', 1 / 3],
    ['1', 1],
    ['0', 0],
  ])('%s is the share %d', (text, share) => {
    expect(parseShare(text)).toBeCloseTo(share, 12);
  });

  it.each(['', '2', '150%', '4/3', '1/0', '0/0', '-0.5', 'half', '1/2/3'])('%j is no share', (text) => {
    expect(() => parseShare(text)).toThrow(BenchUsageError);
  });

  it('counts from a minimum on', () => {
    expect(parseCount('8', 1)).toBe(8);
    for (const text of ['', '0', '-1', '1.5', '8x', '12345678901'])
      expect(() => parseCount(text, 1)).toThrow(BenchUsageError);
  });

  it('reads seconds with and without their unit', () => {
    expect([parseSeconds('10.7'), parseSeconds('3s')]).toEqual([10.7, 3]);
    for (const text of ['', '-1', '10ms', 's']) expect(() => parseSeconds(text)).toThrow(BenchUsageError);
  });
});
