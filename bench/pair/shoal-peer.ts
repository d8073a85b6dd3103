/** One end of a pair: a process with a store and a swarm of Shoal, and no tracker: it is told the other end's address. */
import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { pino } from 'pino';
import { Default } from 'typebox/value';
import { decodeMetainfo, type Metainfo, systemClock } from '../../src/core/index.ts';
import type { Announcer, SwarmConfig } from '../../src/swarm/index.ts';
import { monotonicMs, untilMs } from '../lib/monotonic.ts';
import { serveCalls } from '../lib/remote-calls.ts';
import type { PairCalls, PeerParams } from './pair-calls.ts';

type Answer = Awaited<ReturnType<Announcer['announce']>>;
type KnownPeers = Answer['swarms'][string];

const SECRET = 'a secret that both ends know';

/** Told to both ends by the program that started them; nobody else is asked. */
class HandedAnnouncer implements Announcer {
  peers: KnownPeers = [];

  async announce(request: Parameters<Announcer['announce']>[0]): Promise<Answer> {
    const swarms = Object.fromEntries(request.swarms.map(({ swarmId }) => [swarmId, this.peers]));
    return { intervalMs: 60_000, swarms };
  }
}

const announcer = new HandedAnnouncer();
let peer: Awaited<ReturnType<typeof openPeer>>;

serveCalls<PairCalls>({
  seed: async (params) => {
    peer = await openPeer(params, true);
    const { swarm, castore, metainfo, encoded } = peer;
    await castore.blobs.put(metainfo.digest, createReadStream(params.file));
    await castore.blobs.putMetainfo(metainfo.digest, encoded);
    swarm.seed(metainfo);
    return { peerId: swarm.peerId, port: swarm.port };
  },
  open: async (params) => {
    peer = await openPeer(params, false);
    return {};
  },
  fetch: async ({ atMs, peerId, host, port }) => {
    const seeder = { id: peerId, host, port, origin: true, complete: true, eighths: 8 };
    announcer.peers = [seeder];
    await untilMs(atMs);
    const download = await peer.swarm.fetch(peer.metainfo);
    await download.verified;
    const verifiedMs = monotonicMs() - atMs;
    await download.finished;
    return { verifiedMs, committedMs: monotonicMs() - atMs };
  },
});

async function openPeer({ checkout, directory, host, metainfoFile }: PeerParams, origin: boolean) {
  const { openCaStore } = await importFrom<typeof import('../../src/castore/index.ts')>(checkout, 'castore');
  const { openSwarm, SwarmConfigSchema } = await importFrom<typeof import('../../src/swarm/index.ts')>(
    checkout,
    'swarm',
  );
  const encoded = await readFile(metainfoFile);
  const metainfo: Metainfo = decodeMetainfo(encoded);
  const castore = await openCaStore({ directory, capacityBytes: 64 * 2 ** 30 });
  const swarm = await openSwarm({
    config: Default(SwarmConfigSchema, { host }) as SwarmConfig,
    castore,
    announcer,
    secret: SECRET,
    origin,
    logger: pino({ level: 'silent' }),
    clock: systemClock,
    random: Math.random,
  });
  return { castore, swarm, metainfo, encoded };
}

/** A component of the checkout that is measured, which need not be this one. */
async function importFrom<Module>(checkout: string, folder: string): Promise<Module> {
  return (await import(pathToFileURL(join(checkout, 'src', folder, 'index.ts')).href)) as Module;
}
