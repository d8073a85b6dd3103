import { performance } from 'node:perf_hooks';
import { validated } from './base.ts';
import { plainExpect } from './conformance/plain-expect.ts';
import { conformanceCases, type ProfileName, profileOf } from './conformance/profiles.ts';
import { TestBench } from './conformance/test-bench.ts';
import { ConflictError, PathNotFoundError } from './errors.ts';
import type { StorageDriver } from './storage-driver.ts';

/** How a driver is verified. */
export interface VerifyOptions {
  /** Opens the driver on one and the same storage, which is empty; called again for a restart. What it opens is closed. */
  readonly open: () => Promise<StorageDriver>;
  /** Size of what counts as a large object, 256 KiB at least; for a driver that stores in parts, a bit more than two parts. */
  readonly largeBytes: number;
  /** Called after each case. */
  readonly onCase: (outcome: CaseOutcome) => void;
  /** Ends it before the next case. */
  readonly signal: AbortSignal;
}

/** What became of one case. */
export interface CaseOutcome {
  readonly group: string;
  readonly name: string;
  readonly seconds: number;
  /** Set when it failed. */
  readonly error?: Error;
}

/** What {@link verifyDriver} found. */
export interface VerifyReport {
  readonly driverName: string;
  readonly profile: ProfileName;
  /** Whether what is stored outlives the driver; without that a restart cannot be tried. */
  readonly outlivesRestart: boolean;
  readonly cases: readonly CaseOutcome[];
}

/**
 * Runs the conformance suite on a driver outside of any test runner, one case after the other. A case that fails does not end
 * it: what the case has left behind is deleted, so that the next one begins on empty storage.
 * @throws ConflictError when the storage is not empty: the suite deletes all that it finds; what `open` throws; the signal's
 *   reason
 */
export async function verifyDriver(options: VerifyOptions): Promise<VerifyReport> {
  const opened: StorageDriver[] = [];
  const open = async () => {
    const driver = validated(await options.open());
    opened.push(driver);
    return driver;
  };
  try {
    const driver = await open();
    const profile = profileOf(driver.capabilities);
    if (profile === 'full') await requireEmpty(driver);
    const outlivesRestart = profile === 'full' && (await findWhetherItLasts(driver, open));
    const reopen = outlivesRestart ? open : undefined;
    const bench = new TestBench({ driver, expect: plainExpect, largeBytes: options.largeBytes, reopen });
    const cases: CaseOutcome[] = [];
    for (const [group, those] of conformanceCases(driver.capabilities)) {
      for (const { name, run } of those) {
        options.signal.throwIfAborted();
        const outcome = await attempt(group, name, async () => {
          await run(bench);
          if (profile === 'full') await bench.expectDeletable();
        });
        if (outcome.error !== undefined && profile === 'full') await deleteAll(driver);
        cases.push(outcome);
        options.onCase(outcome);
      }
    }
    return { driverName: driver.name, profile, outlivesRestart, cases };
  } finally {
    await Promise.allSettled(opened.map((driver) => driver.close()));
  }
}

async function attempt(group: string, name: string, run: () => Promise<void>): Promise<CaseOutcome> {
  const startMs = performance.now();
  const seconds = () => (performance.now() - startMs) / 1_000;
  try {
    await run();
    return { group, name, seconds: seconds() };
  } catch (error) {
    return { group, name, seconds: seconds(), error: error instanceof Error ? error : new Error(String(error)) };
  }
}

async function requireEmpty(driver: StorageDriver): Promise<void> {
  for await (const path of driver.list('/', { limit: 1 })) {
    const why = 'the suite writes and deletes everything: give it storage of its own, such as another root directory';
    throw new ConflictError(driver.name, path, `something is stored there already; ${why}`);
  }
}

async function findWhetherItLasts(driver: StorageDriver, open: () => Promise<StorageDriver>): Promise<boolean> {
  const path = '/before-a-restart';
  await driver.putContent(path, Buffer.from('here'));
  try {
    await (await open()).stat(path);
    return true;
  } catch (error) {
    if (error instanceof PathNotFoundError) return false;
    throw error;
  } finally {
    await driver.delete(path);
  }
}

/** As far as it goes: the next case says what is in its way. */
async function deleteAll(driver: StorageDriver): Promise<void> {
  try {
    for await (const path of driver.list('/')) await driver.delete(path);
  } catch {
    // The case that failed has said what is wrong with the driver.
  }
}
