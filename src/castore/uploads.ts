import { join } from 'node:path';
import type { Readable } from 'node:stream';
import {
  algorithmOf,
  BadRequestError,
  type Digest,
  DigestHasher,
  UnavailableError,
  UploadNotFoundError,
} from '../core/index.ts';
import type { BlobAdoption } from './blob-adoption.ts';
import type { BlobInfo, UploadInfo, UploadStore, UploadWriter } from './ca-store.ts';
import type { StoreContext } from './context.ts';
import { makeIfMissing, openIfThere } from './durable.ts';
import { StoreDamagedError } from './errors.ts';
import { checkRange, FileStream } from './file-reader.ts';
import type { OpenFile } from './files.ts';
import { decodeName, encodeName, isUploadId, type UploadPaths } from './layout.ts';
import { RunningHashes } from './running-hashes.ts';
import { FileUploadWriter, type UploadEntry } from './upload-writer.ts';

/** A running hash is well under a kilobyte; more uploads than this at once are read again at their commit. */
const MAX_RUNNING_HASHES = 1024;

/** How much of a file is read at once to hash it. */
const HASH_CHUNK_BYTES = 1024 * 1024;

/** {@link UploadStore} on a folder. */
export class Uploads implements UploadStore {
  readonly #context: StoreContext;
  readonly #adoption: BlobAdoption;
  readonly #hashes = new RunningHashes(MAX_RUNNING_HASHES);
  readonly #entries = new Map<string, UploadEntry>();

  constructor(context: StoreContext, adoption: BlobAdoption) {
    this.#context = context;
    this.#adoption = adoption;
  }

