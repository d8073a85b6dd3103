import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type Digest, hashBytes } from '../../src/core/index.ts';
import { run } from '../helpers/command.ts';
import { type ClientKind, type ContainerClient, digestIn } from './container-client.ts';
import type { ImageContent } from './image-layouts.ts';
import type { IsolatedHost } from './isolated-host.ts';

/** docker with a dockerd of its own. It keeps layers uncompressed, and compresses them again when it pushes. */
export const docker: ClientKind = {
  name: 'docker',
  programs: ['dockerd', 'docker'],
  async start(host) {
    // Images are only moved here, never run: neither a bridge nor rules of the firewall are needed.
    const storage = host.hasOverlay ? 'overlay2' : 'vfs';
    const options = ['--bridge=none', '--iptables=false', `--storage-driver=${storage}`];
    await host.startDaemon('dockerd', options, '/run/docker.sock');
    return new DockerClient(host);
  },
};

class DockerClient implements ContainerClient {
  readonly name = 'docker';
  readonly #host: IsolatedHost;

  constructor(host: IsolatedHost) {
    this.#host = host;
  }

  async load(layout: string, name: string): Promise<void> {
    const archive = '/root/image.tar';
    await this.#host.run('skopeo', ['copy', '--quiet', `oci:${layout}:v1`, `docker-archive:${archive}:${name}`]);
    await this.#docker('load', '--quiet', '--input', archive);
    await rm(this.#host.pathOf(archive));
  }

  async tag(name: string, further: string): Promise<void> {
    await this.#docker('tag', name, further);
  }

  async push(name: string): Promise<Digest> {
    return digestIn(await this.#docker('push', name), 'digest: ');
  }

  async pull(name: string, platform?: string): Promise<Digest> {
    const options = platform === undefined ? [] : ['--platform', platform];
    return digestIn(await this.#docker('pull', ...options, name), 'Digest: ');
  }

  async content(name: string): Promise<ImageContent> {
    const folder = '/root/saved';
    const path = this.#host.pathOf(folder);
    await mkdir(path);
    try {
      await this.#docker('save', '--output', `${folder}/image.tar`, name);
      await run('tar', ['-xf', join(path, 'image.tar'), '-C', path]);
      const [image] = JSON.parse(await readFile(join(path, 'manifest.json'), 'utf8')) as SavedImage[];
      const digestOf = async (file: string) => hashBytes(await readFile(join(path, file)));
      return { config: await digestOf(image!.Config), layers: await Promise.all(image!.Layers.map(digestOf)) };
    } finally {
      await rm(path, { recursive: true });
    }
  }

  async remove(name: string): Promise<void> {
    await this.#docker('image', 'rm', '--force', name);
  }

  async login(registry: string, user: string, password: string): Promise<void> {
    await this.#docker('login', '--username', user, '--password', password, registry);
  }

  async logout(registry: string): Promise<void> {
    await this.#docker('logout', registry);
  }

  #docker(...args: string[]): Promise<string> {
    return this.#host.run('docker', args);
  }
}

/** An entry of `manifest.json` in what `docker save` writes. */
interface SavedImage {
  readonly Config: string;
  readonly Layers: readonly string[];
}
