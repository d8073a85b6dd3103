/**
 * A stock WebTorrent client that answers calls: what Shoal's swarm is compared with. Its own settings throughout, but only
 * TCP, and only the peers that it is told of.
 */
import type { EventEmitter } from 'node:events';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { monotonicMs, untilMs } from './monotonic.ts';
import { serveCalls } from './remote-calls.ts';
import type { StockCalls } from './stock-calls.ts';

/** The published members that are used; the types beside `src/swarm` cover those that Shoal uses itself. */
interface StockTorrent extends EventEmitter {
  readonly ready: boolean;
  readonly done: boolean;
  readonly downloaded: number;
  readonly received: number;
  readonly uploaded: number;
  addPeer(address: string): boolean;
}
interface StockClient extends EventEmitter {
  readonly listening: boolean;
  add(torrent: Uint8Array, options: object): StockTorrent;
}
type StockModule = { readonly default: new (options: object) => StockClient };

const { default: WebTorrent } = (await import('webtorrent')) as unknown as StockModule;

let torrent: StockTorrent;

serveCalls<StockCalls>({
  load: async ({ torrent: file, directory, seed, host, port }) => {
    const off = { dht: false, lsd: false, tracker: false, utp: false, natUpnp: false, natPmp: false, webSeeds: false };
    const client = new WebTorrent({ ...off, torrentPort: { host, port } });
    client.on('error', fail);
    if (!client.listening) await once(client, 'listening');
    torrent = client.add(await readFile(file), { path: directory, announce: [], skipVerify: seed });
    torrent.on('error', fail);
    if (!torrent.ready) await once(torrent, 'ready');
    return {};
  },
  start: async ({ atMs, peers }) => {
    await untilMs(atMs);
    for (const { host, port } of peers) torrent.addPeer(`${host}:${port}`);
    if (!torrent.done) await once(torrent, 'done');
    return { lastByteMs: monotonicMs() - atMs };
  },
  progress: async () => {
    return { haveBytes: torrent.downloaded, receivedBytes: torrent.received, sentBytes: torrent.uploaded };
  },
});

/** The parent learns of it when this process ends. */
function fail(error: unknown): void {
  console.error(error);
  process.exit(1);
}
