import { Readable } from 'node:stream';
import type { Capabilities, FileInfo, FileWriter, StorageDriver } from '../../src/driver/index.ts';

/** A driver every call of which does what `act` does with the call's name: throw, for the most part. */
export class FaultyDriver implements StorageDriver {
  readonly name = 'faulty';
  readonly capabilities: Capabilities;
  readonly calls: string[] = [];
  readonly #act: (call: string) => void;

  constructor(act: (call: string) => void = () => undefined, capabilities: Partial<Capabilities> = {}) {
    this.#act = act;
    this.capabilities = {
      write: true,
      anyPath: true,
      verifiesBlobs: false,
      redirect: true,
      conditionalPut: true,
      ...capabilities,
    };
  }

  async getContent(): Promise<Buffer> {
    this.#enter('getContent');
    return Buffer.alloc(0);
  }

  async putContent(): Promise<void> {
    this.#enter('putContent');
  }

  async reader(): Promise<Readable> {
    this.#enter('reader');
    return Readable.from([Buffer.from('bytes')], { objectMode: false });
  }

  async writer(): Promise<FileWriter> {
    this.#enter('writer');
    const act = async (call: string) => this.#enter(call);
    return {
      size: 0,
      write: () => act('write'),
      commit: () => act('commit'),
      cancel: () => act('cancel'),
      close: () => act('close'),
      [Symbol.asyncDispose]: () => act('close'),
    };
  }

  async stat(path: string): Promise<FileInfo> {
    this.#enter('stat');
    return { path, size: 0, modTime: new Date(0), isDirectory: true };
  }

  async *list(): AsyncIterable<string> {
    this.#enter('list');
    yield '/a';
    this.#enter('list again');
  }

  async move(): Promise<void> {
    this.#enter('move');
  }

  async delete(): Promise<void> {
    this.#enter('delete');
  }

  async putContentIf(): Promise<void> {
    this.#enter('putContentIf');
  }

  async redirectURL(): Promise<string | undefined> {
    this.#enter('redirectURL');
    return 'http://storage.example/object';
  }

  async *walk(path: string): AsyncIterable<FileInfo> {
    this.#enter('walk');
    yield await this.stat(path);
  }

  async close(): Promise<void> {
    this.#enter('close driver');
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #enter(call: string): void {
    this.calls.push(call);
    this.#act(call);
  }
}
