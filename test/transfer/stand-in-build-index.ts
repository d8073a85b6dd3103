import { buildIndexRoutes, type NamesAnswer } from '../../src/build-index/protocol.ts';
import {
  BlobNotFoundError,
  ManifestBlobUnknownError,
  RepositoryNotFoundError,
  TagNotFoundError,
} from '../../src/core/index.ts';
import { queryOf, StandInService } from './stand-in-service.ts';

/** What a build-index knows, in memory, open to the test. */
export class StandInBuildIndex {
  readonly tags = new Map<string, Map<string, string>>();
  /** By `repository@digest`. */
  readonly links = new Map<string, Set<string>>();
  /** By `repository@subject`. */
  readonly referrers = new Map<string, Set<string>>();
  readonly repositories = new Set<string>();
  /** Length of a blob, as an origin would tell it. */
  readonly sizeOf: (digest: string) => number | undefined;
  #service: StandInService | undefined;

  constructor(sizeOf: (digest: string) => number | undefined) {
    this.sizeOf = sizeOf;
  }

  static async start(sizeOf: (digest: string) => number | undefined): Promise<StandInBuildIndex> {
    const index = new StandInBuildIndex(sizeOf);
    index.#service = await StandInService.start('build-index', (app) => {
      app.get(buildIndexRoutes.tag, async (request) => index.#getTag(queryOf(request)));
      app.put(buildIndexRoutes.tag, async (request) =>
        index.#putTag(queryOf(request), (request.body as { digest: string }).digest),
      );
      app.delete(buildIndexRoutes.tag, async (request) => index.#deleteTag(queryOf(request)));
      app.get(buildIndexRoutes.tags, async (request) => {
        const { repository } = queryOf(request);
        if (!index.repositories.has(repository!)) throw new RepositoryNotFoundError(`no repository ${repository}`);
        return page([...(index.tags.get(repository!)?.keys() ?? [])], queryOf(request));
      });
      app.get(buildIndexRoutes.repositories, async (request) => page([...index.repositories], queryOf(request)));
      app.delete(buildIndexRoutes.repository, async (request) => index.#deleteRepository(queryOf(request)));
      app.get(buildIndexRoutes.blob, async (request) => index.#statBlob(queryOf(request)));
      app.put(buildIndexRoutes.link, async (request) => {
        const { repository, kind, digest } = queryOf(request);
        index.link(repository!, kind!, digest!);
      });
      app.delete(buildIndexRoutes.link, async (request) => index.#unlink(queryOf(request)));
      app.get(buildIndexRoutes.referrers, async (request) => {
        const { repository, subject } = queryOf(request);
        return page([...(index.referrers.get(`${repository}@${subject}`) ?? [])], queryOf(request));
      });
      app.put(buildIndexRoutes.referrer, async (request) => {
        const { repository, subject, referrer } = queryOf(request);
        const key = `${repository}@${subject}`;
        index.referrers.set(key, (index.referrers.get(key) ?? new Set()).add(referrer!));
      });
      app.delete(buildIndexRoutes.referrer, async (request) => {
        const { repository, subject, referrer } = queryOf(request);
        const known = index.referrers.get(`${repository}@${subject}`);
        if (known?.delete(referrer!) !== true) throw new BlobNotFoundError(`no referrer ${referrer}`);
      });
    });
    return index;
  }

  get service(): StandInService {
    return this.#service!;
  }

  link(repository: string, kind: string, digest: string): void {
    this.repositories.add(repository);
    const key = `${repository}@${digest}`;
    this.links.set(key, (this.links.get(key) ?? new Set()).add(kind));
  }

  tag(repository: string, tag: string, digest: string): void {
    this.repositories.add(repository);
    const tags = this.tags.get(repository) ?? new Map<string, string>();
    this.tags.set(repository, tags.set(tag, digest));
  }

  #getTag({ repository, tag }: Record<string, string>): { digest: string } {
    const digest = this.tags.get(repository!)?.get(tag!);
    if (digest === undefined) throw new TagNotFoundError(`no tag ${repository}:${tag}`);
    return { digest };
  }

  #putTag({ repository, tag }: Record<string, string>, digest: string): object {
    if (this.links.get(`${repository}@${digest}`)?.has('revision') !== true) {
      throw new ManifestBlobUnknownError(`${digest} is not in ${repository}`, { missing: [digest] });
    }
    this.tag(repository!, tag!, digest);
    return {};
  }

  #deleteTag({ repository, tag }: Record<string, string>): void {
    if (this.tags.get(repository!)?.delete(tag!) !== true) throw new TagNotFoundError(`no tag ${repository}:${tag}`);
  }

  #deleteRepository({ repository }: Record<string, string>): void {
    if (!this.repositories.delete(repository!)) throw new RepositoryNotFoundError(`no repository ${repository}`);
    this.tags.delete(repository!);
    for (const key of [...this.links.keys()]) if (key.startsWith(`${repository}@`)) this.links.delete(key);
  }

  #statBlob({ repository, digest }: Record<string, string>): { sizeBytes: number; links: string[] } {
    const links = [...(this.links.get(`${repository}@${digest}`) ?? [])];
    const sizeBytes = this.sizeOf(digest!);
    if (links.length === 0 || sizeBytes === undefined) throw new BlobNotFoundError(`${digest} is not in ${repository}`);
    return { sizeBytes, links };
  }

  #unlink({ repository, kind, digest }: Record<string, string>): void {
    const key = `${repository}@${digest}`;
    if (this.links.get(key)?.delete(kind!) !== true) throw new BlobNotFoundError(`${digest} is not in ${repository}`);
    if (this.links.get(key)?.size === 0) this.links.delete(key);
  }
}

/** Two names a page at most, so that every listing of a few names takes several requests. */
const PAGE_LENGTH = 2;

function page(names: readonly string[], { after = '', limit = '1000' }: Record<string, string>): NamesAnswer {
  const left = [...names].sort().filter((name) => name > after);
  const taken = left.slice(0, Math.min(PAGE_LENGTH, Number(limit)));
  return { names: taken, more: taken.length < left.length };
}
