import type { Digest, Metainfo } from '../core/index.ts';
import type { BlobInfo } from './ca-store.ts';
import type { StoreContext } from './context.ts';
import type { OpenFile } from './files.ts';
import type { DownloadPaths } from './layout.ts';

/** What a download needs of the store around it. */
export interface DownloadHome {
  readonly context: StoreContext;
  readonly metainfo: Metainfo;
  readonly paths: DownloadPaths;
  /** Puts the metainfo on disk, synced, unless it is there: before any piece counts there. One call at a time. */
  persistMetainfo(): Promise<void>;
  /** Syncs the data. Not to be repeated once it failed. */
  syncFile(file: OpenFile): Promise<void>;
  /** @throws DigestMismatchError */
  checkDigest(actual: Digest): void;
  /** Makes a blob of the synced data. */
  adopt(): Promise<BlobInfo>;
  /** Reads the blob that this has become. */
  readBlob(offset: number, length: number): Promise<Buffer>;
  /** Nobody has it open any more. One without a piece is forgotten. */
  letGo(): Promise<void>;
  /** Takes it off the disk. */
  remove(): Promise<void>;
}
