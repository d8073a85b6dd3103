import { validated } from './base.ts';
import { conformanceCases, type ProfileCapabilities, profileOf } from './conformance/profiles.ts';
import { type Expect, TestBench } from './conformance/test-bench.ts';
import type { StorageDriver } from './storage-driver.ts';

/** One driver for one case. */
interface ConformanceSubject {
  /** Empty. The suite wraps it in {@link validated} when it is not. */
  readonly driver: StorageDriver;
  /** Opens a second driver on the same storage, as a restart would; without it, restarts are not tested. */
  readonly reopen?: () => Promise<StorageDriver>;
  /** Called after each case, also a failed one; closes and removes all. */
  readonly cleanup: () => Promise<void>;
}

/** What the suite runs on: a driver, and the functions of a test runner such as vitest, which Shoal itself does not need. */
export interface ConformanceOptions {
  readonly name: string;
  readonly create: () => Promise<ConformanceSubject>;
  readonly describe: (name: string, body: () => void) => unknown;
  readonly it: (name: string, body: () => Promise<void>) => unknown;
  readonly expect: Expect;
  /** Size of what counts as a large object, 4 MiB unless told; for a driver that stores in parts, a bit more than two parts. */
  readonly largeBytes?: number;
  /** What the driver declares, where that is less than everything: it decides which cases there are. */
  readonly capabilities?: Partial<ProfileCapabilities>;
}

/**
 * Registers the tests that a driver with these capabilities has to pass. For one that takes any path and writes those are the
 * cases of distribution's own suite (registry/storage/driver/testsuites), and the promises of the contract that it leaves
 * untested. Each case has a driver of its own, and must be able to delete all that it made.
 */
export function storageDriverConformance(options: ConformanceOptions): void {
  const { describe, it, expect, largeBytes = 4 * 1024 * 1024 } = options;
  const capabilities = { write: true, anyPath: true, conditionalPut: true, ...options.capabilities };
  describe(`storage driver contract: ${options.name}`, () => {
    for (const [group, cases] of conformanceCases(capabilities)) {
      describe(group, () => {
        for (const { name, run } of cases) {
          it(name, async () => {
            const subject = await options.create();
            const driver = validated(subject.driver);
            try {
              const { write, anyPath, conditionalPut } = driver.capabilities;
              expect({ write, anyPath, conditionalPut }, 'what it declares, as the suite was told').toEqual(
                capabilities,
              );
              const bench = new TestBench({ driver, expect, largeBytes, reopen: subject.reopen });
              await run(bench);
              if (profileOf(capabilities) === 'full') await bench.expectDeletable();
            } finally {
              await subject.cleanup();
            }
          });
        }
      });
    }
  });
}
