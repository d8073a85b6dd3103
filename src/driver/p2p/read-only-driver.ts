import type { Readable } from 'node:stream';
import { ReadOnlyError } from '../../core/index.ts';
import type {
  CallContext,
  Capabilities,
  FileInfo,
  FileWriter,
  ListPage,
  ReadRange,
  StorageDriver,
  WalkOptions,
} from '../index.ts';
import { alreadyValidated } from '../index.ts';

/** Refuses all that writes, and says where to write instead; reads go to the validated driver behind it. */
export class ReadOnlyDriver implements StorageDriver {
  readonly [alreadyValidated] = true;
  readonly name: string;
  readonly capabilities: Capabilities;
  readonly #driver: StorageDriver;
  readonly #proxyHint: string | undefined;

  constructor(driver: StorageDriver, proxyHint: string | undefined) {
    this.#driver = driver;
    this.#proxyHint = proxyHint;
    this.name = driver.name;
    this.capabilities = { ...driver.capabilities, write: false };
  }

  getContent(path: string, context?: CallContext): Promise<Buffer> {
    return this.#driver.getContent(path, context);
  }

  reader(path: string, range: ReadRange, context?: CallContext): Promise<Readable> {
    return this.#driver.reader(path, range, context);
  }

  stat(path: string, context?: CallContext): Promise<FileInfo> {
    return this.#driver.stat(path, context);
  }

  list(path: string, page?: ListPage, context?: CallContext): AsyncIterable<string> {
    return this.#driver.list(path, page, context);
  }

  walk(path: string, options?: WalkOptions, context?: CallContext): AsyncIterable<FileInfo> {
    return this.#driver.walk(path, options, context);
  }

  redirectURL(path: string, request: { readonly method: string }, context?: CallContext): Promise<string | undefined> {
    return this.#driver.redirectURL(path, request, context);
  }

  async putContent(path: string): Promise<void> {
    throw this.#refused('putContent', path);
  }

  async putContentIf(path: string): Promise<void> {
    throw this.#refused('putContentIf', path);
  }

  async writer(path: string): Promise<FileWriter> {
    throw this.#refused('writer', path);
  }

  async move(source: string): Promise<void> {
    throw this.#refused('move', source);
  }

  async delete(path: string): Promise<void> {
    throw this.#refused('delete', path);
  }

  close(): Promise<void> {
    return this.#driver.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #refused(operation: string, path: string): ReadOnlyError {
    const where = this.#proxyHint === undefined ? 'the proxy' : `the proxy at ${this.#proxyHint}`;
    const message = `${this.name}: ${operation} of ${path} is refused: this driver is read-only; write to ${where}`;
    return new ReadOnlyError(message, { driver: this.name, path });
  }
}
