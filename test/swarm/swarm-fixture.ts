import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { type CaStore, type FileOps, openCaStore } from '../../src/castore/index.ts';
import { type Digest, encodeMetainfo, hashBytes, type Metainfo, systemClock } from '../../src/core/index.ts';
import {
  type AnnouncedPeer,
  type Announcer,
  generateMetainfo,
  openSwarm,
  type SeedShare,
  type Swarm,
  type SwarmConfig,
} from '../../src/swarm/index.ts';
import { testLogger } from '../helpers/logger.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';

export const clusterSecret = 'a secret of the tests';

/** A blob of random bytes with its metainfo. */
export async function makeBlob(length: number): Promise<{ bytes: Buffer; digest: Digest; metainfo: Metainfo }> {
  const bytes = randomBytes(length);
  const digest = hashBytes(bytes);
  return { bytes, digest, metainfo: await generateMetainfo(digest, length, chunksOf(bytes)) };
}

async function* chunksOf(bytes: Buffer): AsyncIterable<Buffer> {
  for (let offset = 0; offset < bytes.length; offset += 100_000) yield bytes.subarray(offset, offset + 100_000);
}

/** A tracker in this process: hands every peer of a swarm to everyone who wants some. */
export class LocalTracker implements Announcer {
  readonly swarms = new Map<string, Map<string, AnnouncedPeer>>();
  /** Announces that came in, and reports of single swarms in them. */
  announces = 0;
  reports = 0;
  intervalMs = 200;
  down = false;
  /** Which peers are handed out. */
  handsOut: (peer: AnnouncedPeer) => boolean = () => true;
  readonly #hosts = new Set<string>();

  async announce(request: Parameters<Announcer['announce']>[0]): ReturnType<Announcer['announce']> {
    if (this.down) throw new Error('the tracker is down');
    this.announces++;
    const { peerId, port, origin, full, since } = request;
    // Whoever reports changes only, and is not known, is asked for everything.
    if (full !== true && since !== undefined && !this.#hosts.has(peerId)) {
      return { intervalMs: this.intervalMs, full: true, swarms: {} };
    }
    this.#hosts.add(peerId);
    if (full === true) for (const peers of this.swarms.values()) peers.delete(peerId);
    const answer: Record<string, AnnouncedPeer[]> = {};
    for (const { swarmId, event, complete, eighths, want } of request.swarms) {
      this.reports++;
      const peers = this.#peersOf(swarmId);
      if (event === 'stopped') peers.delete(peerId);
      else peers.set(peerId, { id: peerId, host: '127.0.0.1', port, origin, complete, eighths });
      if (want > 0) answer[swarmId] = [...peers.values()].filter((peer) => peer.id !== peerId && this.handsOut(peer));
    }
    return { intervalMs: this.intervalMs, swarms: answer };
  }

  /** Adds a peer that does not announce by itself. */
  add(swarmId: string, peer: { peerId: Buffer; port: number }): void {
    const id = peer.peerId.toString('hex');
    const { port } = peer;
    this.#peersOf(swarmId).set(id, { id, host: '127.0.0.1', port, origin: false, complete: true, eighths: 8 });
  }

  #peersOf(swarmId: string): Map<string, AnnouncedPeer> {
    const peers = this.swarms.get(swarmId) ?? new Map<string, AnnouncedPeer>();
    this.swarms.set(swarmId, peers);
    return peers;
  }
}

/** One host of a test: a store of its own and its part in the swarms. Closed with the test. */
export interface TestHost {
  readonly castore: CaStore;
  readonly swarm: Swarm;
  readonly directory: string;
  /** Closes swarm and store in order; a second call does nothing. */
  stop(): Promise<void>;
}

/** What hosts of tests have, unless told otherwise; they stay in one process. */
export const defaultSwarmConfig: SwarmConfig = {
  host: '127.0.0.1',
  port: 0,
  wantedPeers: 10,
  maxWiresPerBlob: 16,
  originWiresPerBlob: 60,
  maxConnections: 200,
  maxConnectionsPerAddress: 256,
  acceptsPerSecond: 50,
  maxDownloads: 250,
  egressBytesPerSecond: 0,
  ingressBytesPerSecond: 0,
  seedingEgressBytesPerSecond: 0,
  foreignClients: true,
  processes: 0,
  processPort: 0,
  idleSeconds: 60,
  seedIdleSeconds: 3600,
};

export async function startHost(
  announcer: Announcer,
  options: {
    origin?: boolean;
    config?: Partial<SwarmConfig>;
    directory?: string;
    capacityBytes?: number;
    random?: () => number;
    files?: FileOps;
  } = {},
): Promise<TestHost> {
  const directory = options.directory ?? join(await makeTempDir(), 'castore');
  const { files } = options;
  const castore = await openCaStore({
    directory,
    capacityBytes: options.capacityBytes ?? 10 * 2 ** 30,
    ...(files === undefined ? {} : { files }),
  });
  const swarm = await openSwarm({
    config: { ...defaultSwarmConfig, ...options.config },
    castore,
    announcer,
    secret: clusterSecret,
    origin: options.origin ?? false,
    logger: testLogger(),
    clock: systemClock,
    random: options.random ?? Math.random,
  });
  let stopped: Promise<void> | undefined;
  const stop = () => {
    stopped ??= swarm.close().then(() => castore.close());
    return stopped;
  };
  onTestFinished(stop);
  return { castore, swarm, directory, stop };
}

/** Puts a blob into a host's store and offers it; `share` tells several origins apart. */
export async function seedOn(
  host: TestHost,
  blob: { bytes: Buffer; digest: Digest; metainfo: Metainfo },
  share?: SeedShare,
): Promise<void> {
  await host.castore.blobs.put(blob.digest, blob.bytes);
  await host.castore.blobs.putMetainfo(blob.digest, encodeMetainfo(blob.metainfo));
  host.swarm.seed(blob.metainfo, undefined, share);
}

/** The bytes of a committed blob. */
export async function readBlob(host: TestHost, digest: Digest): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of await host.castore.blobs.open(digest)) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
