import { readFile, rm } from 'node:fs/promises';
import type { Digest } from '../../src/core/index.ts';
import { run } from '../helpers/command.ts';
import { type ClientKind, type ContainerClient, digestIn } from './container-client.ts';
import { type ImageContent, ownArchitecture, readContent } from './image-layouts.ts';
import type { IsolatedHost } from './isolated-host.ts';

const socket = '/run/containerd/containerd.sock';
const hosts = ['--hosts-dir', '/etc/containerd/certs.d'];

/** containerd, driven by its own `ctr`. It keeps blobs as they came, so that digests stay as they are. */
export const containerd: ClientKind = {
  name: 'containerd',
  programs: ['containerd', 'ctr'],
  async start(host) {
    await host.startDaemon('containerd', [], socket);
    return new ContainerdClient(host);
  },
};

class ContainerdClient implements ContainerClient {
  readonly name = 'containerd';
  readonly #host: IsolatedHost;
  /** `ctr` has no logins: user and password go with each command. */
  #user: readonly string[] = [];
  readonly #platforms = new Map<string, string>();

  constructor(host: IsolatedHost) {
    this.#host = host;
  }

  async load(layout: string, name: string): Promise<void> {
    const archive = '/root/layout.tar';
    await run('tar', ['-cf', this.#host.pathOf(archive), '-C', layout, '.']);
    // The layout's own name for the image is put behind the base.
    const base = name.slice(0, name.lastIndexOf(':'));
    await this.#images('import', '--base-name', base, '--all-platforms', archive);
    await rm(this.#host.pathOf(archive));
  }

  async tag(name: string, further: string): Promise<void> {
    await this.#images('tag', '--force', name, further);
  }

  async push(name: string): Promise<Digest> {
    await this.#images('push', ...hosts, ...this.#user, name);
    return this.#digestOf(name);
  }

  async pull(name: string, platform?: string): Promise<Digest> {
    const options = platform === undefined ? [] : ['--platform', platform];
    await this.#images('pull', ...hosts, ...this.#user, ...options, name);
    this.#platforms.set(name, platform ?? `linux/${ownArchitecture}`);
    return this.#digestOf(name);
  }

  async content(name: string): Promise<ImageContent> {
    const top = await this.#digestOf(name);
    const read = async (digest: Digest) => {
      const file = '/root/blob';
      await this.#host.run('sh', ['-c', `ctr content get ${digest} > ${file}`]);
      return readFile(this.#host.pathOf(file));
    };
    const document = JSON.parse((await read(top)).toString()) as { manifests?: IndexEntry[] };
    const wanted = this.#platforms.get(name);
    const chosen = document.manifests?.find(({ platform }) => `${platform.os}/${platform.architecture}` === wanted);
    return readContent(chosen?.digest ?? top, read);
  }

  async remove(name: string): Promise<void> {
    await this.#images('rm', '--sync', name);
  }

  async login(_registry: string, user: string, password: string): Promise<void> {
    this.#user = ['--user', `${user}:${password}`];
  }

  async logout(): Promise<void> {
    this.#user = [];
  }

  async #digestOf(name: string): Promise<Digest> {
    return digestIn(await this.#images('ls', `name==${name}`));
  }

  #images(...args: string[]): Promise<string> {
    return this.#host.run('ctr', ['images', ...args]);
  }
}

interface IndexEntry {
  readonly digest: Digest;
  readonly platform: { readonly os: string; readonly architecture: string };
}
