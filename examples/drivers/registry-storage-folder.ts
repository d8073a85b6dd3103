#!/usr/bin/env node
/**
 * A storage driver for Shoal, as a program of its own: objects in a folder.
 *
 * Needs Node 24 and nothing else. The protocol is docs/driver-protocol.md. It declares less than it could: no conditional puts,
 * because Node has no lock on files that ends with its process, and several programs may use one folder.
 *
 *     <rootdirectory>/objects/a/b             the object /a/b
 *     <rootdirectory>/unfinished/a/b/~bytes   what a writer of /a/b was closed with, without a commit
 *     <rootdirectory>/tmp/<id>                files in the making; a crash may leave some, which nobody sees
 *
 * What changes names is done without a pause (by the calls that end in Sync), so that no other call comes between its steps.
 */
import { createHash, randomUUID, timingSafeEqual } from 'node:crypto';
import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmdirSync,
  rmSync,
  type Stats,
  statSync,
  unlinkSync,
  utimesSync,
} from 'node:fs';
import { copyFile, type FileHandle, open, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { dirname, join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';

const idleMs = 10 * 60 * 1000;
const info = {
  protocol: 1,
  version: '1.0',
  name: 'folder',
  capabilities: { write: true, anyPath: true, conditionalPut: false },
  writerIdleSeconds: idleMs / 1000,
};
const statusOfCode: Readonly<Record<string, number>> = {
  BAD_REQUEST: 400,
  INVALID_PATH: 400,
  UNAUTHORIZED: 401,
  PERMISSION: 403,
  PATH_NOT_FOUND: 404,
  NOT_A_FILE: 409,
  NOT_A_DIRECTORY: 409,
  CONFLICT: 409,
  WRITER_CLOSED: 410,
  UNSUPPORTED: 501,
  STORAGE_UNAVAILABLE: 503,
  STORAGE_FULL: 507,
};
const codeOfSystem: Readonly<Record<string, string>> = {
  ENOENT: 'PATH_NOT_FOUND',
  ENOTDIR: 'PATH_NOT_FOUND',
  EISDIR: 'NOT_A_FILE',
  ENOSPC: 'STORAGE_FULL',
  EDQUOT: 'STORAGE_FULL',
  EACCES: 'PERMISSION',
  EPERM: 'PERMISSION',
  EROFS: 'PERMISSION',
  EMFILE: 'STORAGE_UNAVAILABLE',
  ENFILE: 'STORAGE_UNAVAILABLE',
};
const validPath = /^(\/(?!\.{1,2}(\/|$))[A-Za-z0-9._-]{1,255})+$/;

/** What the registry gets as {code, message, path, retryable}. */
class DriverError extends Error {
  readonly code: string;
  readonly path: string;
  constructor(code: string, path: string, message: string) {
    super(message);
    this.code = code;
    this.path = path;
  }
}

/** Any error in the words of the protocol. */
function toDriverError(error: unknown, path: string): DriverError {
  if (error instanceof DriverError) return error;
  const { code = '', message } = error as NodeJS.ErrnoException;
  return new DriverError(codeOfSystem[code] ?? 'STORAGE_INTERNAL', path, message);
}

/** Everything below /a comes before /a-b: the order of a walk, in which the slash is the first of all characters. */
function isBehind(path: string, other: string): boolean {
  return path.replaceAll('/', '\0') > other.replaceAll('/', '\0');
}

function find(place: string): Stats | undefined {
  return lstatSync(place, { throwIfNoEntry: false });
}

function hasCode(error: unknown, ...codes: string[]): boolean {
  return codes.includes((error as NodeJS.ErrnoException).code ?? '');
}

async function syncDirectory(place: string): Promise<void> {
  try {
    const handle = await open(place);
    await handle.sync().finally(() => handle.close());
  } catch (error) {
    // Removed meanwhile: there is no name left in it that could last.
    if (!hasCode(error, 'ENOENT')) throw error;
  }
}

/** The storage itself. */
class Folder {
  readonly root: string;
  readonly objects: string;
  readonly unfinished: string;
  readonly tmp: string;
  /** Paths that a writer goes on with. */
  readonly appending = new Set<string>();

  constructor(root: string) {
    this.root = resolve(root);
    [this.objects, this.unfinished, this.tmp] = ['objects', 'unfinished', 'tmp'].map((name) =>
      join(this.root, name),
    ) as [string, string, string];
    for (const place of [this.objects, this.unfinished, this.tmp]) mkdirSync(place, { recursive: true });
  }

  place(path: string): string {
    return path === '/' ? this.objects : this.objects + path;
  }

  kept(path: string): string {
    return `${this.unfinished}${path}/~bytes`;
  }

  temporary(): string {
    return join(this.tmp, randomUUID());
  }

  async open(path: string): Promise<FileHandle> {
    const handle = await open(this.place(path));
    if (!(await handle.stat()).isDirectory()) return handle;
    await handle.close();
    throw new DriverError('NOT_A_FILE', path, 'a directory, not a file');
  }

  stat(path: string): { path: string; size: number; modTimeMs: number; isDirectory: boolean } {
    const found = statSync(this.place(path));
    const isDirectory = found.isDirectory();
    return { path, size: isDirectory ? 0 : found.size, modTimeMs: Math.floor(found.mtimeMs), isDirectory };
  }

  children(path: string): string[] {
    if (find(this.place(path))?.isFile()) throw new DriverError('NOT_A_DIRECTORY', path, 'a file, not a directory');
    const names = readdirSync(this.place(path)).sort();
    return names.map((name) => (path === '/' ? `/${name}` : `${path}/${name}`));
  }

  *walk(path: string, startAfter: string): Iterable<object> {
    for (const child of this.children(path)) {
      const isWanted = isBehind(child, startAfter);
      if (!isWanted && !`${startAfter}/`.startsWith(`${child}/`)) continue;
      try {
        const found = this.stat(child);
        if (isWanted) yield found;
        if (found.isDirectory) yield* this.walk(child, startAfter);
      } catch (error) {
        // It has gone since it was listed.
        if (!['PATH_NOT_FOUND', 'NOT_A_DIRECTORY'].includes(toDriverError(error, child).code)) throw error;
      }
    }
  }

  /** A name is free when nothing is there, or an object, or directories with nothing in them. */
  requireFree(path: string): void {
    const place = this.place(path);
    let parent = dirname(place);
    while (findOrNothing(parent) === undefined) parent = dirname(parent);
    if (!statSync(parent).isDirectory()) throw new DriverError('NOT_A_DIRECTORY', path, 'a file, not a directory');
    if (!findOrNothing(place)?.isDirectory()) return;
    const below = readdirSync(place, { recursive: true, withFileTypes: true });
    if (below.some((entry) => !entry.isDirectory()))
      throw new DriverError('NOT_A_FILE', path, 'a directory, not a file');
    rmSync(place, { recursive: true });
  }

  /** Makes a finished and synced file visible, in one step for everybody who looks; then makes its name last. */
  async show(file: string, path: string): Promise<void> {
    const place = this.place(path);
    this.requireFree(path);
    const oldMs = Math.floor(find(place)?.mtimeMs ?? 0);
    // Half a millisecond more, because the conversion to seconds may round down.
    if (Math.floor(statSync(file).mtimeMs) <= oldMs) utimesSync(file, new Date(), (oldMs + 1.5) / 1000);
    mkdirSync(dirname(place), { recursive: true });
    renameSync(file, place);
    await this.settle(dirname(place));
  }

  /** Syncs a directory and those above it, which may be new. */
  async settle(directory: string): Promise<void> {
    for (let place = directory; place !== this.root; place = dirname(place)) await syncDirectory(place);
  }

  async put(path: string, content: Buffer): Promise<void> {
    const file = this.temporary();
    try {
      const handle = await open(file, 'wx');
      try {
        await handle.writeFile(content);
        await handle.sync();
      } finally {
        await handle.close();
      }
      await this.show(file, path);
    } finally {
      await rm(file, { force: true });
    }
  }

  async move(source: string, destination: string): Promise<void> {
    await (await this.open(source)).close();
    if (source === destination) return;
    // Who comes second of two at once finds no file any more, and has changed nothing.
    if (find(this.place(source)) === undefined) throw new DriverError('PATH_NOT_FOUND', source, 'path not found');
    await this.show(this.place(source), destination);
    await syncDirectory(dirname(this.place(source)));
    this.prune(dirname(this.place(source)), this.objects);
  }

  async delete(path: string): Promise<void> {
    let isFound = false;
    for (const top of [this.unfinished, this.objects]) {
      const place = top + path;
      if (findOrNothing(place) === undefined) continue;
      isFound = true;
      // First out of sight as a whole, then file by file.
      const gone = this.temporary();
      renameSync(place, gone);
      this.prune(dirname(place), top);
      await syncDirectory(dirname(place));
      await rm(gone, { recursive: true, force: true });
    }
    if (!isFound) throw new DriverError('PATH_NOT_FOUND', path, 'path not found');
  }

  /** Removes directories that are left empty. */
  prune(from: string, top: string): void {
    try {
      for (let place = from; place !== top; place = dirname(place)) rmdirSync(place);
    } catch {
      // In use.
    }
  }
}

function findOrNothing(place: string): Stats | undefined {
  try {
    return find(place);
  } catch (error) {
    if (hasCode(error, 'ENOTDIR')) return undefined;
    throw error;
  }
}

/** One object in the making. It always has a file of its own, so that no two writers ever write to the same. */
class Writer {
  readonly folder: Folder;
  readonly path: string;
  readonly id = randomUUID();
  readonly #handle: FileHandle;
  readonly #file: string;
  readonly #isAppending: boolean;
  size: number;
  usedMs = performance.now();
  /** The call before; the next one waits for it. */
  tail: Promise<unknown> = Promise.resolve();

  private constructor(
    folder: Folder,
    path: string,
    isAppending: boolean,
    file: string,
    handle: FileHandle,
    size: number,
  ) {
    this.folder = folder;
    this.path = path;
    this.#isAppending = isAppending;
    this.#file = file;
    this.#handle = handle;
    this.size = size;
  }

  static async open(folder: Folder, path: string, append: boolean): Promise<Writer> {
    folder.requireFree(path);
    if (!append) {
      removeKept(folder, path);
      const file = folder.temporary();
      return new Writer(folder, path, false, file, await open(file, 'wx'), 0);
    }
    if (folder.appending.has(path)) throw new DriverError('CONFLICT', path, 'another writer appends to it now');
    folder.appending.add(path);
    try {
      const file = (await takeKept(folder, path)) ?? beginAnew(folder, path);
      const handle = await open(file, 'a');
      return new Writer(folder, path, true, file, handle, (await handle.stat()).size);
    } catch (error) {
      folder.appending.delete(path);
      throw error;
    }
  }

  async write(offset: number, body: AsyncIterable<Buffer>): Promise<void> {
    if (offset !== this.size) {
      throw new DriverError('CONFLICT', this.path, `the writer is at byte ${this.size}, expected ${offset}`);
    }
    for await (const chunk of body) {
      await this.#handle.appendFile(chunk);
      this.size += chunk.length;
    }
  }

  async commit(): Promise<void> {
    await this.#handle.sync();
    this.#requireOwn();
    await this.folder.show(this.#file, this.path);
    this.folder.prune(dirname(this.folder.kept(this.path)), this.folder.unfinished);
    await this.#end();
  }

  async close(): Promise<void> {
    try {
      await this.#handle.sync();
      this.#requireOwn();
      const kept = this.folder.kept(this.path);
      mkdirSync(dirname(kept), { recursive: true });
      renameSync(this.#file, kept);
      await this.folder.settle(dirname(kept));
    } finally {
      await this.#end();
    }
  }

  async cancel(): Promise<void> {
    rmSync(this.#file, { force: true });
    removeKept(this.folder, this.path);
    this.size = 0;
    await this.#end();
  }

  #requireOwn(): void {
    if (existsSync(this.#file)) return;
    throw new DriverError('CONFLICT', this.path, 'another writer has taken or removed the unfinished bytes');
  }

  async #end(): Promise<void> {
    if (this.#isAppending) this.folder.appending.delete(this.path);
    await this.#handle.close();
  }
}

/** Takes bytes that wait, by giving them a name of one's own; `undefined` when there are none. */
async function takeKept(folder: Folder, path: string): Promise<string | undefined> {
  const kept = folder.kept(path);
  const own = `${kept}-${randomUUID()}`;
  try {
    renameSync(kept, own);
    return own;
  } catch (error) {
    if (!hasCode(error, 'ENOENT', 'ENOTDIR')) throw error;
  }
  const [taken] = findOrNothing(dirname(kept)) ? readdirSync(dirname(kept)).filter((name) => name.startsWith('~')) : [];
  if (taken === undefined) return undefined;
  // Their writer was killed, or is at work in another program, which may still write to its file: hence a copy.
  const other = join(dirname(kept), taken);
  const copy = folder.temporary();
  await copyFile(other, copy);
  unlinkSync(other);
  linkSync(copy, own);
  unlinkSync(copy);
  return own;
}

/** @throws DriverError when there is nothing to append to */
function beginAnew(folder: Folder, path: string): string {
  if (folder.stat(path).size === 0) return folder.temporary();
  throw new DriverError('CONFLICT', path, 'committed and not empty, cannot be appended to');
}

function removeKept(folder: Folder, path: string): void {
  const directory = dirname(folder.kept(path));
  if (findOrNothing(directory) === undefined) return;
  for (const name of readdirSync(directory)) if (name.startsWith('~')) unlinkSync(join(directory, name));
  folder.prune(directory, folder.unfinished);
}

interface Call {
  readonly folder: Folder;
  readonly writers: Map<string, Writer>;
  readonly query: URLSearchParams;
  readonly writerId: string;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

const calls: Readonly<Record<string, (call: Call) => unknown>> = {
  'GET info': ({ response }) => sendJson(response, info),
  'GET health': ({ response }) => sendJson(response, {}),
  'GET content': sendObject,
  'GET stream': sendObject,
  'PUT content': async ({ folder, query, request, response }) => {
    const path = pathOf(query);
    if (query.has('ifAbsent') || query.has('ifMatch')) {
      throw new DriverError('UNSUPPORTED', path, 'putContentIf is not supported');
    }
    // A body that is cut throws here, and nothing is put.
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    await folder.put(path, Buffer.concat(chunks));
    response.writeHead(204).end();
  },
  'GET stat': ({ folder, query, response }) => sendJson(response, folder.stat(pathOf(query, { root: true }))),
  'GET list': ({ folder, query, response }) => {
    const after = query.get('after') ?? '';
    const children = folder.children(pathOf(query, { root: true })).filter((child) => isBehind(child, after));
    const page = query.has('limit') ? children.slice(0, Number(query.get('limit'))) : children;
    return sendLines(
      response,
      page.map((path) => ({ path })),
    );
  },
  'GET walk': ({ folder, query, response }) =>
    sendLines(response, folder.walk(pathOf(query, { root: true }), query.get('startAfter') ?? '')),
  'POST move': async ({ folder, query, response }) => {
    await folder.move(pathOf(query, { name: 'source' }), pathOf(query, { name: 'destination' }));
    response.writeHead(204).end();
  },
  'DELETE object': async ({ folder, query, response }) => {
    await folder.delete(pathOf(query));
    response.writeHead(204).end();
  },
  'POST redirect-url': ({ response }) => sendJson(response, { url: null }),
  'POST writers': async ({ folder, writers, query, response }) => {
    const writer = await Writer.open(folder, pathOf(query), query.get('append') === 'true');
    writers.set(writer.id, writer);
    sendJson(response, { id: writer.id, size: writer.size }, 201);
  },
  'GET writers/ID': (call) => useWriter(call, async () => undefined),
  'PATCH writers/ID': (call) =>
    useWriter(call, (writer) => writer.write(Number(call.request.headers['x-offset']), call.request)),
  'POST writers/ID/commit': (call) =>
    useWriter(call, async (writer) => {
      await writer.commit();
      call.writers.delete(writer.id);
    }),
  'POST writers/ID/close': (call) =>
    useWriter(call, (writer) => {
      call.writers.delete(writer.id);
      return writer.close();
    }),
  'DELETE writers/ID': (call) =>
    useWriter(call, (writer) => {
      call.writers.delete(writer.id);
      return writer.cancel();
    }),
};

async function sendObject({ folder, query, response }: Call): Promise<void> {
  const handle = await folder.open(pathOf(query));
  // An object is never written to, only replaced: its size cannot change.
  const offset = Number(query.get('offset') ?? 0);
  const behind = Math.max(0, (await handle.stat()).size - offset);
  const size = query.has('length') ? Math.min(behind, Number(query.get('length'))) : behind;
  response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': size });
  if (size > 0) {
    const stream = handle.createReadStream({ start: offset, end: offset + size - 1, highWaterMark: 256 * 1024 });
    await pipeline(stream, response);
  } else {
    await handle.close();
    response.end();
  }
}

/** The calls of a writer run one after the other, in the order in which they came. */
async function useWriter(call: Call, work: (writer: Writer) => Promise<void>): Promise<void> {
  const writer = call.writers.get(call.writerId);
  if (writer === undefined) throw new DriverError('WRITER_CLOSED', '/', 'gone, or was never here');
  const result = writer.tail.then(async () => {
    writer.usedMs = performance.now();
    await work(writer).catch((error: unknown) => {
      throw toDriverError(error, writer.path);
    });
  });
  writer.tail = result.catch(() => undefined);
  await result;
  sendJson(call.response, { size: writer.size });
}

function pathOf(query: URLSearchParams, { name = 'path', root = false } = {}): string {
  const path = query.get(name) ?? '';
  if ((path === '/' && root) || (path.length <= 1024 && validPath.test(path))) return path;
  throw new DriverError('INVALID_PATH', path, 'invalid path');
}

function sendJson(response: ServerResponse, value: object, status = 200): void {
  const body = Buffer.from(JSON.stringify(value));
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': body.length });
  response.end(body);
}

async function sendLines(response: ServerResponse, items: Iterable<object>): Promise<void> {
  const iterator = items[Symbol.iterator]();
  let next = iterator.next(); // An error before the first line is an ordinary answer.
  response.writeHead(200, { 'content-type': 'application/x-ndjson' });
  for (; !next.done; next = iterator.next()) {
    const isTaken = response.write(`${JSON.stringify(next.value)}\n`);
    if (!isTaken) await new Promise((resolve) => response.once('drain', resolve).once('close', resolve));
    if (response.destroyed) return;
  }
  response.end('{"complete":true}\n');
}

async function answer(request: IncomingMessage, response: ServerResponse, parts: Pick<Call, 'folder' | 'writers'>) {
  response.on('error', () => undefined); // The registry has gone; whoever sends to it sees that for itself.
  const url = new URL(request.url ?? '/', 'http://driver');
  const [, version, ...words] = url.pathname.split('/');
  const writerId = words[0] === 'writers' ? (words[1] ?? '') : '';
  const call = words.map((word, index) => (index === 1 && writerId !== '' ? 'ID' : word)).join('/');
  try {
    if (!isAllowed(request.headers.authorization)) {
      throw new DriverError('UNAUTHORIZED', '/', 'the token is missing or wrong');
    }
    const serve = version === 'v1' ? calls[`${request.method} ${call}`] : undefined;
    if (serve === undefined) throw new DriverError('BAD_REQUEST', '/', 'no call of this protocol');
    await serve({ ...parts, query: url.searchParams, writerId, request, response });
  } catch (error) {
    const { code, message, path } = toDriverError(
      error,
      url.searchParams.get('path') ?? url.searchParams.get('source') ?? '/',
    );
    // Cut off: an answer that ends well would pass for whole.
    if (response.headersSent) response.destroy();
    else
      sendJson(response, { code, message, path, retryable: code === 'STORAGE_UNAVAILABLE' }, statusOfCode[code] ?? 500);
  }
}

function isAllowed(header = ''): boolean {
  const digests = [header, `Bearer ${process.env['REGISTRY_STORAGE_TOKEN']}`].map((text) =>
    createHash('sha256').update(text).digest(),
  ) as [Buffer, Buffer];
  return timingSafeEqual(...digests);
}

/** The first line of standard input. Its end comes when the registry is gone, however it went. */
async function readParameters(onEnd: () => void): Promise<Record<string, unknown>> {
  process.stdin.once('end', onEnd).setEncoding('utf8');
  let text = '';
  for await (const part of process.stdin.iterator({ destroyOnReturn: false })) {
    text += part;
    if (text.includes('\n')) break;
  }
  process.stdin.resume();
  return JSON.parse(text);
}

async function main(): Promise<void> {
  const writers = new Map<string, Writer>();
  const close = (writer: Writer) => {
    writers.delete(writer.id);
    return writer.tail
      .then(() => writer.close())
      .catch((error) => console.error(`a writer could not be closed: ${error}`));
  };
  const end = async () => {
    await Promise.all([...writers.values()].map(close));
    process.exit(0);
  };
  process.once('SIGTERM', () => void end());
  const { rootdirectory, ...others } = await readParameters(() => void end());
  if (typeof rootdirectory !== 'string' || Object.keys(others).length > 0) {
    console.error('expected the parameter rootdirectory and no other');
    process.exit(1);
  }
  const folder = new Folder(rootdirectory);
  // The client of a writer that nobody calls has gone; its bytes stay for the next one.
  setInterval(() => {
    for (const writer of writers.values()) if (performance.now() - writer.usedMs > idleMs) void close(writer);
  }, 10_000);
  const server = createServer({ keepAliveTimeout: 60_000, requestTimeout: 0 }, (request, response) => {
    void answer(request, response, { folder, writers });
  });
  server.listen(process.env['REGISTRY_STORAGE_SOCKET'], () => console.log(JSON.stringify(info)));
}

await main();
