import { join } from 'node:path';
import { type Digest, DigestMismatchError } from '../core/index.ts';
import { type BlobEntry, type BlobShelf, blobKey } from './blob-shelf.ts';
import type { BlobInfo } from './ca-store.ts';
import type { StoreContext } from './context.ts';
import type { OpenFile } from './files.ts';
import { type BlobPaths, encodeName } from './layout.ts';

/** A file that becomes a blob: its bytes are verified and synced, its room is taken as unfinished. */
export interface AdoptedFile {
  readonly path: string;
  readonly sizeBytes: number;
}

/** How a whole file becomes a blob: the one way, for uploads, downloads and puts. */
export class BlobAdoption {
  readonly #context: StoreContext;
  readonly #shelf: BlobShelf;

  constructor(context: StoreContext, shelf: BlobShelf) {
    this.#context = context;
    this.#shelf = shelf;
  }

  /**
   * Moves a file to its place among the blobs, pinned and with metainfo when asked. The file is gone afterwards, also when
   * the blob was there already; when this rejects the file is where it was, and its room still counts as unfinished.
   *
   * In this order, each step synced before the next: folder, pin, metainfo, then the rename that makes the blob visible. So a
   * crash leaves a folder without data, which is no blob, or a whole blob that has its pin.
   */
  async adopt(digest: Digest, file: AdoptedFile, options: { pin?: string; metainfo?: Buffer } = {}): Promise<BlobInfo> {
    return this.#context.locks.run(blobKey(digest), async () => {
      const there = this.#shelf.find(digest);
      const entry = there ?? (await this.#makeVisible(digest, file, options));
      if (there !== undefined) {
        if (options.pin !== undefined) await this.pin(there, options.pin);
        if (options.metainfo !== undefined) await this.putMetainfo(there.paths, options.metainfo);
        await this.#context.files.removeIfThere(file.path);
        this.#context.space.give(file.sizeBytes);
        this.#shelf.use(there);
      }
      return { digest, sizeBytes: entry.sizeBytes, committedAtMs: entry.committedAtMs };
    });
  }

  /** Pins a blob; synced. The caller holds its lock. */
  async pin(entry: BlobEntry, reason: string): Promise<void> {
    if (entry.pins.has(reason)) return;
    const name = encodeName('the reason of a pin', reason);
    await this.#context.space.onDisk('a pin', () => this.#writePin(entry.paths, name));
    entry.pins.add(reason);
  }

  /** Stores metainfo unless there is some; returns what is stored. The caller holds the blob's lock. */
  async putMetainfo(paths: BlobPaths, encoded: Buffer): Promise<Buffer> {
    const { files, space } = this.#context;
    const stored = await files.findFile(paths.metainfo);
    if (stored !== undefined) return stored;
    await space.onDisk('metainfo', () => files.writeFile(paths.metainfo, encoded));
    return encoded;
  }

  /** @throws DigestMismatchError */
  checkDigest(expected: Digest, actual: Digest, sizeBytes: number): void {
    if (actual === expected) return;
    throw new DigestMismatchError(`${sizeBytes} bytes announced as ${expected} have digest ${actual}; dropped`, {
      expected,
      actual,
      sizeBytes,
    });
  }

  /**
   * Syncs a file. Never repeated: after a failed sync Linux drops what it could not write, and the next sync says that all is
   * well. So whoever gets an error from here must not trust the file any more.
   */
  async sync(file: OpenFile, what: string): Promise<void> {
    try {
      await file.sync();
    } catch (error) {
      throw this.#context.space.explain(what, error);
    }
  }

  async #makeVisible(
    digest: Digest,
    file: AdoptedFile,
    options: { pin?: string; metainfo?: Buffer },
  ): Promise<BlobEntry> {
    const { files, space, order, clock, layout } = this.#context;
    const paths = layout.blob(digest);
    const pinName = options.pin === undefined ? undefined : encodeName('the reason of a pin', options.pin);
    const nowMs = clock.nowMs();
    try {
      await space.onDisk(`blob ${digest}`, async () => {
        await this.#makeFolder(paths);
        if (pinName !== undefined) await this.#writePin(paths, pinName);
        if (options.metainfo !== undefined) await files.writeFile(paths.metainfo, options.metainfo);
        await files.ops.setTimes(file.path, { accessedAtMs: nowMs, modifiedAtMs: nowMs });
        await files.ops.rename(file.path, paths.data);
      });
      await this.#confirm(file, paths);
    } catch (error) {
      await this.#clean(paths, digest);
      throw error;
    }
    const pins = options.pin === undefined ? [] : [options.pin];
    const entry = this.#shelf.add({
      digest,
      sizeBytes: file.sizeBytes,
      committedAtMs: nowMs,
      lastUsedAtMs: nowMs,
      pins,
    });
    order.add(entry);
    space.commit(file.sizeBytes);
    return entry;
  }

  /** A folder that is there was left by a commit that failed; its pins would be taken for ours. */
  async #makeFolder(paths: BlobPaths): Promise<void> {
    const { files, layout } = this.#context;
    if (await files.makeDirectory(layout.blobs, paths.directory)) return;
    await files.removeTree(paths.directory);
    await files.makeDirectory(layout.blobs, paths.directory);
  }

  /** Syncs the rename, or takes it back: the caller is told of a blob only when it will survive. */
  async #confirm(file: AdoptedFile, paths: BlobPaths): Promise<void> {
    const { ops } = this.#context;
    try {
      await ops.syncDirectory(paths.directory);
    } catch (error) {
      await ops.rename(paths.data, file.path);
      throw error;
    }
  }

  async #clean(paths: BlobPaths, digest: Digest): Promise<void> {
    try {
      await this.#context.files.removeTree(paths.directory);
    } catch (error) {
      // The next commit of this blob, or the next start, cleans it.
      this.#context.logger.warn({ err: error, digest }, 'cannot clean up after a commit that failed');
    }
  }

  async #writePin(paths: BlobPaths, name: string): Promise<void> {
    const { files, ops } = this.#context;
    await files.makeDirectory(paths.directory, paths.pins);
    await files.touch(join(paths.pins, name));
    await ops.syncDirectory(paths.pins);
  }
}
