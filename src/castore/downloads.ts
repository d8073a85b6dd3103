import { join } from 'node:path';
import {
  type Digest,
  decodeMetainfo,
  digestAlgorithms,
  encodeMetainfo,
  InvalidMetainfoError,
  type Metainfo,
  UnavailableError,
} from '../core/index.ts';
import type { BlobAdoption } from './blob-adoption.ts';
import type { BlobInfo, BlobStore, DownloadStore, PartialDownload } from './ca-store.ts';
import type { StoreContext } from './context.ts';
import type { Evictable } from './eviction.ts';
import { type DownloadPaths, digestOfPath } from './layout.ts';
import { FilePartialDownload } from './partial-download.ts';
import type { UsedFile, UseTimes } from './use-times.ts';

/** A download, as memory knows it. While nobody has it open it may be evicted. */
interface DownloadEntry extends Evictable, UsedFile {
  readonly digest: Digest;
  readonly paths: DownloadPaths;
  open: boolean;
  /** Set until the metainfo is on disk; a download without a piece needs none there. */
  unsaved: Metainfo | undefined;
}

/** {@link DownloadStore} on a folder. */
export class Downloads implements DownloadStore {
  readonly #context: StoreContext;
  readonly #adoption: BlobAdoption;
  readonly #blobs: BlobStore;
  readonly #useTimes: UseTimes;
  readonly #entries = new Map<Digest, DownloadEntry>();

  constructor(deps: { context: StoreContext; adoption: BlobAdoption; blobs: BlobStore; useTimes: UseTimes }) {
    this.#context = deps.context;
    this.#adoption = deps.adoption;
    this.#blobs = deps.blobs;
    this.#useTimes = deps.useTimes;
  }

