import { type Digest, digestAlgorithms, makeDigest, type Repository } from '../core/index.ts';
import type { BackendFiles } from './backend-files.ts';
import type { KeyedLock } from './keyed-lock.ts';
import { mapAhead } from './map-ahead.ts';

/** Which manifests of a repository name which other one as their subject. */
export class Referrers {
  readonly #files: BackendFiles;
  readonly #locks: KeyedLock;

  constructor(deps: { readonly files: BackendFiles; readonly locks: KeyedLock }) {
    this.#files = deps.files;
    this.#locks = deps.locks;
  }

  /** Notes that `digest` names `subject`; synced when it resolves. */
  async put(repository: Repository, subject: Digest, digest: Digest): Promise<void> {
    await this.#locks.shared(repository, () => {
      return this.#files.put({ kind: 'referrer-link', repository, subject, digest }, digest);
    });
  }

  /** Forgets it; an entry that is not there is no error. */
  async delete(repository: Repository, subject: Digest, digest: Digest): Promise<void> {
    await this.#locks.shared(repository, () => this.removeEntry(repository, subject, digest));
  }

  /** The same for a caller that holds the repository's lock. */
  async removeEntry(repository: Repository, subject: Digest, digest: Digest): Promise<void> {
    await this.#files.remove({ kind: 'referrer', repository, subject, digest });
  }

  /** Those that name `subject`, behind `after`, in order; only while they are linked as revisions themselves. */
  async *list(repository: Repository, subject: Digest, after: string, signal?: AbortSignal): AsyncGenerator<Digest> {
    const linked = mapAhead(this.#entries(repository, subject, after, signal), async (digest) => ({
      digest,
      present: await this.#files.has({ kind: 'revision-link', repository, digest }, signal),
    }));
    for await (const { digest, present } of linked) if (present) yield digest;
  }

  async *#entries(
    repository: Repository,
    subject: Digest,
    after: string,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<Digest> {
    for (const algorithm of digestAlgorithms) {
      for await (const hex of this.#files.list({ kind: 'referrers', repository, subject, algorithm }, {}, signal)) {
        const digest = makeDigest(algorithm, hex);
        if (digest !== undefined && digest > after) yield digest;
      }
    }
  }
}
