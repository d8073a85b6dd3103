import type { BlobInfo } from '../../castore/index.ts';
import type { ByteRange, Digest, PeerId } from '../../core/index.ts';
import type { SwarmConfig } from '../config.ts';
import type { Announcer, SeedShare, SwarmLimits, SwarmStatistics } from '../swarm.ts';
import type { PackedError } from './packed-error.ts';

/** What a peer process is told when it has started. */
export interface PeerProcessSettings {
  readonly config: SwarmConfig;
  /** The cluster's secret, from which swarm ids are made; the cluster's token stays in the main process. */
  readonly secret: string;
  readonly origin: boolean;
  readonly logLevel: string;
  /** Of shared memory for pieces. */
  readonly memoryBytes: number;
}

/** What the main process asks of a peer process. Metainfo is encoded, as it is stored. */
export interface PeerCalls {
  open: { params: PeerProcessSettings; answer: { readonly peerId: PeerId; readonly port: number } };
  /** Answered when the download is open. */
  fetch: { params: { readonly metainfo: Uint8Array }; answer: undefined };
  /** Answered when it has ended, or cannot be ended any more. */
  cancel: { params: { readonly digest: Digest }; answer: undefined };
  /** The main process has checked and stored a piece that came from elsewhere. */
  supplied: { params: { readonly digest: Digest; readonly piece: number }; answer: undefined };
  /** Where a reader stands and up to where it goes; without a range it has gone. */
  reader: { params: ReaderPlace; answer: undefined };
  seed: { params: { readonly metainfo: Uint8Array; readonly share: SeedShare | undefined }; answer: undefined };
  unseed: { params: { readonly digest: Digest }; answer: undefined };
  used: { params: { readonly digest: Digest }; answer: undefined };
  limits: { params: SwarmLimits; answer: undefined };
  close: { params: undefined; answer: undefined };
}

/** What a peer process asks of, and tells, the main process. */
export interface MainCalls {
  announce: { params: Parameters<Announcer['announce']>[0]; answer: Awaited<ReturnType<Announcer['announce']>> };
  openDownload: { params: { readonly digest: Digest }; answer: OpenedDownload };
  /** Pieces that have been checked and written into the file. */
  pieces: { params: { readonly digest: Digest; readonly pieces: readonly number[] }; answer: undefined };
  verifyDownload: { params: { readonly digest: Digest }; answer: undefined };
  commitDownload: { params: { readonly digest: Digest }; answer: BlobInfo };
  /** Nothing is written into the file any more. */
  closeDownload: { params: { readonly digest: Digest }; answer: undefined };
  /** Downloads of which something has changed. */
  states: { params: readonly DownloadState[]; answer: undefined };
  /** A download that has failed, or was cancelled. */
  ended: { params: { readonly digest: Digest; readonly error: PackedError }; answer: undefined };
  findBlob: { params: { readonly digest: Digest }; answer: BlobInfo | undefined };
  locateBlob: { params: { readonly digest: Digest }; answer: { readonly path: string; readonly sizeBytes: number } };
  findMetainfo: { params: { readonly digest: Digest }; answer: Uint8Array | undefined };
  putMetainfo: { params: { readonly digest: Digest; readonly encoded: Uint8Array }; answer: Uint8Array };
  /** Every second. */
  status: { params: ProcessStatus; answer: undefined };
  /** Seeds without wires: the main process may have them back. */
  idle: { params: { readonly digests: readonly Digest[] }; answer: undefined };
  /** A line of the log: one JSON object with `level` and `msg`. */
  log: { params: { readonly line: string }; answer: undefined };
}

/** Where a reader of a download stands. */
export interface ReaderPlace {
  readonly digest: Digest;
  readonly reader: number;
  readonly range: ByteRange | undefined;
}

/** A download that the main process has opened for a peer process. */
export interface OpenedDownload {
  /** Of the data file. */
  readonly path: string;
  /** Pieces that are there. */
  readonly bitfield: Uint8Array;
}

/** How a download in a peer process stands, in bytes since it began. */
export interface DownloadState {
  readonly digest: Digest;
  readonly fromPeersBytes: number;
  readonly fromOriginsBytes: number;
  readonly wastedBytes: number;
  readonly peers: number;
  /** The next pieces before its readers that nobody brings, in order; unknown while nobody reads. */
  readonly missing: readonly number[] | undefined;
}

/** How a peer process is. */
export interface ProcessStatus {
  /** Busy time of its event loop in the last second, 0 to 1. */
  readonly utilisation: number;
  readonly statistics: SwarmStatistics;
  /** Downloads and seeds that it was given. */
  readonly swarms: number;
}