  async open(metainfo: Metainfo): Promise<PartialDownload> {
    const { digest } = metainfo;
    return this.#context.locks.run(downloadKey(digest), async () => {
      const encoded = encodeMetainfo(metainfo);
      const entry = (await this.#findSame(digest, encoded)) ?? (await this.#begin(metainfo));
      this.#context.order.touch(entry, this.#context.clock.nowMs());
      const download = await FilePartialDownload.open({
        context: this.#context,
        metainfo,
        paths: entry.paths,
        readBlob: (offset, length) => this.#readBlob(digest, offset, length),
        adopt: () => this.#adopt(entry, encoded),
        letGo: () => this.#letGo(entry),
        remove: () => this.#context.locks.run(downloadKey(digest), () => this.#remove(entry)),
        persistMetainfo: () => this.#persistMetainfo(entry, encoded),
        syncFile: (file) => this.#adoption.sync(file, `download ${digest}`),
        checkDigest: (actual) => this.#adoption.checkDigest(digest, actual, metainfo.length),
      });
      entry.open = true;
      return download;
    });
  }

  async *list(): AsyncIterable<Digest> {
    yield* [...this.#entries.keys()];
  }

  async findMetainfo(digest: Digest): Promise<Metainfo | undefined> {
    const entry = this.#entries.get(digest);
    return entry === undefined ? undefined : (entry.unsaved ?? this.#readMetainfo(digest, entry.paths));
  }

  async drop(digest: Digest): Promise<void> {
    await this.#context.locks.run(downloadKey(digest), async () => {
      const entry = this.#entries.get(digest);
      if (entry === undefined) return;
      this.#refuseOpen(entry);
      await this.#remove(entry);
    });
  }

  /** Reads what is on disk, after the blobs: what is not a download, or has become a blob, is removed. */
  async load(): Promise<void> {
    const { files, layout } = this.#context;
    for (const algorithm of digestAlgorithms) {
      const top = join(layout.downloads, algorithm);
      for (const shard of await files.list(top)) {
        for (const hex of await files.list(join(top, shard))) await this.#loadOne(digestOfPath(algorithm, shard, hex));
      }
    }
  }

  /** All downloads, for the order of eviction. */
  entries(): readonly Evictable[] {
    return [...this.#entries.values()];
  }

  async #loadOne(digest: Digest | undefined): Promise<void> {
    if (digest === undefined) return;
    const { files, layout, ops, space } = this.#context;
    const paths = layout.download(digest);
    const metainfo = await this.#readMetainfo(digest, paths);
    if (metainfo === undefined || (await this.#blobs.find(digest)) !== undefined) {
      return files.removeTree(paths.directory);
    }
    const { modifiedAtMs } = await ops.stat(paths.metainfo);
    const entry = this.#makeEntry(metainfo, Math.round(modifiedAtMs));
    entry.unsaved = undefined;
    this.#entries.set(digest, entry);
    space.found({ unfinishedBytes: metainfo.length });
  }

  /** The metainfo of a download; `undefined` when there is none, or it cannot be read. */
  async #readMetainfo(digest: Digest, paths: DownloadPaths): Promise<Metainfo | undefined> {
    const bytes = await this.#context.files.findFile(paths.metainfo);
    if (bytes === undefined) return undefined;
    try {
      const metainfo = decodeMetainfo(bytes);
      return metainfo.digest === digest ? metainfo : undefined;
    } catch (error) {
      if (!(error instanceof InvalidMetainfoError)) throw error;
      this.#context.logger.warn({ err: error, digest }, 'the metainfo of a download is damaged');
      return undefined;
    }
  }

  /** A download that was begun with the same metainfo; one of another is dropped. */
  async #findSame(digest: Digest, encoded: Buffer): Promise<DownloadEntry | undefined> {
    const entry = this.#entries.get(digest);
    if (entry === undefined) return undefined;
    this.#refuseOpen(entry);
    const stored = await this.#context.files.findFile(entry.paths.metainfo);
    if (stored?.equals(encoded) === true) return entry;
    await this.#remove(entry);
    return undefined;
  }

  /**
   * Nothing is synced here: a reader waits for the first byte, and a disk that is busy may take seconds for a sync. Metainfo
   * is put on disk before the first pieces count there ({@link #persistMetainfo}).
   */
  async #begin(metainfo: Metainfo): Promise<DownloadEntry> {
    const { files, layout, order, space, clock } = this.#context;
    const what = `download ${metainfo.digest}`;
    const entry = this.#makeEntry(metainfo, clock.nowMs());
    await space.take(metainfo.length, what);
    try {
      await space.onDisk(what, () => files.makeVolatile(layout.downloads, entry.paths.directory));
    } catch (error) {
      space.give(metainfo.length);
      throw error;
    }
    this.#entries.set(metainfo.digest, entry);
    order.add(entry);
    return entry;
  }

  /** Puts metainfo on disk, synced with the folders above it, unless it is there. One call at a time. */
  async #persistMetainfo(entry: DownloadEntry, encoded: Buffer): Promise<void> {
    if (entry.unsaved === undefined) return;
    const { files, layout, space } = this.#context;
    await space.onDisk(`download ${entry.digest}`, async () => {
      await files.makeDirectory(layout.downloads, entry.paths.directory);
      await files.writeFile(entry.paths.metainfo, encoded);
    });
    entry.unsaved = undefined;
  }

  #makeEntry(metainfo: Metainfo, lastUsedAtMs: number): DownloadEntry {
    const { digest, length: sizeBytes } = metainfo;
    const { locks, layout } = this.#context;
    const key = downloadKey(digest);
    const paths = layout.download(digest);
    const entry: DownloadEntry = {
      digest,
      sizeBytes,
      lastUsedAtMs,
      paths,
      path: paths.metainfo,
      times: () => ({ accessedAtMs: entry.lastUsedAtMs, modifiedAtMs: entry.lastUsedAtMs }),
      open: false,
      unsaved: metainfo,
      evictable: () => !entry.open && !locks.isHeld(key),
      evict: () => locks.run(key, () => this.#remove(entry)),
    };
    return entry;
  }

  #refuseOpen(entry: DownloadEntry): void {
    if (!entry.open) return;
    throw new UnavailableError(`download ${entry.digest} is open already: close it first`, { digest: entry.digest });
  }

  async #readBlob(digest: Digest, offset: number, length: number): Promise<Buffer> {
    await using file = await this.#blobs.openFile(digest);
    return await file.read(offset, length);
  }

  /** The data becomes a blob; what else belonged to the download goes. */
  async #adopt(entry: DownloadEntry, encoded: Buffer): Promise<BlobInfo> {
    const { digest, paths, sizeBytes } = entry;
    return this.#context.locks.run(downloadKey(digest), async () => {
      const info = await this.#adoption.adopt(digest, { path: paths.data, sizeBytes }, { metainfo: encoded });
      this.#forget(entry);
      await this.#clean(entry);
      return info;
    });
  }

  async #letGo(entry: DownloadEntry): Promise<void> {
    await this.#context.locks.run(downloadKey(entry.digest), async () => {
      entry.open = false;
      if (entry.unsaved !== undefined) return this.#remove(entry); // It got no piece.
      this.#context.order.touch(entry, this.#context.clock.nowMs());
      this.#useTimes.used(entry);
    });
  }

  /** Takes a download away, metainfo first. The caller holds its lock. */
  async #remove(entry: DownloadEntry): Promise<void> {
    await this.#context.files.removeIfThere(entry.paths.metainfo);
    if (this.#entries.get(entry.digest) === entry) {
      this.#forget(entry);
      this.#context.space.give(entry.sizeBytes);
    }
    await this.#clean(entry);
  }

  #forget(entry: DownloadEntry): void {
    this.#entries.delete(entry.digest);
    this.#context.order.remove(entry);
    this.#useTimes.forget(entry);
  }

  async #clean(entry: DownloadEntry): Promise<void> {
    try {
      await this.#context.files.removeTree(entry.paths.directory);
    } catch (error) {
      // Without its metainfo it is no download, and the next start cleans the folder.
      this.#context.logger.warn({ err: error, digest: entry.digest }, 'cannot remove all that belonged to a download');
    }
  }
}

function downloadKey(digest: Digest): string {
  return `download ${digest}`;
}
