import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { onTestFinished } from 'vitest';
import { type CaStore, type OpenCaStoreOptions, openCaStore } from '../../src/castore/index.ts';
import type { Clock, Digest } from '../../src/core/index.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import type { Sample } from './samples.ts';

export { bytesOf, PIECE, pieceOf, type Sample, sampleOf } from './samples.ts';

/** A clock that stands still until it is moved. */
export class TestClock implements Clock {
  #nowMs = 1_700_000_000_000;

  monotonicMs(): number {
    return this.#nowMs;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  advance(ms: number): void {
    this.#nowMs += ms;
  }
}

export interface TestStore {
  readonly directory: string;
  readonly clock: TestClock;
  /** The store as it is open now. */
  store: CaStore;
  /** Closes the store and opens it again. */
  reopen(options?: Partial<OpenCaStoreOptions>): Promise<CaStore>;
}

/** A store in a folder of its own, closed when the test is over. */
export async function openTestStore(options: Partial<OpenCaStoreOptions> = {}): Promise<TestStore> {
  const directory = join(await makeTempDir(), 'store');
  const clock = new TestClock();
  const open = (more: Partial<OpenCaStoreOptions> = {}) =>
    openCaStore({ directory, capacityBytes: 64 * 1024 * 1024, clock, ...options, ...more });
  const test: TestStore = {
    directory,
    clock,
    store: await open(),
    async reopen(more) {
      await test.store.close();
      test.store = await open(more);
      return test.store;
    },
  };
  onTestFinished(() => test.store.close());
  return test;
}

/** Puts bytes in as a blob, one millisecond after whatever came before. */
export async function putSample(test: TestStore, sample: Sample, pin?: string): Promise<void> {
  test.clock.advance(1);
  await test.store.blobs.put(sample.digest, sample.bytes, pin === undefined ? {} : { pin });
}

export async function upload(store: CaStore, id: string, ...chunks: readonly Uint8Array[]): Promise<void> {
  await using writer = await store.uploads.create(id);
  for (const chunk of chunks) await writer.write(chunk);
}

export async function readAll(stream: Readable): Promise<Buffer> {
  return buffer(stream);
}

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** Where a blob lies, for tests that damage it. */
export function blobPath(directory: string, digest: Digest, ...rest: string[]): string {
  return thingPath(directory, 'blobs', digest, ...rest);
}

/** Where a download lies. */
export function downloadPath(directory: string, digest: Digest, ...rest: string[]): string {
  return thingPath(directory, 'downloads', digest, ...rest);
}

function thingPath(directory: string, tree: string, digest: Digest, ...rest: string[]): string {
  const [algorithm = '', hex = ''] = digest.split(':');
  return join(directory, tree, algorithm, hex.slice(0, 2), hex, ...rest);
}

/** All files below a folder, relative and sorted. */
export async function filesBelow(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(directory.length + 1))
    .sort();
}
