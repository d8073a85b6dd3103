import type { Logger } from 'pino';
import {
  BlobNotFoundError,
  type Digest,
  findDigest,
  findTag,
  type Manifest,
  ManifestBlobUnknownError,
  type Repository,
  RepositoryNotFoundError,
  requiredDescriptors,
  type Tag,
  TagNotFoundError,
} from '../core/index.ts';
import type { BackendFiles } from './backend-files.ts';
import type { KeyedLock } from './keyed-lock.ts';
import { type BlobSource, readManifest } from './manifests.ts';
import { mapAhead } from './map-ahead.ts';

/** Errors name this many missing digests: a hostile manifest could name tens of thousands. */
const MISSING_MAX = 100;

/** What {@link Tags} is made of. */
export interface TagsDeps {
  readonly files: BackendFiles;
  readonly origins: BlobSource;
  /** By repository: whoever sets a tag shares it, so that nothing is taken out between check and write. */
  readonly locks: KeyedLock;
  /** By repository and tag. */
  readonly tagLocks: KeyedLock;
  /** Whether the manifests of an index have to be in its repository. */
  readonly indexes: 'strict' | 'lenient';
  readonly logger: Logger;
}

/** Which tag of a repository points at which manifest. A tag is there when its file `current/link` is. */
export class Tags {
  readonly #deps: TagsDeps;

  constructor(deps: TagsDeps) {
    this.#deps = deps;
  }

  /** @throws TagNotFoundError */
  async get(repository: Repository, tag: Tag, signal?: AbortSignal): Promise<Digest> {
    const digest = await this.#find(repository, tag, signal);
    if (digest === undefined) throw notFound(repository, tag);
    return digest;
  }

  /**
   * Points a tag at a manifest: first the entry in its index, then the pointer itself, both synced when this resolves.
   * @throws ManifestBlobUnknownError when something that the manifest needs, or itself, is not in the repository
   */
  async put(repository: Repository, tag: Tag, digest: Digest, signal?: AbortSignal): Promise<void> {
    const { files, locks, tagLocks } = this.#deps;
    const manifest = await this.#readLinked(repository, digest, signal);
    await locks.shared(repository, () =>
      tagLocks.exclusive(`${repository}:${tag}`, async () => {
        await this.#checkRequired(repository, digest, manifest, signal);
        await files.put({ kind: 'tag-index-link', repository, tag, digest }, digest);
        await files.put({ kind: 'tag-current-link', repository, tag }, digest);
      }),
    );
  }

  /** @throws TagNotFoundError */
  async delete(repository: Repository, tag: Tag): Promise<void> {
    const { files, locks, tagLocks } = this.#deps;
    await locks.shared(repository, () =>
      tagLocks.exclusive(`${repository}:${tag}`, async () => {
        const known = await files.has({ kind: 'tag-current-link', repository, tag });
        // Also when it is not known: what an interrupted write or delete has left goes too.
        await files.remove({ kind: 'tag', repository, tag });
        if (!known) throw notFound(repository, tag);
      }),
    );
  }

  /** Deletes the tags that point at `digest`. For a caller that holds the repository's lock alone. */
  async deleteAllOf(repository: Repository, digest: Digest): Promise<void> {
    const pointing: Tag[] = [];
    const all = mapAhead(this.#names(repository, ''), async (tag) => ({
      tag,
      current: await this.#find(repository, tag),
    }));
    for await (const { tag, current } of all) if (current === digest) pointing.push(tag);
    for (const tag of pointing) await this.#deps.files.remove({ kind: 'tag', repository, tag });
  }

  /** Tags behind `after`, in order of their bytes. @throws RepositoryNotFoundError */
  async *list(repository: Repository, after: string, signal?: AbortSignal): AsyncGenerator<Tag> {
    if (!(await this.#deps.files.has({ kind: 'manifests', repository }, signal))) {
      throw new RepositoryNotFoundError(`repository ${repository} is not known`, { repository });
    }
    const all = mapAhead(this.#names(repository, after, signal), async (tag) => ({
      tag,
      whole: await this.#deps.files.has({ kind: 'tag-current-link', repository, tag }, signal),
    }));
    for await (const { tag, whole } of all) if (whole) yield tag;
  }

  async #find(repository: Repository, tag: Tag, signal?: AbortSignal): Promise<Digest | undefined> {
    const content = await this.#deps.files.find({ kind: 'tag-current-link', repository, tag }, signal);
    if (content === undefined) return undefined;
    const digest = findDigest(content.trim());
    if (digest === undefined) {
      // A registry that wrote the file in place has been killed while it did; pushing the tag again mends it.
      this.#deps.logger.warn({ repository, tag, sizeBytes: content.length }, 'the link file of a tag holds no digest');
    }
    return digest;
  }

  /** Directories of tags, those without a pointer included. */
  async *#names(repository: Repository, after: string, signal?: AbortSignal): AsyncGenerator<Tag> {
    const page = { after: findTag(after) };
    for await (const name of this.#deps.files.list({ kind: 'tags', repository }, page, signal)) {
      const tag = findTag(name);
      if (tag !== undefined && tag > after) yield tag;
    }
  }

  async #readLinked(repository: Repository, digest: Digest, signal: AbortSignal | undefined): Promise<Manifest> {
    const linked = await this.#deps.files.has({ kind: 'revision-link', repository, digest }, signal);
    if (!linked) throw unknown(repository, digest, [digest]);
    try {
      return await readManifest(this.#deps.origins, digest, signal);
    } catch (error) {
      if (error instanceof BlobNotFoundError) throw unknown(repository, digest, [digest], error);
      throw error;
    }
  }

  async #checkRequired(
    repository: Repository,
    digest: Digest,
    manifest: Manifest,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const lenient = manifest.kind === 'index' && this.#deps.indexes === 'lenient';
    const required = new Set(lenient ? [] : requiredDescriptors(manifest).map((entry) => entry.digest));
    const children = new Set(manifest.manifests.map((entry) => entry.digest));
    const found = mapAhead([digest, ...required], async (one) => {
      const revision = one === digest || children.has(one);
      return { one, present: await this.#isLinked(repository, one, revision, signal) };
    });
    const missing: Digest[] = [];
    for await (const { one, present } of found) if (!present) missing.push(one);
    if (missing.length > 0) throw unknown(repository, digest, missing);
  }

  /**
   * Children of an index are revisions, but may be layers as well: build tools write indexes of layers as their cache,
   * and distribution takes them (its manifest store looks for both links).
   */
  async #isLinked(repository: Repository, digest: Digest, revision: boolean, signal?: AbortSignal): Promise<boolean> {
    const { files } = this.#deps;
    if (revision && (await files.has({ kind: 'revision-link', repository, digest }, signal))) return true;
    return files.has({ kind: 'layer-link', repository, digest }, signal);
  }
}

function notFound(repository: Repository, tag: Tag): TagNotFoundError {
  return new TagNotFoundError(`tag ${tag} of ${repository} is not known`, { repository, tag });
}

function unknown(repository: Repository, digest: Digest, missing: readonly Digest[], cause?: Error) {
  const named = missing.slice(0, MISSING_MAX);
  return new ManifestBlobUnknownError(
    `manifest ${digest} needs what is not in ${repository}: ${named.slice(0, 5).join(', ')}` +
      (missing.length > 5 ? ` and ${missing.length - 5} more` : ''),
    { repository, digest, missing: named },
    cause === undefined ? undefined : { cause },
  );
}
