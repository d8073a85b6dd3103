import { describe, expect, it } from 'vitest';
import {
  type CaseOutcome,
  DelegatingDriver,
  defaultDriverFactory,
  type StorageDriver,
  verifyDriver,
} from '../../src/driver/index.ts';

/** A driver that keeps all but one promise. */
class FlawedDriver extends DelegatingDriver {
  override async move(): Promise<void> {
    // Says that it has moved, and has not.
  }
}

async function verify(open: () => Promise<StorageDriver>) {
  const seen: CaseOutcome[] = [];
  const report = await verifyDriver({
    open,
    largeBytes: 100_000,
    onCase: (outcome) => seen.push(outcome),
    signal: new AbortController().signal,
  });
  expect(seen).toEqual(report.cases);
  return report;
}

describe('verifyDriver', () => {
  it('finds what a driver does not keep, goes on after it, and begins each case on empty storage', async () => {
    const report = await verify(async () => new FlawedDriver(await defaultDriverFactory().create('inmemory', {})));
    const failed = report.cases.filter(({ error }) => error !== undefined);
    expect(failed.length).toBeGreaterThan(3);
    expect(failed.length).toBeLessThan(report.cases.length / 4);
    expect(failed.map(({ name }) => name)).toContain('moves over another object');
    for (const { group, error } of failed) {
      expect(group).not.toBe('readers');
      expect(error?.message).not.toBe('');
    }
  });

  it('closes what it has opened, also when the storage is not empty', async () => {
    let open = 0;
    class CountedDriver extends DelegatingDriver {
      override async close(): Promise<void> {
        open -= 1;
        await super.close();
      }
    }
    const counted = async () => {
      open += 1;
      return new CountedDriver(await defaultDriverFactory().create('inmemory', {}));
    };
    await verify(counted);
    expect(open).toBe(0);
    const filled = async () => {
      const driver = await counted();
      await driver.putContent('/precious', Buffer.from('bytes'));
      return driver;
    };
    await expect(verify(filled)).rejects.toThrow('something is stored there already');
    expect(open).toBe(0);
  });

  it('ends before the next case when it is told to', async () => {
    const controller = new AbortController();
    let cases = 0;
    const running = verifyDriver({
      open: () => defaultDriverFactory().create('inmemory', {}),
      largeBytes: 1000,
      onCase: () => {
        cases += 1;
        controller.abort(new Error('enough'));
      },
      signal: controller.signal,
    });
    await expect(running).rejects.toThrow('enough');
    expect(cases).toBe(1);
  });
});
