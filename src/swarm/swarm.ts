import type { BlobInfo, LentBytes } from '../castore/index.ts';
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
  /**
   * Offers a whole blob to peers, under its swarm id and its info hash. Without a source it is read from the store. `share`
   * says which of the blob's origins this one is, so that each of them begins with other pieces.
   */
  seed(metainfo: Metainfo, source?: PieceSource, share?: SeedShare): void;
  /** Stops to offer a blob and closes its wires; its bytes stay. */
  unseed(digest: Digest): void;
  /**
   * A blob of the store was read on this host: whoever needs it here, needs it elsewhere. An agent that had stopped to offer
   * it, because no peer asked for it, offers it again. Cheap when it is offered already.
   */
  used(digest: Digest): void;
  /**
   * Fetches a blob into the store. One download a blob: a second call joins the first. When many are under way already it
   * waits for its turn. @throws NoSpaceError; UnavailableError when the swarm is closing
   */
  fetch(metainfo: Metainfo): Promise<Download>;
  /** The download of a blob that is on its way. */
  find(digest: Digest): Download | undefined;
  /** Changes the limits that are given, at once; the others stay. */
  setLimits(limits: Partial<SwarmLimits>): void;
  /** Bytes since the start, for metrics and the progress of `shoal up`. */
  statistics(): SwarmStatistics;
  /** Tells the tracker that this peer leaves, closes wires and port. Downloads end; their pieces stay for the next start. */
  close(): Promise<void>;
}

/** One of the origins that a blob belongs to: number `index` of `of`, counted from 0. */
export interface SeedShare {
  readonly index: number;
  readonly of: number;
}

/** Bytes a second at sockets, overhead included; 0 for no limit. */
export interface SwarmLimits {
  readonly egressBytesPerSecond: number;
  readonly ingressBytesPerSecond: number;
  /** Of blobs that this host has whole; counts for `egressBytesPerSecond` too. */
  readonly seedingEgressBytesPerSecond: number;
}

/** Where pieces of a seeded blob are read. The swarm closes it. */
export interface PieceSource {
  /** Exactly `length` bytes from `offset`. */
  read(offset: number, length: number): Promise<Buffer>;
  /** The same without a copy, where the source can; see castore's `LentBytes`. */
  lend?(offset: number, length: number): LentBytes | Promise<LentBytes>;
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
  /** Bytes of one verified piece, without a copy. */
  lend(piece: number, offset: number, length: number): LentBytes | Promise<LentBytes>;
  /** Where the verified bytes end that begin at the range's start without a gap: its start for none, its end at most. */
  verifiedEnd(range: ByteRange): number;
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
  /** Ends it; verified pieces stay on disk. `false` when it is whole already, and goes on to become a blob. */
  cancel(reason: Error): Promise<boolean>;
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
  /** Blobs that are offered; most of them are not loaded. */
  readonly seeding: number;
  /** Blobs with an open file or wires, downloads included. */
  readonly loaded: number;
  /** Peers that were sent to others, because there was no room. */
  readonly turnedAway: number;
  /** Peers that sent wrong bytes. */
  readonly banned: number;
  /** Peer processes that run besides the first. */
  readonly processes: number;
}

/** One swarm of a host, as the tracker is told. */
export interface SwarmReport {
  readonly swarmId: SwarmId;
  readonly infoHash?: InfoHash;
  /** The host leaves it. */
  readonly event?: 'stopped';
  readonly complete: boolean;
  /** How many eighths of the blob the host has, 0 to 8. */
  readonly eighths: number;
  /** How many peers are asked for. */
  readonly want: number;
}

/** What the swarm needs of the tracker: one announce for all blobs of the host. */
export interface Announcer {
  announce(
    request: {
      peerId: string;
      port: number;
      host?: string;
      zone?: string;
      origin: boolean;
      /** Numbers the announces of one run of the host; see the tracker's protocol. */
      sequence?: number;
      /** The last announce that was answered: this one holds what has changed after it. */
      since?: number;
      /** Swarms that are not named are left. */
      full?: boolean;
      swarms: SwarmReport[];
    },
    signal?: AbortSignal,
  ): Promise<{
    intervalMs: number;
    /** The tracker does not know how this host stands: it is to announce all of its swarms at once. */
    full?: boolean;
    swarms: Readonly<Record<string, readonly AnnouncedPeer[]>>;
  }>;
}

/** A peer as the tracker's answer has it. */
export type AnnouncedPeer = Omit<Peer, 'id'> & {
  readonly id: string;
  /** How many eighths of the blob it has, 0 to 8. */
  readonly eighths: number;
  readonly zone?: string;
};
