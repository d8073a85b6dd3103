import type { Readable } from 'node:stream';
import { alreadyValidated } from './base.ts';
import type {
  CallContext,
  Capabilities,
  FileInfo,
  FileWriter,
  ListPage,
  PutCondition,
  ReadRange,
  StorageDriver,
  WalkOptions,
} from './storage-driver.ts';

/** A driver that hands every call to another one: the base of those that do one thing differently. */
export abstract class DelegatingDriver implements StorageDriver {
  readonly [alreadyValidated] = true;
  protected readonly inner: StorageDriver;

  /** @param inner is closed with this one, unless a subclass says otherwise */
  constructor(inner: StorageDriver) {
    this.inner = inner;
  }

  get name(): string {
    return this.inner.name;
  }

  get capabilities(): Capabilities {
    return this.inner.capabilities;
  }

  getContent(path: string, context?: CallContext): Promise<Buffer> {
    return this.inner.getContent(path, context);
  }

  putContent(path: string, content: Uint8Array, context?: CallContext): Promise<void> {
    return this.inner.putContent(path, content, context);
  }

  putContentIf(path: string, content: Uint8Array, condition: PutCondition, context?: CallContext): Promise<void> {
    return this.inner.putContentIf(path, content, condition, context);
  }

  reader(path: string, range: ReadRange, context?: CallContext): Promise<Readable> {
    return this.inner.reader(path, range, context);
  }

  writer(path: string, options: { readonly append: boolean }, context?: CallContext): Promise<FileWriter> {
    return this.inner.writer(path, options, context);
  }

  stat(path: string, context?: CallContext): Promise<FileInfo> {
    return this.inner.stat(path, context);
  }

  list(path: string, page?: ListPage, context?: CallContext): AsyncIterable<string> {
    return this.inner.list(path, page, context);
  }

  move(source: string, destination: string, context?: CallContext): Promise<void> {
    return this.inner.move(source, destination, context);
  }

  delete(path: string, context?: CallContext): Promise<void> {
    return this.inner.delete(path, context);
  }

  redirectURL(path: string, request: { readonly method: string }, context?: CallContext): Promise<string | undefined> {
    return this.inner.redirectURL(path, request, context);
  }

  walk(path: string, options?: WalkOptions, context?: CallContext): AsyncIterable<FileInfo> {
    return this.inner.walk(path, options, context);
  }

  close(): Promise<void> {
    return this.inner.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
