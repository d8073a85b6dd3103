import type { Capabilities } from '../storage-driver.ts';
import { concurrencyCases } from './concurrency-cases.ts';
import { conditionalCases, unconditionalCases } from './conditional-cases.ts';
import { contentAddressedCases, readOnlyCases } from './content-addressed-cases.ts';
import { contentCases } from './content-cases.ts';
import { errorCases } from './error-cases.ts';
import { listCases } from './list-cases.ts';
import { moveCases } from './move-cases.ts';
import { readerCases } from './reader-cases.ts';
import type { ConformanceCase } from './test-bench.ts';
import { walkCases } from './walk-cases.ts';
import { writerCases } from './writer-cases.ts';

/** What a driver can do that decides which cases it has to pass. */
export type ProfileCapabilities = Pick<Capabilities, 'write' | 'anyPath' | 'conditionalPut'>;

/** A name for the cases that a driver with these capabilities has to pass. */
export type ProfileName = 'full' | 'content-addressed' | 'read-only';

/** The profile of a driver. */
export function profileOf({ write, anyPath }: ProfileCapabilities): ProfileName {
  if (!write) return 'read-only';
  return anyPath ? 'full' : 'content-addressed';
}

/** The cases of a driver by group. Nothing is skipped: what a driver does not declare, it has to refuse. */
export function conformanceCases(capabilities: ProfileCapabilities): ReadonlyMap<string, readonly ConformanceCase[]> {
  const conditional = capabilities.conditionalPut ? conditionalCases : unconditionalCases;
  switch (profileOf(capabilities)) {
    case 'read-only':
      return new Map([['reading only', readOnlyCases]]);
    case 'content-addressed':
      return new Map([
        ['uploads, blobs and tags', contentAddressedCases],
        ['conditional puts', conditional],
      ]);
    default:
      return new Map([
        ['content', contentCases],
        ['readers', readerCases],
        ['writers', writerCases],
        ['conditional puts', conditional],
        ['listing', listCases],
        ['walking', walkCases],
        ['moving and deleting', moveCases],
        ['paths and conflicts', errorCases],
        ['many at once', concurrencyCases],
      ]);
  }
}
