import { randomBytes, randomUUID } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { validated } from '../base.ts';
import { StorageDriverError } from '../errors.ts';
import type { FileInfo, ReadRange, StorageDriver, WalkOptions } from '../storage-driver.ts';

/** The assertions that the suite needs of a test runner; vitest's `expect` has them. */
export type Expect = (actual: unknown, message?: string) => Assertion;

/** See {@link Expect}. */
interface Assertion {
  toBe(expected: unknown): void;
  toEqual(expected: unknown): void;
  toBeGreaterThan(expected: number): void;
  toBeInstanceOf(expected: ErrorClass): void;
}

/** One test of the suite. */
export interface ConformanceCase {
  readonly name: string;
  readonly run: (bench: TestBench) => Promise<void>;
}

// `never` takes constructors of any arguments; they are compared, not called.
type ErrorClass = abstract new (...args: never[]) => Error;

/** What a case works with: the driver, and what cases do again and again. */
export class TestBench {
  readonly driver: StorageDriver;
  readonly expect: Expect;
  readonly largeBytes: number;
  readonly #reopen: (() => Promise<StorageDriver>) | undefined;

  constructor(options: {
    readonly driver: StorageDriver;
    readonly expect: Expect;
    readonly largeBytes: number;
    readonly reopen: (() => Promise<StorageDriver>) | undefined;
  }) {
    this.driver = options.driver;
    this.expect = options.expect;
    this.largeBytes = options.largeBytes;
    this.#reopen = options.reopen;
  }

  /** The driver after a restart; the same driver when it does not outlive one. The bench does not close it. */
  async afterRestart(): Promise<StorageDriver> {
    return this.#reopen === undefined ? this.driver : validated(await this.#reopen());
  }

  /** A path that nothing is at. */
  path(name = 'object'): string {
    return `/${randomUUID()}/${name}`;
  }

  bytes(length: number): Buffer {
    return randomBytes(length);
  }

  async read(path: string, range: ReadRange = { offset: 0 }): Promise<Buffer> {
    return buffer(await this.driver.reader(path, range));
  }

  /** Writes an object through a writer, in pieces of uneven size. */
  async write(path: string, content: Uint8Array): Promise<void> {
    await using writer = await this.driver.writer(path, { append: false });
    const pieceBytes = Math.max(1, Math.ceil(content.length / 7));
    for (let offset = 0; offset < content.length; offset += pieceBytes) {
      await writer.write(content.subarray(offset, offset + pieceBytes));
    }
    await writer.commit();
  }

  /** Writes bytes and closes without commit. */
  async leaveUnfinished(path: string, content: Uint8Array): Promise<void> {
    await using writer = await this.driver.writer(path, { append: false });
    await writer.write(content);
  }

  async list(path: string, page = {}): Promise<string[]> {
    return collect(this.driver.list(path, page));
  }

  async walk(path: string, options: WalkOptions = {}): Promise<FileInfo[]> {
    return collect(this.driver.walk(path, options));
  }

  async expectContent(path: string, expected: Uint8Array): Promise<void> {
    const content = await this.driver.getContent(path);
    // Compared as a whole first: a difference in a large buffer would be printed byte by byte.
    this.expect(content.length, `bytes at ${path}`).toBe(expected.length);
    this.expect(content.equals(expected), `the bytes at ${path} are those expected`).toBe(true);
    this.expect((await this.driver.stat(path)).size, `size of ${path}`).toBe(expected.length);
  }

  /** Expects a call to throw an error of the driver, of this class, that names the driver and the path. */
  async expectError(result: Promise<unknown>, ErrorClass: ErrorClass, path?: string): Promise<StorageDriverError> {
    const error = await result.then(
      () => undefined,
      (reason: unknown) => reason,
    );
    this.expect(error, `expected ${ErrorClass.name}`).toBeInstanceOf(ErrorClass);
    if (!(error instanceof StorageDriverError)) throw error;
    this.expect(error.driverName).toBe(this.driver.name);
    this.expect(error.message.startsWith(`${this.driver.name}: `), `"${error.message}" names the driver`).toBe(true);
    if (path !== undefined) this.expect(error.path).toBe(path);
    return error;
  }

  /** Expects all that a case has made to be listed at the root, and to go by deleting that. */
  async expectDeletable(): Promise<void> {
    for (const path of await this.list('/')) await this.driver.delete(path);
    this.expect(await this.list('/'), 'what is left after deleting everything').toEqual([]);
  }
}

/** All items of an iterable, such as a listing. */
export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}
