import type { BlobStore, PartialDownload } from '../castore/index.ts';
import type { Metainfo } from '../core/index.ts';
import type { SeedShare } from './swarm.ts';

/** What a host's swarm needs of a content-addressable store, which may be in another process. */
export interface SwarmStore {
  readonly downloads: { open(metainfo: Metainfo): Promise<SwarmPartial> };
  readonly blobs: Pick<BlobStore, 'list' | 'find' | 'findMetainfo' | 'putMetainfo' | 'openFile'>;
}

/** A whole blob of the store that is loaded, because somebody asked for it. */
export interface LoadedSeed {
  readonly metainfo: Metainfo;
  readonly wires: number;
  /** Which of the blob's origins this host is. */
  readonly share: SeedShare;
}

/** A blob on its way into that store. */
export type SwarmPartial = Omit<PartialDownload, 'drop' | 'path' | 'adoptPiece' | typeof Symbol.asyncDispose>;
