import { createHash, randomUUID } from 'node:crypto';
import { parseRepository, type Repository } from '../../core/index.ts';

const ROOT = '/docker/registry/v2';

/** `sha256:<hex>` of bytes. */
export function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}

/** The paths of one repository, in the layout that distribution gave registries. */
export class RepositoryPaths {
  readonly repository: Repository;
  readonly #own: string;

  /** A repository that nobody has used. */
  constructor() {
    const name = `conformance/${randomUUID()}`;
    this.repository = parseRepository(name);
    this.#own = `${ROOT}/repositories/${name}`;
  }

  upload(id: string): string {
    return `${this.#own}/_uploads/${id}`;
  }

  uploadData(id: string): string {
    return `${this.upload(id)}/data`;
  }

  startedAt(id: string): string {
    return `${this.upload(id)}/startedat`;
  }

  layerLink(digest: string): string {
    return `${this.#own}/_layers/${digest.replace(':', '/')}/link`;
  }

  revisionLink(digest: string): string {
    return `${this.#own}/_manifests/revisions/${digest.replace(':', '/')}/link`;
  }

  get tags(): string {
    return `${this.#own}/_manifests/tags`;
  }

  tag(tag: string): string {
    return `${this.tags}/${tag}`;
  }

  tagLink(tag: string): string {
    return `${this.tag(tag)}/current/link`;
  }

  tagIndexLink(tag: string, digest: string): string {
    return `${this.tag(tag)}/index/${digest.replace(':', '/')}/link`;
  }

  blob(digest: string): string {
    const [algorithm = '', hex = ''] = digest.split(':');
    return `${ROOT}/blobs/${algorithm}/${hex.slice(0, 2)}/${hex}/data`;
  }
}
