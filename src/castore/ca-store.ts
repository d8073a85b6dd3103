import type { Readable } from 'node:stream';
import type { ByteRange, Digest, LentBytes, Metainfo } from '../core/index.ts';

export type { LentBytes } from '../core/index.ts';

/**
 * The content-addressable store: one host's blobs on local disk.
 *
 * Three kinds of things, each with its own life: *uploads* (unfinished, by upload id), *downloads* (unfinished, piece by
 * piece, by digest) and *blobs* (whole, verified, by digest). Uploads and downloads become blobs only by `commit`, which
 * verifies the digest, syncs, and renames, so that a blob that can be seen is whole, whatever was killed when.
 */
export interface CaStore extends AsyncDisposable {
  readonly uploads: UploadStore;
  readonly downloads: DownloadStore;
  readonly blobs: BlobStore;
  /** What is on disk now. */
  usage(): StoreUsage;
  /** Ends timers and file handles. Nothing may be called afterwards. */
  close(): Promise<void>;
}

/** Bytes of everything that the store holds; metainfo, pins and sidecars are small and not counted. */
export interface StoreUsage {
  readonly blobBytes: number;
  /** Uploads as far as they have come, downloads with the whole length of their blob, which is reserved when they begin. */
  readonly unfinishedBytes: number;
  readonly capacityBytes: number;
}

/** A committed blob. */
export interface BlobInfo {
  readonly digest: Digest;
  readonly sizeBytes: number;
  /** Milliseconds since 1970. */
  readonly committedAtMs: number;
}

/** An unfinished upload. */
export interface UploadInfo {
  readonly id: string;
  readonly sizeBytes: number;
  /** When its bytes last grew, milliseconds since 1970. */
  readonly modifiedAtMs: number;
  /** Whether a writer is open on it. */
  readonly isBeingWritten: boolean;
}

/** Unfinished uploads. They survive a restart; an upload has one writer at a time. Ids are `[A-Za-z0-9_-]`, 1 to 128. */
export interface UploadStore {
  /** A writer at nothing: a new upload, or an old one emptied. */
  create(id: string): Promise<UploadWriter>;
  /** A writer that goes on where the bytes end. @throws UploadNotFoundError */
  resume(id: string): Promise<UploadWriter>;
  find(id: string): Promise<UploadInfo | undefined>;
  /** The bytes so far. The caller ends the stream. @throws UploadNotFoundError */
  open(id: string, range?: { offset: number; length?: number }): Promise<Readable>;
  /**
   * Turns an upload into a blob: verifies the digest, syncs, renames. The upload is gone afterwards; when the digest does
   * not match it is dropped too. A blob that is there already stays, and the upload is dropped. `pin` is set before the
   * blob becomes visible. The hash of bytes written in this process is kept, so they are not read again.
   * @throws UploadNotFoundError, DigestMismatchError, NoSpaceError
   */
  commit(id: string, digest: Digest, options?: { pin?: string }): Promise<BlobInfo>;
  /** Drops an upload with all that belongs to it. @throws UploadNotFoundError */
  cancel(id: string): Promise<void>;
  list(): AsyncIterable<UploadInfo>;
  /** Small facts kept beside an upload, such as when it began; atomic, synced; creates the upload when it is missing. */
  putSidecar(id: string, name: string, content: Uint8Array): Promise<void>;
  findSidecar(id: string, name: string): Promise<Buffer | undefined>;
  listSidecars(id: string): Promise<readonly string[]>;
}

