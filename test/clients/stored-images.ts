import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Digest, hexOf, parseDigest } from '../../src/core/index.ts';
import { type ImageContent, readContent } from './image-layouts.ts';

/** The folder of a registry, read as distribution lays it out: what came of a push, whatever the registry would answer. */
export class StoredImages {
  readonly #root: string;

  /** @param folder `rootdirectory` of the filesystem driver */
  constructor(folder: string) {
    this.#root = join(folder, 'docker', 'registry', 'v2');
  }

  /** What a tag points at. */
  async digestOf(repository: string, tag = 'v1'): Promise<Digest> {
    const link = join(this.#root, 'repositories', repository, '_manifests', 'tags', tag, 'current', 'link');
    return parseDigest(await readFile(link, 'utf8'));
  }

  blob(digest: Digest): Promise<Buffer> {
    const hex = hexOf(digest);
    return readFile(join(this.#root, 'blobs', 'sha256', hex.slice(0, 2), hex, 'data'));
  }

  /** The image of a tag, with every byte of its blobs compared to their digests. */
  async contentOf(repository: string, tag = 'v1'): Promise<ImageContent> {
    return readContent(await this.digestOf(repository, tag), (digest) => this.blob(digest));
  }
}
