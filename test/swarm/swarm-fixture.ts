import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { type CaStore, openCaStore } from '../../src/castore/index.ts';
import { type Digest, encodeMetainfo, hashBytes, type Metainfo, systemClock } from '../../src/core/index.ts';
import {
  type AnnouncedPeer,
  type Announcer,
  generateMetainfo,
  openSwarm,
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
  down = false;

  async announce(request: Parameters<Announcer['announce']>[0]): ReturnType<Announcer['announce']> {
    if (this.down) throw new Error('the tracker is down');
    const answer: Record<string, AnnouncedPeer[]> = {};
    for (const { swarmId, event, complete, want } of request.swarms) {
      const peers = this.swarms.get(swarmId) ?? new Map<string, AnnouncedPeer>();
      this.swarms.set(swarmId, peers);
      const { peerId, port, origin } = request;
      if (event === 'stopped') peers.delete(peerId);
      else peers.set(peerId, { id: peerId, host: '127.0.0.1', port, origin, complete });
      if (want > 0) answer[swarmId] = [...peers.values()].filter((peer) => peer.id !== peerId);
    }
    return { intervalMs: 200, swarms: answer };
  }

  /** Adds a peer that does not announce by itself. */
  add(swarmId: string, peer: { peerId: Buffer; port: number }): void {
    const peers = this.swarms.get(swarmId) ?? new Map<string, AnnouncedPeer>();
    this.swarms.set(swarmId, peers);
    const id = peer.peerId.toString('hex');
    peers.set(id, { id, host: '127.0.0.1', port: peer.port, origin: false, complete: true });
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

const defaults: SwarmConfig = {
  host: '127.0.0.1',
  port: 0,
  maxWiresPerBlob: 30,
  wantedPeers: 10,
  maxConnections: 200,
  egressBytesPerSecond: 0,
  ingressBytesPerSecond: 0,
  foreignClients: true,
  idleSeconds: 60,
};

export async function startHost(
  announcer: Announcer,
  options: { origin?: boolean; config?: Partial<SwarmConfig>; directory?: string; random?: () => number } = {},
): Promise<TestHost> {
  const directory = options.directory ?? join(await makeTempDir(), 'castore');
  const castore = await openCaStore({ directory, capacityBytes: 10 * 2 ** 30 });
  const swarm = await openSwarm({
    config: { ...defaults, ...options.config },
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

/** Puts a blob into a host's store and offers it. */
export async function seedOn(
  host: TestHost,
  blob: { bytes: Buffer; digest: Digest; metainfo: Metainfo },
): Promise<void> {
  await host.castore.blobs.put(blob.digest, blob.bytes);
  await host.castore.blobs.putMetainfo(blob.digest, encodeMetainfo(blob.metainfo));
  host.swarm.seed(blob.metainfo);
}

/** The bytes of a committed blob. */
export async function readBlob(host: TestHost, digest: Digest): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of await host.castore.blobs.open(digest)) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
