import { type Digest, parseDigest, parseRepository, parseTag, type Repository, type Tag } from '../core/index.ts';
import { ServiceClient, type ServiceRequest } from '../http/index.ts';
import { buildIndexRoutes, type NamesAnswer, type RepositoryBlobAnswer, type TagBody } from './protocol.ts';

/** A page of names: those behind `after`, `limit` at most. */
interface Page {
  readonly after?: string;
  readonly limit?: number;
}

type Query = NonNullable<ServiceRequest['query']>;

/** The build-index, as proxies and agents call it. The owner of this object closes it. */
export class BuildIndexClient {
  readonly #client: ServiceClient;

  constructor(options: { baseUrl: string; clusterToken: string }) {
    this.#client = new ServiceClient({ role: 'build-index', ...options });
  }

  /** @throws TagNotFoundError */
  async getTag(repository: Repository, tag: Tag, signal?: AbortSignal): Promise<Digest> {
    const query = { repository, tag };
    const body = await this.#client.json<TagBody>({ method: 'GET', path: buildIndexRoutes.tag, query, signal });
    return parseDigest(body.digest);
  }

  /** @throws ManifestBlobUnknownError when something that the manifest needs is not in the repository */
  async putTag(repository: Repository, tag: Tag, digest: Digest, signal?: AbortSignal): Promise<void> {
    const query = { repository, tag };
    await this.#client.json({ method: 'PUT', path: buildIndexRoutes.tag, query, json: { digest }, signal });
  }

  /** @throws TagNotFoundError */
  async deleteTag(repository: Repository, tag: Tag, signal?: AbortSignal): Promise<void> {
    await this.#call('DELETE', buildIndexRoutes.tag, { repository, tag }, signal);
  }

  /** @throws RepositoryNotFoundError */
  async *listTags(repository: Repository, page: Page = {}, signal?: AbortSignal): AsyncIterable<Tag> {
    for await (const name of this.#names(buildIndexRoutes.tags, { repository }, page, signal)) yield parseTag(name);
  }

  async *listRepositories(page: Page = {}, signal?: AbortSignal): AsyncIterable<Repository> {
    for await (const name of this.#names(buildIndexRoutes.repositories, {}, page, signal)) yield parseRepository(name);
  }

  async deleteRepository(repository: Repository, signal?: AbortSignal): Promise<void> {
    await this.#call('DELETE', buildIndexRoutes.repository, { repository }, signal);
  }

  /** How a blob is linked in a repository, and its length. @throws BlobNotFoundError */
  async statBlob(repository: Repository, digest: Digest, signal?: AbortSignal): Promise<RepositoryBlobAnswer> {
    return this.#client.json({ method: 'GET', path: buildIndexRoutes.blob, query: { repository, digest }, signal });
  }

  async link(repository: Repository, kind: 'layer' | 'revision', digest: Digest, signal?: AbortSignal): Promise<void> {
    await this.#call('PUT', buildIndexRoutes.link, { repository, kind, digest }, signal);
  }

  /** @throws BlobNotFoundError when there was no such link */
  async unlink(
    repository: Repository,
    kind: 'layer' | 'revision',
    digest: Digest,
    signal?: AbortSignal,
  ): Promise<void> {
    await this.#call('DELETE', buildIndexRoutes.link, { repository, kind, digest }, signal);
  }

  async *listReferrers(repository: Repository, subject: Digest, signal?: AbortSignal): AsyncIterable<Digest> {
    const names = this.#names(buildIndexRoutes.referrers, { repository, subject }, {}, signal);
    for await (const name of names) yield parseDigest(name);
  }

  async putReferrer(repository: Repository, subject: Digest, referrer: Digest, signal?: AbortSignal): Promise<void> {
    await this.#call('PUT', buildIndexRoutes.referrer, { repository, subject, referrer }, signal);
  }

  async deleteReferrer(repository: Repository, subject: Digest, referrer: Digest, signal?: AbortSignal): Promise<void> {
    await this.#call('DELETE', buildIndexRoutes.referrer, { repository, subject, referrer }, signal);
  }

  async close(): Promise<void> {
    await this.#client.close();
  }

  async #call(method: 'PUT' | 'DELETE', path: string, query: Query, signal: AbortSignal | undefined): Promise<void> {
    await this.#client.bytes({ method, path, query, signal });
  }

  /** All names over all pages, `page.limit` of them at most. */
  async *#names(path: string, query: Query, page: Page, signal: AbortSignal | undefined): AsyncIterable<string> {
    let { after } = page;
    let left = page.limit ?? Number.POSITIVE_INFINITY;
    while (left > 0) {
      const limit = Number.isFinite(left) ? left : undefined;
      const request = { method: 'GET' as const, path, query: { ...query, after, limit }, signal };
      const answer: NamesAnswer = await this.#client.json(request);
      yield* answer.names;
      left -= answer.names.length;
      if (!answer.more || answer.names.length === 0) return;
      after = answer.names.at(-1);
    }
  }
}
