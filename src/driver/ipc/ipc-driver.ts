import type { Readable } from 'node:stream';
import { PathNotFoundError, StorageInternalError } from '../errors.ts';
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
} from '../storage-driver.ts';
import { readAnswerLines } from './answer-lines.ts';
import type { DriverCall } from './connection.ts';
import { driverNameOf } from './driver-process.ts';
import type { AnswerStream } from './exchange.ts';
import { callProgram, type DriverProgram } from './program.ts';
import { readFileInfo, readWriterState } from './protocol.ts';
import { RemoteWriter } from './remote-writer.ts';
import { WalkWatch } from './walk-watch.ts';

/** A driver whose work is done by another program, over the protocol of docs/driver-protocol.md. */
export class IpcDriver implements StorageDriver {
  readonly name: string;
  readonly capabilities: Capabilities;
  readonly #program: DriverProgram;
  readonly #walks = new Set<WalkWatch>();

  /** @param program is closed with the driver */
  constructor(program: DriverProgram) {
    this.#program = program;
    this.name = driverNameOf(program.info);
    this.capabilities = program.info.capabilities;
  }

  async getContent(path: string, context?: CallContext): Promise<Buffer> {
    const answer = await this.#send({ method: 'GET', call: 'content', query: { path }, path, context });
    return answer.bytes();
  }

  async putContent(path: string, content: Uint8Array, context?: CallContext): Promise<void> {
    await this.#done({ method: 'PUT', call: 'content', query: { path }, path, body: content, context });
  }

  async putContentIf(path: string, content: Uint8Array, condition: PutCondition, context?: CallContext): Promise<void> {
    const query = { path, ...condition };
    await this.#done({ method: 'PUT', call: 'content', query, path, body: content, condition, context });
  }

  async reader(path: string, range: ReadRange, context?: CallContext): Promise<Readable> {
    const { offset, length } = range;
    const query = { path, offset, length };
    const call = { method: 'GET', call: 'stream', query, path, context, isStream: true, maxBytes: length } as const;
    const answer = await this.#send(call);
    // From here on the stream itself is what is ended.
    answer.detach();
    return answer;
  }

  async writer(path: string, options: { readonly append: boolean }, context?: CallContext): Promise<FileWriter> {
    const opening = this.#openWriter(path, options.append, context);
    const signal = context?.signal;
    if (signal === undefined) return opening;
    return new Promise((resolve, reject) => {
      const abort = () => {
        reject(signal.reason);
        // The program has it, or will have: nobody else could close it.
        void opening.then((writer) => writer.close()).catch(() => undefined);
      };
      signal.addEventListener('abort', abort, { once: true });
      opening.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
    });
  }

  async stat(path: string, context?: CallContext): Promise<FileInfo> {
    return this.#json({ method: 'GET', call: 'stat', query: { path }, path, context }, readFileInfo);
  }

  async *list(path: string, page: ListPage = {}, context?: CallContext): AsyncIterable<string> {
    const query = { path, ...page };
    const answer = await this.#send({ method: 'GET', call: 'list', query, path, context, isStream: true });
    for await (const line of readAnswerLines(answer, { driverName: this.name, path })) {
      const { path: child } = line as { readonly path?: unknown };
      if (typeof child !== 'string') throw this.#misunderstood(path, 'list', line);
      yield child;
    }
  }

  async move(source: string, destination: string, context?: CallContext): Promise<void> {
    try {
      const query = { source, destination };
      await this.#done({ method: 'POST', call: 'move', query, path: source, context });
    } finally {
      this.#tellWalks(source);
    }
  }

  async delete(path: string, context?: CallContext): Promise<void> {
    try {
      await this.#done({ method: 'DELETE', call: 'object', query: { path }, path, context });
    } finally {
      this.#tellWalks(path);
    }
  }

  async redirectURL(
    path: string,
    request: { readonly method: string },
    context?: CallContext,
  ): Promise<string | undefined> {
    const query = { path, method: request.method };
    const { url } = await this.#json({ method: 'POST', call: 'redirect-url', query, path, context }, readUrl);
    return url;
  }

  async *walk(path: string, options: WalkOptions = {}, context?: CallContext): AsyncIterable<FileInfo> {
    const watch = new WalkWatch();
    this.#walks.add(watch);
    try {
      const query = { path, ...options };
      const answer = await this.#send({ method: 'GET', call: 'walk', query, path, context, isStream: true });
      for await (const line of readAnswerLines(answer, { driverName: this.name, path })) {
        const info = readFileInfo(line);
        if (info === undefined) throw this.#misunderstood(path, 'walk', line);
        const current = watch.suspects(info.path) ? await this.#findAgain(info.path, context) : info;
        if (current !== undefined) yield current;
      }
    } finally {
      this.#walks.delete(watch);
    }
  }

  close(): Promise<void> {
    return this.#program.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #openWriter(path: string, append: boolean, context: CallContext | undefined): Promise<FileWriter> {
    const { signal, ...rest } = context ?? {};
    // Without the signal: whoever breaks off the request does not learn the id that the writer is closed by.
    const call = { method: 'POST', call: 'writers', query: { path, append }, path, context: rest } as const;
    const { id, ...state } = await this.#json(
      call,
      (value) => {
        const read = readWriterState(value);
        return read?.id === undefined ? undefined : { ...read, id: read.id };
      },
      signal,
    );
    return new RemoteWriter({ program: this.#program, driverName: this.name, path, id, state });
  }

  #send(call: DriverCall): Promise<AnswerStream> {
    return callProgram(this.#program, call.path, call.context?.signal, (connection) => connection.send(call));
  }

  #done(call: DriverCall): Promise<void> {
    return callProgram(this.#program, call.path, call.context?.signal, (connection) => connection.done(call));
  }

  #json<T>(call: DriverCall, read: (value: unknown) => T | undefined, signal = call.context?.signal): Promise<T> {
    return callProgram(this.#program, call.path, signal, (connection) => connection.json(call, read));
  }

  async #findAgain(path: string, context: CallContext | undefined): Promise<FileInfo | undefined> {
    try {
      return await this.stat(path, context);
    } catch (error) {
      if (error instanceof PathNotFoundError) return undefined;
      throw error;
    }
  }

  #tellWalks(path: string): void {
    for (const walk of this.#walks) walk.remove(path);
  }

  #misunderstood(path: string, call: string, line: unknown): StorageInternalError {
    const text = JSON.stringify(line)?.slice(0, 200);
    return new StorageInternalError(
      this.name,
      path,
      `a line of the driver's answer to GET /v1/${call} cannot be read: ${text}`,
    );
  }
}

function readUrl(value: unknown): { readonly url: string | undefined } | undefined {
  const { url } = (value ?? {}) as { readonly url?: unknown };
  if (url === null || url === undefined) return { url: undefined };
  return typeof url === 'string' ? { url } : undefined;
}
