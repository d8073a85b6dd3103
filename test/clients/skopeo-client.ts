import { cp, mkdir, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type Digest, parseDigest } from '../../src/core/index.ts';
import type { ClientKind, ContainerClient } from './container-client.ts';
import { type ImageContent, layoutBlobs, layoutDigest, readContent } from './image-layouts.ts';
import type { IsolatedHost } from './isolated-host.ts';

/** skopeo keeps no images of its own: an OCI layout for each stands in for them. Digests stay as they are. */
export const skopeo: ClientKind = {
  name: 'skopeo',
  programs: [],
  start: async (host) => new SkopeoClient(host),
};

class SkopeoClient implements ContainerClient {
  readonly name = 'skopeo';
  readonly #host: IsolatedHost;

  constructor(host: IsolatedHost) {
    this.#host = host;
  }

  async load(layout: string, name: string): Promise<void> {
    const folder = this.#host.pathOf(folderOf(name));
    await mkdir(dirname(folder), { recursive: true });
    await cp(layout, folder, { recursive: true });
  }

  async tag(name: string, further: string): Promise<void> {
    await this.load(this.#host.pathOf(folderOf(name)), further);
  }

  async push(name: string): Promise<Digest> {
    const digestFile = '/root/skopeo-digest';
    const options = ['--quiet', '--digestfile', digestFile];
    await this.#skopeo('copy', ...options, `oci:${folderOf(name)}:v1`, `docker://${name}`);
    return parseDigest(await this.#host.read(digestFile));
  }

  async pull(name: string, platform?: string): Promise<Digest> {
    const override = platform === undefined ? [] : ['--override-arch', platform.replace('linux/', '')];
    await mkdir(dirname(this.#host.pathOf(folderOf(name))), { recursive: true });
    await this.#skopeo(...override, 'copy', '--quiet', `docker://${name}`, `oci:${folderOf(name)}:v1`);
    return layoutDigest(this.#host.pathOf(folderOf(name)));
  }

  async content(name: string): Promise<ImageContent> {
    const layout = this.#host.pathOf(folderOf(name));
    return readContent(await layoutDigest(layout), layoutBlobs(layout));
  }

  async remove(name: string): Promise<void> {
    await rm(this.#host.pathOf(folderOf(name)), { recursive: true });
  }

  async login(registry: string, user: string, password: string): Promise<void> {
    await this.#skopeo('login', '--username', user, '--password', password, registry);
  }

  async logout(registry: string): Promise<void> {
    await this.#skopeo('logout', registry);
  }

  #skopeo(...args: string[]): Promise<string> {
    return this.#host.run('skopeo', args);
  }
}

/** A layout's folder; its name is free of what separates the parts of skopeo's image names. */
function folderOf(name: string): string {
  return `/root/images/${name.replaceAll(':', '_')}`;
}
