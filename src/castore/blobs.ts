import { dirname, join } from 'node:path';
import type { Readable } from 'node:stream';
import { algorithmOf, BlobNotFoundError, type ByteRange, type Digest, DigestHasher } from '../core/index.ts';
import { untilAborted } from './abortable.ts';
import type { BlobAdoption } from './blob-adoption.ts';
import { type BlobEntry, type BlobShelf, blobKey } from './blob-shelf.ts';
import type { BlobFile, BlobInfo, BlobStore } from './ca-store.ts';
import type { StoreContext } from './context.ts';
import { checkRange, FileStream, OpenBlobFile, type ReaderDeps } from './file-reader.ts';
import { isMissing, type OpenFile, writeAll } from './files.ts';
import { encodeName } from './layout.ts';

/** {@link BlobStore} on a folder. */
export class Blobs implements BlobStore {
  readonly #context: StoreContext;
  readonly #shelf: BlobShelf;
  readonly #adoption: BlobAdoption;

  constructor(deps: { context: StoreContext; shelf: BlobShelf; adoption: BlobAdoption }) {
    this.#context = deps.context;
    this.#shelf = deps.shelf;
    this.#adoption = deps.adoption;
  }

  async find(digest: Digest): Promise<BlobInfo | undefined> {
    const entry = this.#shelf.find(digest);
    return entry === undefined ? undefined : infoOf(entry);
  }

  async open(digest: Digest, range?: ByteRange): Promise<Readable> {
    const entry = this.#shelf.get(digest);
    const checked = range ?? { offset: 0, length: entry.sizeBytes };
    checkRange(checked, entry.sizeBytes, `blob ${digest}`);
    return new FileStream(await this.#openEntry(entry), checked);
  }

  async openFile(digest: Digest): Promise<BlobFile> {
    const { cache } = this.#context;
    return new OpenBlobFile(await this.#openEntry(this.#shelf.get(digest)), { cache, cached: cache.ofBlob(digest) });
  }

  async locate(digest: Digest): Promise<{ readonly path: string; readonly sizeBytes: number }> {
    const entry = this.#shelf.get(digest);
    this.#shelf.use(entry);
    return { path: entry.paths.data, sizeBytes: entry.sizeBytes };
  }

  async put(
    digest: Digest,
    source: AsyncIterable<Uint8Array> | Uint8Array,
    options: { pin?: string; signal?: AbortSignal } = {},
  ): Promise<BlobInfo> {
    const { files, space } = this.#context;
    const path = files.tempPath();
    const taken = { sizeBytes: 0 };
    try {
      await this.#receive({ digest, path, taken }, source, options.signal);
      options.signal?.throwIfAborted();
      return await this.#adoption.adopt(digest, { path, sizeBytes: taken.sizeBytes }, options);
    } catch (error) {
      space.give(taken.sizeBytes);
      await files.discard(path);
      throw error;
    }
  }

  async delete(digest: Digest): Promise<void> {
    await this.#context.locks.run(blobKey(digest), async () => {
      const entry = this.#shelf.find(digest);
      if (entry === undefined) return;
      await this.#shelf.remove(entry);
      await this.#context.ops.syncDirectory(dirname(entry.paths.directory));
    });
  }

  async *list(): AsyncIterable<BlobInfo> {
    for (const digest of this.#shelf.digests()) {
      const entry = this.#shelf.find(digest);
      if (entry !== undefined) yield infoOf(entry);
    }
  }

  async pin(digest: Digest, reason: string): Promise<void> {
    await this.#context.locks.run(blobKey(digest), async () => {
      await this.#adoption.pin(this.#shelf.get(digest), reason);
    });
  }

  async unpin(digest: Digest, reason: string): Promise<void> {
    const name = encodeName('the reason of a pin', reason);
    await this.#context.locks.run(blobKey(digest), async () => {
      const entry = this.#shelf.find(digest);
      if (entry?.pins.has(reason) !== true) return;
      await this.#context.files.removeIfThere(join(entry.paths.pins, name));
      // Synced, because whoever unpins forgets the blob: a pin that came back would keep it for ever.
      await this.#context.ops.syncDirectory(entry.paths.pins);
      entry.pins.delete(reason);
    });
  }

  async pins(digest: Digest): Promise<readonly string[]> {
    return [...(this.#shelf.find(digest)?.pins ?? [])].sort();
  }

  async putMetainfo(digest: Digest, encoded: Buffer): Promise<Buffer> {
    return this.#context.locks.run(blobKey(digest), () =>
      this.#adoption.putMetainfo(this.#shelf.get(digest).paths, encoded),
    );
  }

  async findMetainfo(digest: Digest): Promise<Buffer | undefined> {
    const entry = this.#shelf.find(digest);
    return entry === undefined ? undefined : this.#context.files.findFile(entry.paths.metainfo);
  }

  async #openEntry(entry: BlobEntry): Promise<ReaderDeps> {
    const { ops, openThings, logger } = this.#context;
    const what = `blob ${entry.digest}`;
    let file: OpenFile;
    try {
      file = await ops.open(entry.paths.data, 'read');
    } catch (error) {
      if (!isMissing(error)) throw error;
      if (this.#shelf.find(entry.digest) === entry) {
        logger.warn({ digest: entry.digest }, 'a blob was removed from the store by somebody else');
        await this.delete(entry.digest);
      }
      throw new BlobNotFoundError(`${what} is not in the store any more`, { digest: entry.digest }, { cause: error });
    }
    this.#shelf.use(entry);
    return { file, what, sizeBytes: entry.sizeBytes, openThings };
  }

  /** Writes a temporary file, takes room as it grows, and verifies and syncs it. */
  async #receive(
    target: { digest: Digest; path: string; taken: { sizeBytes: number } },
    source: AsyncIterable<Uint8Array> | Uint8Array,
    signal?: AbortSignal,
  ): Promise<void> {
    const { digest, path, taken } = target;
    const { ops, space } = this.#context;
    const what = `blob ${digest}`;
    const hasher = new DigestHasher(algorithmOf(digest));
    const file = await space.onDisk(what, () => ops.open(path, 'create'));
    try {
      for await (const bytes of untilAborted(source instanceof Uint8Array ? once(source) : source, signal)) {
        const position = taken.sizeBytes;
        await space.take(bytes.length, what);
        taken.sizeBytes += bytes.length;
        await space.onDisk(what, () => writeAll(file, bytes, position));
        hasher.update(bytes);
      }
      this.#adoption.checkDigest(digest, hasher.digest(), taken.sizeBytes);
      await this.#adoption.sync(file, what);
    } finally {
      await file.close();
    }
  }
}

function infoOf(entry: BlobEntry): BlobInfo {
  return { digest: entry.digest, sizeBytes: entry.sizeBytes, committedAtMs: entry.committedAtMs };
}

async function* once<T>(item: T): AsyncIterable<T> {
  yield item;
}