  async create(id: string): Promise<UploadWriter> {
    return this.#exclusive(id, async (paths) => {
      const old = this.#entries.get(id);
      if (old !== undefined) this.#refuseWriter(old);
      const file = await this.#openEmpty(paths);
      if (old !== undefined) this.#forget(old);
      return this.#makeWriter(this.#addEmpty(id), file);
    });
  }

  async resume(id: string): Promise<UploadWriter> {
    return this.#exclusive(id, async (paths) => {
      const entry = this.#get(id);
      this.#refuseWriter(entry);
      return this.#makeWriter(entry, await this.#context.ops.open(paths.data, 'change'));
    });
  }

  async find(id: string): Promise<UploadInfo | undefined> {
    const entry = this.#entries.get(id);
    return entry === undefined ? undefined : infoOf(entry);
  }

  async open(id: string, range?: { offset: number; length?: number }): Promise<Readable> {
    const { ops, openThings } = this.#context;
    const { sizeBytes } = this.#get(id);
    const offset = range?.offset ?? 0;
    const checked = { offset, length: range?.length ?? Math.max(0, sizeBytes - offset) };
    checkRange(checked, sizeBytes, `upload ${id}`);
    const file = await openIfThere(ops, this.#context.layout.upload(id).data);
    // Committed or cancelled just now.
    if (file === undefined) throw notFound(id);
    return new FileStream({ file, what: `upload ${id}`, sizeBytes, openThings }, checked);
  }

  async commit(id: string, digest: Digest, options: { pin?: string } = {}): Promise<BlobInfo> {
    return this.#exclusive(id, async (paths) => {
      const entry = this.#get(id);
      this.#refuseWriter(entry);
      await this.#verifyAndSync(entry, paths, digest);
      const info = await this.#adoption.adopt(digest, { path: paths.data, sizeBytes: entry.sizeBytes }, options);
      this.#entries.delete(id);
      this.#hashes.forget(id);
      await this.#clean(paths, id);
      return info;
    });
  }

  async cancel(id: string): Promise<void> {
    await this.#exclusive(id, async () => {
      const entry = this.#get(id);
      await entry.writer?.cancel();
      await this.#remove(entry);
    });
  }

  async *list(): AsyncIterable<UploadInfo> {
    for (const id of [...this.#entries.keys()]) {
      const entry = this.#entries.get(id);
      if (entry !== undefined) yield infoOf(entry);
    }
  }

  async putSidecar(id: string, name: string, content: Uint8Array): Promise<void> {
    const fileName = encodeName('the name of a sidecar', name);
    await this.#exclusive(id, async (paths) => {
      const { files, ops, space } = this.#context;
      if (!this.#entries.has(id)) {
        await (await this.#openEmpty(paths)).close();
        this.#addEmpty(id);
      }
      await space.onDisk(`a sidecar of upload ${id}`, async () => {
        if (await makeIfMissing(ops, paths.sidecars)) await ops.syncDirectory(paths.directory);
        await files.writeFile(join(paths.sidecars, fileName), content);
      });
    });
  }

  async findSidecar(id: string, name: string): Promise<Buffer | undefined> {
    const fileName = encodeName('the name of a sidecar', name);
    if (!this.#entries.has(id)) return undefined;
    return this.#context.files.findFile(join(this.#context.layout.upload(id).sidecars, fileName));
  }

  async listSidecars(id: string): Promise<readonly string[]> {
    if (!this.#entries.has(id)) return [];
    const fileNames = await this.#context.files.list(this.#context.layout.upload(id).sidecars);
    return fileNames
      .map(decodeName)
      .filter((name) => name !== undefined)
      .sort();
  }

  /** Reads what is on disk, and removes uploads without data: what a crash left of a commit, or of a cancel. */
  async load(): Promise<void> {
    const { files, layout, ops, space } = this.#context;
    for (const id of await files.list(layout.uploads)) {
      if (!isUploadId(id)) continue;
      const paths = layout.upload(id);
      if (!(await files.list(paths.directory)).includes('data')) {
        await files.removeTree(paths.directory);
        continue;
      }
      const { sizeBytes, modifiedAtMs } = await ops.stat(paths.data);
      this.#entries.set(id, { id, sizeBytes, modifiedAtMs: Math.round(modifiedAtMs) });
      space.found({ unfinishedBytes: sizeBytes });
    }
  }

  async #exclusive<T>(id: string, task: (paths: UploadPaths) => Promise<T>): Promise<T> {
    if (!isUploadId(id)) {
      throw new BadRequestError(
        `${JSON.stringify(id.slice(0, 150))} is not an upload id: expected 1 to 128 of letters, digits, "_" and "-"`,
      );
    }
    return this.#context.locks.run(`upload ${id}`, () => task(this.#context.layout.upload(id)));
  }

  #get(id: string): UploadEntry {
    const entry = this.#entries.get(id);
    if (entry !== undefined) return entry;
    throw notFound(id);
  }

  #refuseWriter(entry: UploadEntry): void {
    if (entry.writer === undefined) return;
    throw new UnavailableError(`upload ${entry.id} is being written: close its writer first`, { id: entry.id });
  }

  async #openEmpty(paths: UploadPaths): Promise<OpenFile> {
    const { files, layout, ops, space } = this.#context;
    return space.onDisk('an upload', async () => {
      await files.makeDirectory(layout.uploads, paths.directory);
      const file = await ops.open(paths.data, 'create');
      try {
        await ops.syncDirectory(paths.directory);
        return file;
      } catch (error) {
        await file.close();
        throw error;
      }
    });
  }

  #addEmpty(id: string): UploadEntry {
    const entry = { id, sizeBytes: 0, modifiedAtMs: this.#context.clock.nowMs() };
    this.#entries.set(id, entry);
    this.#hashes.start(id);
    return entry;
  }

  #makeWriter(entry: UploadEntry, file: OpenFile): UploadWriter {
    const discard = () => this.#remove(entry);
    return new FileUploadWriter({ context: this.#context, hashes: this.#hashes, entry, file, discard });
  }

  /** @throws DigestMismatchError, StoreDamagedError, or the error of a sync that failed: the upload is gone then */
  async #verifyAndSync(entry: UploadEntry, paths: UploadPaths, digest: Digest): Promise<void> {
    const { ops } = this.#context;
    const file = await ops.open(paths.data, 'change');
    try {
      const sizeBytes = await file.sizeBytes();
      const kept = algorithmOf(digest) === 'sha256' ? this.#hashes.find(entry.id) : undefined;
      const hasher = kept ?? (await hashFile(file, new DigestHasher(algorithmOf(digest))));
      try {
        this.#checkSize(entry, sizeBytes);
        this.#adoption.checkDigest(digest, hasher.digest(), sizeBytes);
        await this.#adoption.sync(file, `upload ${entry.id}`);
      } catch (error) {
        // Bytes that do not match, or that the disk may not hold: nothing that anybody could go on with.
        await this.#remove(entry);
        throw error;
      }
    } finally {
      await file.close();
    }
  }

  /** The running hash says nothing of a file that somebody has cut short. */
  #checkSize(entry: UploadEntry, sizeBytes: number): void {
    if (sizeBytes === entry.sizeBytes) return;
    throw new StoreDamagedError(`upload ${entry.id} has ${sizeBytes} bytes on disk, expected ${entry.sizeBytes}`);
  }

  #forget(entry: UploadEntry): void {
    if (this.#entries.get(entry.id) !== entry) return;
    this.#entries.delete(entry.id);
    this.#hashes.forget(entry.id);
    this.#context.space.give(entry.sizeBytes);
  }

  /** Takes an upload away, data first. */
  async #remove(entry: UploadEntry): Promise<void> {
    const paths = this.#context.layout.upload(entry.id);
    await this.#context.files.removeIfThere(paths.data);
    this.#forget(entry);
    await this.#clean(paths, entry.id);
  }

  async #clean(paths: UploadPaths, id: string): Promise<void> {
    try {
      await this.#context.files.removeTree(paths.directory);
    } catch (error) {
      // Without its data it is no upload, and the next start cleans the folder.
      this.#context.logger.warn({ err: error, id }, 'cannot remove all that belonged to an upload');
    }
  }
}

async function hashFile(file: OpenFile, hasher: DigestHasher): Promise<DigestHasher> {
  const buffer = Buffer.allocUnsafe(HASH_CHUNK_BYTES);
  for (let position = 0; ; ) {
    const count = await file.read(buffer, position);
    if (count === 0) return hasher;
    hasher.update(buffer.subarray(0, count));
    position += count;
  }
}

function notFound(id: string): UploadNotFoundError {
  return new UploadNotFoundError(`upload ${id.slice(0, 150)} is not in the store`, { id: id.slice(0, 150) });
}

function infoOf(entry: UploadEntry): UploadInfo {
  const { id, sizeBytes, modifiedAtMs, writer } = entry;
  return { id, sizeBytes, modifiedAtMs, isBeingWritten: writer !== undefined };
}