/** Appends to one upload. `close` syncs; bytes that were closed survive a restart. */
export interface UploadWriter extends AsyncDisposable {
  readonly sizeBytes: number;
  /** Resolves when more may come. @throws NoSpaceError */
  write(bytes: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

/** Whole, verified blobs, evicted by bytes, least recently used first, never what is pinned. */
export interface BlobStore {
  /** Facts without touching the order of use. */
  find(digest: Digest): Promise<BlobInfo | undefined>;
  /** The bytes; counts as use. The stream goes on when the blob is evicted meanwhile. @throws BlobNotFoundError */
  open(digest: Digest, range?: ByteRange): Promise<Readable>;
  /** For many small reads, such as serving pieces; counts as use. The caller closes it. @throws BlobNotFoundError */
  openFile(digest: Digest): Promise<BlobFile>;
  /**
   * Where a blob's bytes lie, for another process of this host (`SharedFiles`); counts as use. It may be evicted before that
   * process has opened it. @throws BlobNotFoundError
   */
  locate(digest: Digest): Promise<{ readonly path: string; readonly sizeBytes: number }>;
  /** Stores bytes under a digest: verifies, syncs, renames. @throws DigestMismatchError, NoSpaceError */
  put(
    digest: Digest,
    source: AsyncIterable<Uint8Array> | Uint8Array,
    options?: { pin?: string; signal?: AbortSignal },
  ): Promise<BlobInfo>;
  /** Removes a blob whatever pins it. Does nothing when it is not there. */
  delete(digest: Digest): Promise<void>;
  list(): AsyncIterable<BlobInfo>;
  /** Keeps a blob from eviction until `unpin` with the same reason, over restarts too. @throws BlobNotFoundError */
  pin(digest: Digest, reason: string): Promise<void>;
  unpin(digest: Digest, reason: string): Promise<void>;
  pins(digest: Digest): Promise<readonly string[]>;
  /** Stores encoded metainfo beside a blob; the first writer wins. Returns what is stored. @throws BlobNotFoundError */
  putMetainfo(digest: Digest, encoded: Buffer): Promise<Buffer>;
  findMetainfo(digest: Digest): Promise<Buffer | undefined>;
}

/** One blob, open for reads at any offset. */
export interface BlobFile extends AsyncDisposable {
  readonly sizeBytes: number;
  /** Exactly `length` bytes from `offset`, the caller's own. @throws InvalidRangeError when they lie past the end */
  read(offset: number, length: number): Promise<Buffer>;
  /**
   * The same bytes without a copy; at once when they are in memory, because somebody else read them, or read what stands
   * around them, or because they came as a piece. May be released after `close`.
   * @throws InvalidRangeError when they lie past the end
   */
  lend(offset: number, length: number): LentBytes | Promise<LentBytes>;
  close(): Promise<void>;
}

/** Blobs that arrive piece by piece. One that nobody has open is evicted in its turn, as a blob that is not pinned. */
export interface DownloadStore {
  /**
   * Opens the partial blob of this metainfo, or begins one. Pieces that an earlier process wrote are hashed again, and only
   * those that match count. One open at a time for a digest. A partial blob of another metainfo is dropped.
   * @throws NoSpaceError
   */
  open(metainfo: Metainfo): Promise<PartialDownload>;
  /** What is unfinished on disk. */
  list(): AsyncIterable<Digest>;
  /** The metainfo that an unfinished download was begun with. */
  findMetainfo(digest: Digest): Promise<Metainfo | undefined>;
  /** Drops an unfinished download that nobody has open. */
  drop(digest: Digest): Promise<void>;
}

/** A blob on its way. Verified pieces can be read while the rest arrives. */
export interface PartialDownload extends AsyncDisposable {
  readonly metainfo: Metainfo;
  /** How many pieces are verified. */
  readonly verifiedPieces: number;
  has(index: number): boolean;
  /** The verified pieces as a BEP 3 bitfield: high bit first. A copy. */
  bitfield(): Uint8Array;
  /**
   * A buffer of exactly the length of a piece, for its bytes as they arrive; what is in it is arbitrary. Shared memory that
   * is used again and again: end it with `writePiece` or `returnBuffer`, once, with this very object, and do not touch it
   * afterwards. How many are out is for the caller to bound.
   * @throws InvalidRangeError when there is no such piece
   */
  pieceBuffer(index: number): Buffer;
  /** Gives a buffer back unused. @throws Error when it is not out, which is a defect of the caller */
  returnBuffer(buffer: Buffer): void;
  /**
   * Checks a whole piece against its SHA-256 and stores it. `false`, and nothing stored, when it does not match. A piece
   * that is there already is left as it is. Which pieces are there is persisted within a second, after their bytes.
   *
   * A buffer of `pieceBuffer` passes to the store with the call, however it ends. Other bytes must not change until it has.
   * @throws InvalidRangeError when there is no such piece
   * @throws UnavailableError when the download has ended, or the thread that checks pieces died
   */
  writePiece(index: number, bytes: Uint8Array): Promise<boolean>;
  /** Where its bytes lie until it ends, for another process of this host that writes pieces there (`SharedFiles`). */
  readonly path: string;
  /**
   * Counts a piece as verified that another process has checked and written into the file at `path`. Nothing is checked
   * again here but the digest of the whole blob.
   * @throws InvalidRangeError when there is no such piece; UnavailableError when the download has ended
   */
  adoptPiece(index: number): void;
  /** Bytes of a verified piece, the caller's own. @throws InvalidRangeError when it is not verified, or they lie outside */
  read(index: number, offset: number, length: number): Promise<Buffer>;
  /** The same bytes without a copy, at once when they are in memory. May be released after the download has ended. */
  lend(index: number, offset: number, length: number): LentBytes | Promise<LentBytes>;
  /** Bytes from the start of the blob that are verified without a gap. The blob's digest is computed along them. */
  readonly prefixBytes: number;
  /**
   * Resolves once the blob's digest is known to match: enough to send its last bytes on, though nothing is synced yet.
   * `commit` does this first. All pieces have to be there. On a mismatch the partial blob is dropped.
   * @throws InvalidRangeError when pieces are missing; DigestMismatchError
   */
  verify(): Promise<void>;
  /**
   * Verifies the blob's digest, syncs, and renames to a blob with its metainfo. All pieces have to be there.
   * On a mismatch the partial blob is dropped. @throws DigestMismatchError
   */
  commit(): Promise<BlobInfo>;
  /** Persists the bitfield and lets go; the pieces stay for a later `open`. Without any piece nothing stays. */
  close(): Promise<void>;
  /** Throws everything away. */
  drop(): Promise<void>;
}

/** Where and how large. */
export interface CaStoreOptions {
  /** Everything is kept under this folder; made with mode 0700 when missing. */
  readonly directory: string;
  /** Blobs are evicted beyond this many bytes (uploads and downloads count too). */
  readonly capacityBytes: number;
}
