/**
 * A host of its own process that seeds one blob from its disk, so that its memory can be measured from outside. Started with
 * `fork(file, [directory, lengthBytes], { execArgv: ['--expose-gc'] })`; tells its port and the blob's swarm id, then its
 * memory whenever it is asked.
 */
import { createHash } from 'node:crypto';
import { Value } from 'typebox/value';
import { openCaStore } from '../../src/castore/index.ts';
import { encodeMetainfo, parseDigest, swarmIdOf, systemClock } from '../../src/core/index.ts';
import { generateMetainfo, openSwarm, SwarmConfigSchema } from '../../src/swarm/index.ts';
import { testLogger } from '../helpers/logger.ts';

/** What the process tells first. */
export interface SeedAddress {
  readonly port: number;
  readonly swarmId: string;
}

/** What it tells when it is asked. */
export interface SeedMemory {
  readonly residentBytes: number;
  readonly sentBytes: number;
}

const CHUNK = Buffer.alloc(1024 * 1024, 'the same again and again. ');
const secret = 'a secret of the tests';

async function* chunks(lengthBytes: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < lengthBytes; at += CHUNK.length)
    yield CHUNK.subarray(0, Math.min(CHUNK.length, lengthBytes - at));
}

async function digestOf(lengthBytes: number): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of chunks(lengthBytes)) hash.update(chunk);
  return `sha256:${hash.digest('hex')}`;
}

async function main(directory: string, lengthBytes: number): Promise<void> {
  const digest = parseDigest(await digestOf(lengthBytes));
  const metainfo = await generateMetainfo(digest, lengthBytes, chunks(lengthBytes));
  const castore = await openCaStore({ directory, capacityBytes: 10 * lengthBytes });
  await castore.blobs.put(digest, chunks(lengthBytes));
  await castore.blobs.putMetainfo(digest, encodeMetainfo(metainfo));
  const swarm = await openSwarm({
    config: Value.Default(SwarmConfigSchema, {}) as Parameters<typeof openSwarm>[0]['config'],
    castore,
    announcer: { announce: async () => ({ intervalMs: 60_000, swarms: {} }) },
    secret,
    origin: true,
    logger: testLogger(),
    clock: systemClock,
    random: Math.random,
  });
  swarm.seed(metainfo);
  process.on('message', () => {
    globalThis.gc?.();
    const memory: SeedMemory = {
      residentBytes: process.memoryUsage.rss(),
      sentBytes: swarm.statistics().sentBytes,
    };
    process.send?.(memory);
  });
  process.on('disconnect', () => process.exit());
  const address: SeedAddress = { port: swarm.port, swarmId: swarmIdOf(metainfo, secret) };
  process.send?.(address);
}

await main(process.argv[2]!, Number(process.argv[3]));
