import { LRUCache } from 'lru-cache';
import type { Logger } from 'pino';
import { BlobNotFoundError, type Digest, type Repository } from '../core/index.ts';
import type { BackendFiles } from './backend-files.ts';
import type { KeyedLock } from './keyed-lock.ts';
import { type BlobSource, findManifest } from './manifests.ts';
import type { LinkKind, RepositoryBlobAnswer } from './protocol.ts';
import type { Referrers } from './referrers.ts';
import type { Tags } from './tags.ts';

/** Lengths kept in memory. A blob's length never changes, so they need no date; at about 200 bytes each. */
const LENGTHS_MAX = 100_000;

/** What {@link Links} is made of. */
export interface LinksDeps {
  readonly files: BackendFiles;
  readonly origins: BlobSource;
  readonly tags: Tags;
  readonly referrers: Referrers;
  /** By repository: whoever takes out links holds it alone. */
  readonly locks: KeyedLock;
  readonly logger: Logger;
}

/** Which blobs belong to which repository: as layers (configs too), or as manifest revisions. */
export class Links {
  readonly #deps: LinksDeps;
  readonly #lengths = new LRUCache<Digest, number>({ max: LENGTHS_MAX });

  constructor(deps: LinksDeps) {
    this.#deps = deps;
  }

  /** How a blob is linked in a repository, and its length. @throws BlobNotFoundError without a link, or without bytes */
  async statBlob(repository: Repository, digest: Digest, signal?: AbortSignal): Promise<RepositoryBlobAnswer> {
    const [layer, revision] = await Promise.all([
      this.#deps.files.has({ kind: 'layer-link', repository, digest }, signal),
      this.#deps.files.has({ kind: 'revision-link', repository, digest }, signal),
    ]);
    const links: LinkKind[] = [];
    if (layer) links.push('layer');
    if (revision) links.push('revision');
    if (links.length === 0) throw notLinked(repository, digest);
    return { sizeBytes: await this.#lengthOf(digest, signal), links };
  }

  /** Makes a blob part of a repository; synced when it resolves. */
  async link(repository: Repository, kind: LinkKind, digest: Digest): Promise<void> {
    await this.#deps.locks.shared(repository, () => {
      return this.#deps.files.put({ kind: `${kind}-link`, repository, digest }, digest);
    });
  }

  /**
   * Takes a blob out of a repository. A revision takes its tags and its entry as a referrer along, in this order before
   * itself: when that breaks off, the revision is still there, and the same call ends what is left.
   * @throws BlobNotFoundError when there was no such link
   */
  async unlink(repository: Repository, kind: LinkKind, digest: Digest, signal?: AbortSignal): Promise<void> {
    const { files, locks, tags, referrers } = this.#deps;
    const link = { kind: `${kind}-link`, repository, digest } as const;
    if (!(await files.has(link, signal))) throw notLinked(repository, digest, kind);
    const subject = kind === 'revision' ? await this.#findSubject(digest, signal) : undefined;
    await locks.exclusive(repository, async () => {
      if (kind === 'revision') await tags.deleteAllOf(repository, digest);
      if (subject !== undefined) await referrers.removeEntry(repository, subject, digest);
      const removed = await files.remove({ kind, repository, digest });
      // Two calls at once: one of them has taken it out.
      if (!removed) throw notLinked(repository, digest, kind);
    });
  }

  async #lengthOf(digest: Digest, signal: AbortSignal | undefined): Promise<number> {
    const known = this.#lengths.get(digest);
    if (known !== undefined) return known;
    const length = await this.#deps.origins.stat(digest, signal);
    this.#lengths.set(digest, length);
    return length;
  }

  /** An entry that stays behind does no harm: referrers are listed only while their revision is linked. */
  async #findSubject(digest: Digest, signal: AbortSignal | undefined): Promise<Digest | undefined> {
    try {
      return (await findManifest(this.#deps.origins, digest, signal))?.subject?.digest;
    } catch (error) {
      signal?.throwIfAborted();
      this.#deps.logger.warn({ err: error, digest }, 'a manifest to be deleted could not be read for its subject');
      return undefined;
    }
  }
}

function notLinked(repository: Repository, digest: Digest, kind?: LinkKind): BlobNotFoundError {
  const as = kind === undefined ? '' : ` as a ${kind}`;
  return new BlobNotFoundError(`${digest} is not linked in ${repository}${as}`, { repository, digest });
}
