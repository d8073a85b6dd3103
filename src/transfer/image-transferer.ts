import type { Readable } from 'node:stream';
import type { ByteRange, Digest, Repository, Tag } from '../core/index.ts';

/**
 * Moves blobs and names between this host and the cluster: what stands behind the p2p storage driver.
 *
 * Every blob call carries its repository: a blob that is not linked there answers {@link BlobNotFoundError}, cached bytes
 * or not. Positive answers about links are cached for `linkCacheMs`. Tags and links are answered by the build-index only,
 * never by a peer. Writes throw {@link ReadOnlyError} on the read-only transferer.
 */
export interface ImageTransferer {
  /** The length of a blob, and how it is linked. One request to the cluster at most; no byte of the blob. @throws BlobNotFoundError */
  stat(repository: Repository, digest: Digest, context?: TransferContext): Promise<BlobStat>;
  /**
   * The length of a blob that the cluster holds, in whichever repository, so that it can be linked in another one: the
   * origins make sure that it lasts. Only for a caller who may pull from all of them. @throws BlobNotFoundError
   */
  locate(digest: Digest, context?: TransferContext): Promise<{ readonly sizeBytes: number }>;
  /** The bytes of a blob, or a range of them, as they get verified. Errors destroy the stream; it never ends early cleanly. @throws BlobNotFoundError */
  open(
    repository: Repository,
    digest: Digest,
    range: ByteRange | undefined,
    context?: TransferContext,
  ): Promise<Readable>;
  /** Hands a blob of the local store to the origins; resolves when it is acknowledged (kept by enough of them, write-back queued). */
  upload(repository: Repository, digest: Digest, context?: TransferContext): Promise<void>;

  /** @throws TagNotFoundError */
  getTag(repository: Repository, tag: Tag, context?: TransferContext): Promise<Digest>;
  /** Points a tag at a manifest, whose parts must be in the repository. @throws ManifestBlobUnknownError */
  putTag(repository: Repository, tag: Tag, digest: Digest, context?: TransferContext): Promise<void>;
  /** @throws TagNotFoundError */
  deleteTag(repository: Repository, tag: Tag, context?: TransferContext): Promise<void>;
  /** Tags in order of their bytes. @throws RepositoryNotFoundError */
  listTags(repository: Repository, page?: NamePage, context?: TransferContext): AsyncIterable<Tag>;
  /** Repositories in order of their names. */
  listRepositories(page?: NamePage, context?: TransferContext): AsyncIterable<Repository>;

  /** Makes a layer or a manifest revision part of a repository. */
  link(repository: Repository, kind: LinkKind, digest: Digest, context?: TransferContext): Promise<void>;
  hasLink(repository: Repository, kind: LinkKind, digest: Digest, context?: TransferContext): Promise<boolean>;
  /** Takes it out again; a revision takes its tags along. The bytes stay for garbage collection. @throws BlobNotFoundError */
  unlink(repository: Repository, kind: LinkKind, digest: Digest, context?: TransferContext): Promise<void>;
  deleteRepository(repository: Repository, context?: TransferContext): Promise<void>;

  /** Notes that `referrer` names `subject` in its subject field. */
  putReferrer(repository: Repository, subject: Digest, referrer: Digest, context?: TransferContext): Promise<void>;
  deleteReferrer(repository: Repository, subject: Digest, referrer: Digest, context?: TransferContext): Promise<void>;
  /** Manifests that name `subject`; none for a subject that nobody names. */
  listReferrers(repository: Repository, subject: Digest, context?: TransferContext): AsyncIterable<Digest>;

  /** Ends what it holds open. */
  close(): Promise<void>;
}

/** What travels with every call. */
export interface TransferContext {
  readonly signal?: AbortSignal;
}

/** How content belongs to a repository: as a layer or config, or as a manifest. */
export type LinkKind = 'layer' | 'revision';

/** A page of names: those behind `after`, `limit` at most. */
export interface NamePage {
  readonly after?: string;
  readonly limit?: number;
}

/** What is known of a blob in a repository without its bytes. */
export interface BlobStat {
  readonly sizeBytes: number;
  readonly links: readonly LinkKind[];
}
