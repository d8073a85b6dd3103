import { validated } from './base.ts';
import { concurrencyCases } from './conformance/concurrency-cases.ts';
import { conditionalCases, unconditionalCases } from './conformance/conditional-cases.ts';
import { contentCases } from './conformance/content-cases.ts';
import { errorCases } from './conformance/error-cases.ts';
import { listCases } from './conformance/list-cases.ts';
import { moveCases } from './conformance/move-cases.ts';
import { readerCases } from './conformance/reader-cases.ts';
import { type ConformanceCase, type Expect, TestBench } from './conformance/test-bench.ts';
import { walkCases } from './conformance/walk-cases.ts';
import { writerCases } from './conformance/writer-cases.ts';
import type { Capabilities, StorageDriver } from './storage-driver.ts';

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
  /** What the driver declares, where that is less than everything; a case that depends on it is replaced by one of its refusal. */
  readonly capabilities?: Partial<Pick<Capabilities, 'conditionalPut'>>;
}

const groups = {
  content: contentCases,
  readers: readerCases,
  writers: writerCases,
  listing: listCases,
  walking: walkCases,
  'moving and deleting': moveCases,
  'paths and conflicts': errorCases,
  'many at once': concurrencyCases,
} as const;

/** The cases for a driver with these capabilities, by group. */
export function conformanceCases({
  conditionalPut,
}: Pick<Capabilities, 'conditionalPut'>): ReadonlyMap<string, readonly ConformanceCase[]> {
  return new Map<string, readonly ConformanceCase[]>([
    ...Object.entries(groups),
    ['conditional puts', conditionalPut ? conditionalCases : unconditionalCases],
  ]);
}

/**
 * Registers the tests that every driver has to pass which takes any path and writes: the cases of distribution's own suite
 * (registry/storage/driver/testsuites), and the promises of the contract that it leaves untested. Each case has a driver of
 * its own, and must be able to delete all that it made.
 */
export function storageDriverConformance(options: ConformanceOptions): void {
  const { describe, it, expect, largeBytes = 4 * 1024 * 1024 } = options;
  const { conditionalPut = true } = options.capabilities ?? {};
  describe(`storage driver contract: ${options.name}`, () => {
    for (const [group, cases] of conformanceCases({ conditionalPut })) {
      describe(group, () => {
        for (const { name, run } of cases) {
          it(name, async () => {
            const subject = await options.create();
            const driver = validated(subject.driver);
            expect(driver.capabilities.conditionalPut, 'conditionalPut, as the suite was told').toBe(conditionalPut);
            try {
              const bench = new TestBench({ driver, expect, largeBytes, reopen: subject.reopen });
              await run(bench);
              await bench.expectDeletable();
            } finally {
              await subject.cleanup();
            }
          });
        }
      });
    }
  });
}
