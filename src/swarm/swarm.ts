import type { BlobInfo } from '../castore/index.ts';
import type { ByteRange, Digest, InfoHash, Metainfo, Peer, PeerId, SwarmId } from '../core/index.ts';

/**
 * This host's part in all swarms: one peer id, one port, one announce for all blobs.
 *
 * Downloads go into the content-addressable store and become blobs there; blobs with metainfo are seeded from it, loaded
 * when a peer asks for them. Nobody outside of this folder knows WebTorrent.
 */
export interface Swarm extends AsyncDisposable {
  readonly peerId: PeerId;
  /** The port on which it takes BitTorrent connections. */
  readonly port: number;
  /** Offers a whole blob to peers, under its swarm id and its info hash. Without a source it is read from the store. */
  seed(metainfo: Metainfo, source?: PieceSource): void;
  /** Stops to offer a blob and closes its wires; its bytes stay. */
  unseed(digest: Digest): void;
  /** Fetches a blob into the store. One download a blob: a second call joins the first. */
  fetch(metainfo: Metainfo): Promise<Download>;
  /** The download of a blob that is on its way. */
  find(digest: Digest): Download | undefined;
  /** Bytes since the start, for metrics and the progress of `shoal up`. */
  statistics(): SwarmStatistics;
  /** Tells the tracker that this peer leaves, closes wires and port. Downloads end; their pieces stay for the next start. */
  close(): Promise<void>;
}

/** Where pieces of a seeded blob are read. The swarm closes it. */
export interface PieceSource {
  /** Exactly `length` bytes from `offset`. */
  read(offset: number, length: number): Promise<Buffer>;
  close(): Promise<void>;
}

/** A blob on its way. */
export interface Download {
  readonly metainfo: Metainfo;
  progress(): DownloadProgress;
  /** Resolves when all bytes of the range are verified. Rejects when the download fails, or with the signal's reason. */
  waitFor(range: ByteRange, signal?: AbortSignal): Promise<void>;
  /** Verified bytes. @throws InvalidRangeError when some are not verified yet */
  read(offset: number, length: number): Promise<Buffer>;
  /** Bytes from the start that are verified without a gap. */
  readonly prefixBytes: number;
  /** Tells that a reader stands at `offset` and goes on to `end`, so that the pieces there come first. Close it when done. */
  openReader(range: ByteRange): DownloadReader;
  /** The first piece of a range that is neither verified nor on its way from a peer that answers; for other sources. */
  nextMissing(range: ByteRange): number | undefined;
  /** Takes a piece from elsewhere (an origin over HTTP). `false` when its SHA-256 does not match. */
  supply(index: number, bytes: Buffer): Promise<boolean>;
  /** Resolves when the blob's digest is known to match, before anything is synced; rejects like {@link finished}. */
  readonly verified: Promise<void>;
  /** Resolves when the blob is committed to the store; rejects when the download failed or was cancelled. */
  readonly finished: Promise<BlobInfo>;
  /** Ends it; verified pieces stay on disk. */
  cancel(reason: Error): Promise<void>;
}

/** One reader's place in a download. */
export interface DownloadReader {
  moveTo(offset: number): void;
  close(): void;
}

/** How far a download is, in bytes. */
export interface DownloadProgress {
  readonly lengthBytes: number;
  readonly verifiedBytes: number;
  /** Received from agents (and foreign peers). */
  readonly fromPeersBytes: number;
  /** Received from origins in the swarm. */
  readonly fromOriginsBytes: number;
  /** Taken from elsewhere through `supply`. */
  readonly suppliedBytes: number;
  /** Received twice, or dropped because it did not match. */
  readonly wastedBytes: number;
  readonly peers: number;
}

/** Sums over all blobs since the start, in bytes. */
export interface SwarmStatistics {
  readonly receivedFromPeersBytes: number;
  readonly receivedFromOriginsBytes: number;
  readonly wastedBytes: number;
  readonly sentBytes: number;
  readonly wires: number;
  readonly downloads: number;
  readonly seeding: number;
}

/** What the swarm needs of the tracker: one announce for all blobs of the host. */
export interface Announcer {
  announce(
    request: {
      peerId: string;
      port: number;
      host?: string;
      origin: boolean;
      swarms: {
        swarmId: SwarmId;
        infoHash?: InfoHash;
        event?: 'stopped';
        complete: boolean;
        want: number;
      }[];
    },
    signal?: AbortSignal,
  ): Promise<{ intervalMs: number; swarms: Readonly<Record<string, readonly AnnouncedPeer[]>> }>;
}

/** A peer as the tracker's answer has it. */
export type AnnouncedPeer = Omit<Peer, 'id'> & { readonly id: string };
