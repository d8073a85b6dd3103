import { rm } from 'node:fs/promises';
import { type Digest, parseDigest } from '../../src/core/index.ts';
import type { ClientKind, ContainerClient } from './container-client.ts';
import { type ImageContent, layoutBlobs, layoutDigest, readContent } from './image-layouts.ts';
import type { IsolatedHost } from './isolated-host.ts';

export const podman: ClientKind = {
  name: 'podman',
  programs: ['podman'],
  start: async (host) => new StorageClient('podman', host),
};

export const buildah: ClientKind = {
  name: 'buildah',
  programs: ['buildah'],
  start: async (host) => new StorageClient('buildah', host),
};

/**
 * podman or buildah, which take the same options and keep images in the same place. Layers are kept uncompressed, and
 * compressed again by a push.
 */
class StorageClient implements ContainerClient {
  readonly name: 'podman' | 'buildah';
  readonly #host: IsolatedHost;

  constructor(name: 'podman' | 'buildah', host: IsolatedHost) {
    this.name = name;
    this.#host = host;
  }

  async load(layout: string, name: string): Promise<void> {
    await this.#host.run('skopeo', ['copy', '--quiet', `oci:${layout}:v1`, `containers-storage:${name}`]);
  }

  async tag(name: string, further: string): Promise<void> {
    await this.#run('tag', name, further);
  }

  async push(name: string): Promise<Digest> {
    const digestFile = `/root/${this.name}-digest`;
    await this.#run('push', '--quiet', '--digestfile', digestFile, name);
    return parseDigest(await this.#host.read(digestFile));
  }

  async pull(name: string, platform?: string): Promise<Digest> {
    const options = platform === undefined ? [] : ['--platform', platform];
    await this.#run('pull', '--quiet', ...options, name);
    // Both keep the digest that the registry gave for the name, which is the index's when there is one.
    const digests = await this.#run('images', '--format', '{{.Digest}}', name);
    return parseDigest(digests.trim().split('\n')[0]!);
  }

  async content(name: string): Promise<ImageContent> {
    const folder = `/root/${this.name}-content`;
    const layout = this.#host.pathOf(folder);
    await this.#host.run('skopeo', ['copy', '--quiet', `containers-storage:${name}`, `oci:${folder}:v1`]);
    try {
      return await readContent(await layoutDigest(layout), layoutBlobs(layout));
    } finally {
      await rm(layout, { recursive: true });
    }
  }

  async remove(name: string): Promise<void> {
    await this.#run('rmi', '--force', name);
  }

  async login(registry: string, user: string, password: string): Promise<void> {
    await this.#run('login', '--username', user, '--password', password, registry);
  }

  async logout(registry: string): Promise<void> {
    await this.#run('logout', registry);
  }

  #run(...args: string[]): Promise<string> {
    return this.#host.run(this.name, args);
  }
}
