import { resolve } from 'node:path';
import { type Clock, ConfigError, KeyedMutex, systemClock } from '../core/index.ts';
import { BlobAdoption } from './blob-adoption.ts';
import { BlobShelf } from './blob-shelf.ts';
import { Blobs } from './blobs.ts';
import { BlockCache } from './block-cache.ts';
import type { BlobStore, CaStore, CaStoreOptions, DownloadStore, StoreUsage, UploadStore } from './ca-store.ts';
import { closableOps } from './closable-ops.ts';
import type { StoreContext } from './context.ts';
import { Downloads } from './downloads.ts';
import { DurableFiles, makeIfMissing, makePath } from './durable.ts';
import { EvictionOrder } from './eviction.ts';
import { type FileOps, nodeFileOps } from './files.ts';
import { isStore, writeFormat } from './format.ts';
import { Layout } from './layout.ts';
import { LoopLoad } from './loop-load.ts';
import { PieceThreads } from './piece-threads.ts';
import { ProcessClaim } from './process-claim.ts';
import { Space } from './space.ts';
import type { StoreLogger } from './store-logger.ts';
import { Uploads } from './uploads.ts';
import { UseTimes } from './use-times.ts';

/** What a store may be given beside its place and size. */
export interface OpenCaStoreOptions extends CaStoreOptions {
  /** Hears of what is repaired, and of what fails without harm. Default: nobody. */
  readonly logger?: StoreLogger;
  /** Default: the machine's clock. */
  readonly clock?: Clock;
  /** Default: the machine's file system. */
  readonly files?: FileOps;
  /** Threads that check, write and hash pieces; 0: all of that on the event loop and in the thread pool. Default: 1. */
  readonly hashWorkers?: number;
  /**
   * Bytes of shared memory for pieces that arrive, for what is lent, and for what was used last; at least 8 MiB are of use.
   * Beyond that, pieces that arrive take ordinary memory, which their number bounds. Default: 64 MiB.
   */
  readonly memoryBytes?: number;
}

const DEFAULT_MEMORY_BYTES = 64 * 1024 * 1024;
/** More threads than this are a mistake in the configuration. */
const MAX_HASH_WORKERS = 64;

const silent: StoreLogger = { info: () => undefined, warn: () => undefined };

/**
 * Opens the store in a folder, which is made when missing; whoever opens it closes it.
 *
 * Removes what a crash left half done, and evicts down to the capacity. One process at a time: the folder is claimed.
 * @throws ConfigError when the folder is something else, or a store of another version
 * @throws UnavailableError when another process, or another part of this one, has it open
 */
export async function openCaStore(options: OpenCaStoreOptions): Promise<CaStore> {
  const { capacityBytes, logger = silent, clock = systemClock } = options;
  const { hashWorkers = 1, memoryBytes = DEFAULT_MEMORY_BYTES } = options;
  checkNumber('the capacity of a store is', capacityBytes, Number.MAX_SAFE_INTEGER);
  checkNumber('the hash workers of a store are', hashWorkers, MAX_HASH_WORKERS);
  checkNumber('the memory of a store, in bytes, is', memoryBytes, Number.MAX_SAFE_INTEGER);
  const layout = new Layout(resolve(options.directory));
  const ops = options.files ?? nodeFileOps;
  const gate = closableOps(ops, layout.root);
  const files = new DurableFiles(gate.ops, layout.temp);
  await makePath(gate.ops, layout.root);
  const known = await isStore(files, layout);
  const claim = await ProcessClaim.make(new DurableFiles(ops, layout.temp), layout.claims);
  try {
    await prepareFolders(files, layout, known);
    const order = new EvictionOrder();
    const space = new Space({ capacityBytes, order });
    const work = {
      cache: new BlockCache(memoryBytes),
      threads: new PieceThreads(hashWorkers, logger),
      load: new LoopLoad(),
    };
    const parts = { ops: gate.ops, files, layout, order, space, ...work, clock, logger };
    const context: StoreContext = { ...parts, locks: new KeyedMutex(), openThings: new Set() };
    return await FolderCaStore.load(context, {
      release: async () => {
        gate.close();
        await claim.release();
      },
    });
  } catch (error) {
    await claim.release();
    throw error;
  }
}

function checkNumber(what: string, value: number, greatest: number): void {
  if (Number.isSafeInteger(value) && value >= 0 && value <= greatest) return;
  throw new ConfigError(`${what} a whole number from 0 to ${greatest}; got ${value}`);
}

/** Temporary files of earlier processes go; the folders are there and synced afterwards. */
async function prepareFolders(files: DurableFiles, layout: Layout, known: boolean): Promise<void> {
  await makeIfMissing(files.ops, layout.temp);
  for (const name of await files.list(layout.temp)) await files.removeTree(`${layout.temp}/${name}`);
  if (!known) await writeFormat(files, layout);
  for (const path of [layout.uploads, layout.downloads, layout.blobs]) await makeIfMissing(files.ops, path);
  await files.ops.syncDirectory(layout.root);
}

/** {@link CaStore} in a folder. */
class FolderCaStore implements CaStore {
  readonly uploads: UploadStore;
  readonly downloads: DownloadStore;
  readonly blobs: BlobStore;
  readonly #context: StoreContext;
  readonly #useTimes: UseTimes;
  readonly #release: () => Promise<void>;
  #closing: Promise<void> | undefined;

  private constructor(deps: {
    context: StoreContext;
    useTimes: UseTimes;
    uploads: UploadStore;
    downloads: DownloadStore;
    blobs: BlobStore;
    release: () => Promise<void>;
  }) {
    this.uploads = deps.uploads;
    this.downloads = deps.downloads;
    this.blobs = deps.blobs;
    this.#context = deps.context;
    this.#useTimes = deps.useTimes;
    this.#release = deps.release;
  }

  /** Reads what is on disk. `release` lets go of the folder when the store is closed. */
  static async load(context: StoreContext, folder: { release: () => Promise<void> }): Promise<CaStore> {
    const useTimes = UseTimes.start(context);
    try {
      const shelf = new BlobShelf(context, useTimes);
      const adoption = new BlobAdoption(context, shelf);
      const blobs = new Blobs({ context, shelf, adoption });
      const downloads = new Downloads({ context, adoption, blobs, useTimes });
      const uploads = new Uploads(context, adoption);
      await shelf.load();
      await downloads.load();
      await uploads.load();
      const evictables = [...shelf.entries(), ...downloads.entries()];
      evictables.sort((a, b) => a.lastUsedAtMs - b.lastUsedAtMs);
      for (const thing of evictables) context.order.add(thing);
      const excessBytes = await context.space.shrink();
      const facts = { directory: context.layout.root, ...context.space.usage() };
      if (excessBytes > 0) context.logger.warn({ ...facts, excessBytes }, 'the store holds more than its capacity');
      else context.logger.info(facts, 'the store is open');
      return new FolderCaStore({ context, useTimes, uploads, downloads, blobs, release: folder.release });
    } catch (error) {
      await useTimes.stop();
      throw error;
    }
  }

  usage(): StoreUsage {
    return this.#context.space.usage();
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    const { openThings, locks } = this.#context;
    try {
      const closed = await Promise.allSettled([...openThings].map((thing) => thing.close()));
      await locks.idle();
      const failed = closed.find((result) => result.status === 'rejected');
      if (failed !== undefined) throw failed.reason;
    } finally {
      await this.#useTimes.stop();
      // The threads end before the folder may be somebody else's.
      await this.#context.threads.close();
      this.#context.cache.close();
      await this.#release();
    }
  }
}
