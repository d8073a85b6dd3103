import { Registry } from 'prom-client';
import * as Value from 'typebox/value';
import { onTestFinished } from 'vitest';
import { BlobNotFoundError, findDigest, systemClock } from '../../src/core/index.ts';
import { createService, listen } from '../../src/http/index.ts';
import { OriginCluster } from '../../src/origin/client.ts';
import { originRoutes } from '../../src/origin/protocol.ts';
import { TrackerClient } from '../../src/tracker/client.ts';
import {
  MemoryPeerStore,
  type PeerStore,
  type TrackerConfig,
  TrackerConfigSchema,
  TrackerServer,
} from '../../src/tracker/index.ts';
import { testLogger } from '../helpers/logger.ts';
import type { TestBlob } from './blobs.ts';
import { FakeClock, seededRandom } from './values.ts';

export const TOKEN = 'token-of-the-test-cluster-0123456789abcdef';
export const SECRET = 'secret-of-the-test-cluster';

/** What a test's tracker is made of, where it differs. */
export interface RunningTrackerOptions {
  readonly config?: Partial<TrackerConfig>;
  readonly originUrls?: readonly string[];
  readonly peerStore?: PeerStore;
}

/** A tracker on a free port with a client; both are closed when the test is over. Time stands still for its peers. */
export async function startTracker(options: RunningTrackerOptions = {}) {
  const { config: part = {}, originUrls = [] } = options;
  const clock = new FakeClock();
  const random = seededRandom();
  const peerStore =
    options.peerStore ?? new MemoryPeerStore({ clock, random, logger: testLogger(), maxEntries: 1_000_000 });
  const listenAt = { host: '127.0.0.1', port: 0 };
  const config = Value.Default(TrackerConfigSchema, { listen: listenAt, ...part }) as TrackerConfig;
  const origins = new OriginCluster({ baseUrls: originUrls, clusterToken: TOKEN });
  const server = await TrackerServer.start(config, {
    logger: testLogger(),
    metrics: new Registry(),
    clusterToken: TOKEN,
    swarmSecret: SECRET,
    origins,
    peerStore,
    clock: systemClock,
    random,
  });
  const url = `http://127.0.0.1:${server.port}`;
  const client = new TrackerClient({ baseUrls: [url], clusterToken: TOKEN });
  onTestFinished(async () => {
    await client.close();
    await server.close();
    await origins.close();
    await peerStore.close();
  });
  return { server, port: server.port, url, client, clock };
}

/** Stands in for an origin: answers metainfo of some blobs, when it is let, and counts what it is asked. */
export class OriginStandIn {
  readonly url: string;
  /** Digests that were asked for. */
  readonly asked: string[] = [];
  /** Requests whose caller went away before its answer. */
  abandoned = 0;
  #gate: Promise<void> = Promise.resolve();

  static async start(blobs: readonly TestBlob[]): Promise<OriginStandIn> {
    const answers = new Map<string, Buffer>(blobs.map(({ digest, answer }) => [digest, answer]));
    const app = createService({
      role: 'origin',
      clusterToken: TOKEN,
      logger: testLogger(),
      metrics: new Registry(),
      ready: async () => {},
    });
    const holder: { origin?: OriginStandIn } = {};
    app.get(originRoutes.inline(':digest'), async (request, reply) => {
      const { digest } = request.params as { digest: string };
      const origin = holder.origin!;
      origin.asked.push(findDigest(digest) ?? 'malformed');
      reply.raw.once('close', () => {
        if (!reply.raw.writableFinished) origin.abandoned++;
      });
      await origin.#gate;
      const answer = answers.get(digest);
      if (answer === undefined) throw new BlobNotFoundError(`no blob ${digest}`);
      return reply.type('application/octet-stream').send(answer);
    });
    const port = await listen(app, 'origin', { host: '127.0.0.1', port: 0 });
    onTestFinished(() => app.close());
    holder.origin = new OriginStandIn(`http://127.0.0.1:${port}`);
    return holder.origin;
  }

  private constructor(url: string) {
    this.url = url;
  }

  /** Holds all answers back until the returned function is called. */
  hold(): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#gate = promise;
    return resolve;
  }
}
