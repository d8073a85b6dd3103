import { createHash } from 'node:crypto';
import { onTestFinished } from 'vitest';
import { BuildIndexClient } from '../../src/build-index/client.ts';
import { type CaStore, openCaStore } from '../../src/castore/index.ts';
import type { Digest } from '../../src/core/index.ts';
import { OriginCluster } from '../../src/origin/client.ts';
import { TrackerClient } from '../../src/tracker/client.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import { StandInBuildIndex } from './stand-in-build-index.ts';
import { StandInOrigin, startTracker } from './stand-in-origin.ts';
import { clusterToken, type StandInService } from './stand-in-service.ts';

/** Servers for all programs that a transferer talks to, clients to them, and a store: all end with the test. */
export interface StandInCluster {
  readonly index: StandInBuildIndex;
  readonly origin: StandInOrigin;
  readonly trackerService: StandInService;
  readonly buildIndex: BuildIndexClient;
  readonly origins: OriginCluster;
  readonly tracker: TrackerClient;
  readonly castore: CaStore;
  /** All requests so far, of all programs. */
  requests(): readonly string[];
}

/** @param more origins beside the first, which holds the blobs that the build-index knows the length of */
export async function startCluster(more: readonly StandInOrigin[] = []): Promise<StandInCluster> {
  const origin = await StandInOrigin.start();
  const index = await StandInBuildIndex.start((digest) => origin.blobs.get(digest)?.length);
  const trackerService = await startTracker(origin);
  const buildIndex = new BuildIndexClient({ baseUrl: index.service.baseUrl, clusterToken });
  const baseUrls = [origin, ...more].map(({ service }) => service.baseUrl);
  const origins = new OriginCluster({ baseUrls, clusterToken });
  const tracker = new TrackerClient({ baseUrls: [trackerService.baseUrl], clusterToken });
  const castore = await openStore();
  onTestFinished(() => buildIndex.close());
  onTestFinished(() => origins.close());
  onTestFinished(() => tracker.close());
  const services = [index.service, origin.service, trackerService];
  const requests = () => services.flatMap((service) => service.requests);
  return { index, origin, trackerService, buildIndex, origins, tracker, castore, requests };
}

/** A store of its own in a folder of its own. */
export async function openStore(capacityBytes = 256 * 1024 * 1024): Promise<CaStore> {
  const castore = await openCaStore({ directory: await makeTempDir(), capacityBytes });
  onTestFinished(() => castore.close());
  return castore;
}

/** A blob at the origin that is linked in a repository as a layer. */
export function addLayer({ origin, index }: StandInCluster, repository: string, bytes: Buffer): Digest {
  const digest = origin.add(bytes);
  index.link(repository, 'layer', digest);
  return digest;
}

/** Bytes that nothing compresses or repeats, the same for the same seed. */
export function seededBytes(length: number, seed = 'seed'): Buffer {
  const parts: Buffer[] = [];
  for (let made = 0, counter = 0; made < length; counter++) {
    const part = createHash('sha512').update(`${seed} ${counter}`).digest();
    parts.push(part);
    made += part.length;
  }
  return Buffer.concat(parts).subarray(0, length);
}
