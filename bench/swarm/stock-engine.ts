import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { torrentFile } from '../../src/core/index.ts';
import type { RemoteChild } from '../lib/remote-child.ts';
import type { StockCalls } from '../lib/stock-calls.ts';
import { type StockClientName, stockCommand } from '../lib/stock-clients.ts';
import type { PreparedSwarm, Scene, SwarmEngine, SwarmProcess } from './engine.ts';
import { type HostPull, hostName, originName } from './engine.ts';
import { dialPlan } from './random-graph.ts';

const PORT = 6881;

/**
 * A stock client on every host, and on the origins as seeders. They need no tracker: each is told its peers at the start, and
 * has the torrent open before, which is more than a pull through Shoal gets.
 */
export class StockEngine implements SwarmEngine {
  readonly label: StockClientName;

  constructor(client: StockClientName) {
    this.label = client;
  }

  async prepare(scene: Scene): Promise<PreparedSwarm> {
    const { workbench, network, settings, blob } = scene;
    const command = await stockCommand(this.label);
    const torrent = join(workbench.directory, 'blob.torrent');
    await writeFile(torrent, torrentFile(blob.metainfo, 'http://127.0.0.1:9/announce'));
    const load = async (name: string, seed: boolean) => {
      const directory = seed ? blob.directory : join(workbench.directory, name);
      await mkdir(directory, { recursive: true });
      const child = workbench.startRemote<StockCalls>(name, network.commandOn(name, command));
      await child.call('load', { torrent, directory, seed, host: network.addressOf(name), port: PORT });
      return child;
    };
    const [origins, hosts] = await Promise.all([
      Promise.all(Array.from({ length: settings.origins }, (_, index) => load(originName(index), true))),
      Promise.all(Array.from({ length: settings.hosts }, (_, index) => load(hostName(index), index < settings.warm))),
    ]);
    return new StockSwarm(scene, origins, hosts);
  }
}

class StockSwarm implements PreparedSwarm {
  readonly #scene: Scene;
  readonly #origins: readonly RemoteChild<StockCalls>[];
  readonly #hosts: readonly RemoteChild<StockCalls>[];
  readonly #dials: readonly (readonly string[])[];

  constructor(scene: Scene, origins: readonly RemoteChild<StockCalls>[], hosts: readonly RemoteChild<StockCalls>[]) {
    this.#scene = scene;
    this.#origins = origins;
    this.#hosts = hosts;
    const { settings } = scene;
    this.#dials = dialPlan({
      hosts: hosts.map(({ name }) => name),
      seeders: origins.map(({ name }) => name),
      ...(settings.degree === undefined ? {} : { degree: settings.degree }),
      random: Math.random,
    });
  }

  get processes(): SwarmProcess[] {
    const hosts = this.#hosts.map(({ name, pid }) => ({ name, kind: 'agent' as const, pid }));
    return [...hosts, ...this.#origins.map(({ name, pid }) => ({ name, kind: 'origin' as const, pid }))];
  }

  async pull(host: number, atMs: number): Promise<HostPull> {
    const child = this.#hosts[host]!;
    const peers = this.#dials[host]!.map((name) => ({ host: this.#scene.network.addressOf(name), port: PORT }));
    const { lastByteMs } = await child.call('start', { atMs, peers });
    const { receivedBytes } = await child.call('progress', {});
    const wasted = Math.max(0, receivedBytes - this.#scene.blob.sizeBytes);
    return { lastByteMs, bytes: { received: receivedBytes, wasted } };
  }

  async progress(host: number): Promise<{ bytes: number }> {
    return { bytes: (await this.#hosts[host]!.call('progress', {})).haveBytes };
  }

  async committed(): Promise<undefined> {
    return undefined; // Neither client syncs.
  }

  kill(host: number): Promise<void> {
    return this.#hosts[host]!.kill();
  }

  async originSentBytes(): Promise<number> {
    const answers = await Promise.all(this.#origins.map((origin) => origin.call('progress', {})));
    return answers.reduce((sum, { sentBytes }) => sum + sentBytes, 0);
  }
}
