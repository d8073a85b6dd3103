import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { backoffMs, parseRetryAfter } from '../../src/notifications/retry-wait.ts';

const settings = { initialBackoffMs: 1_000, maxBackoffMs: 60_000 };
const nowMs = Date.parse('2026-05-04T10:00:00Z');

describe('backoffMs', () => {
  it('doubles up to the cap, and spreads over half of itself', () => {
    expect([1, 2, 3, 6, 7, 500].map((failures) => backoffMs(failures, settings, 1))).toEqual([
      1_000, 2_000, 4_000, 32_000, 60_000, 60_000,
    ]);
    expect(backoffMs(3, settings, 0)).toBe(2_000);
  });

  it('never waits longer than the cap, nor less than half of the first wait', () => {
    fc.assert(
      fc.property(fc.nat(10_000), fc.double({ min: 0, max: 0.999, noNaN: true }), (failures, random) => {
        const waitMs = backoffMs(failures, settings, random);
        expect(waitMs).toBeGreaterThanOrEqual(500);
        expect(waitMs).toBeLessThanOrEqual(60_000);
      }),
    );
  });
});

describe('parseRetryAfter', () => {
  it.each([
    ['0', 0],
    ['7', 7_000],
    [' 7 ', 7_000],
    ['99999999', 3_600_000],
    ['Mon, 04 May 2026 10:00:09 GMT', 9_000],
    ['Monday, 04-May-26 10:00:09 GMT', 9_000],
    ['Mon May  4 10:00:09 2026', 9_000],
    ['Mon, 04 May 2026 09:00:00 GMT', 0],
    ['Fri, 04 May 2035 10:00:00 GMT', 3_600_000],
  ])('reads %s', (text, waitMs) => {
    expect(parseRetryAfter(text, nowMs)).toBe(waitMs);
  });

  it.each([undefined, '', '-1', '1.5', '7s', 'soon', '2026-05-04T10:00:09Z', 'Mon, 99 May 2026', 'sunny day'])(
    'does not take %s',
    (text) => {
      expect(parseRetryAfter(text, nowMs)).toBeUndefined();
    },
  );

  it('gives no wait, or one of an hour at most, whatever comes', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const waitMs = parseRetryAfter(text, nowMs);
        expect(waitMs === undefined || (waitMs >= 0 && waitMs <= 3_600_000)).toBe(true);
      }),
    );
  });
});
