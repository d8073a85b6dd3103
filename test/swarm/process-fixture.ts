import { join } from 'node:path';
import { expect, onTestFinished } from 'vitest';
import { type CaStore, openCaStore } from '../../src/castore/index.ts';
import { type Metainfo, swarmIdOf, systemClock } from '../../src/core/index.ts';
import { HostSwarm } from '../../src/swarm/host-swarm.ts';
import type { Announcer, Download, SwarmConfig } from '../../src/swarm/index.ts';
import { DelegatedDownload } from '../../src/swarm/process/delegated-download.ts';
import type { PeerProcess } from '../../src/swarm/process/peer-process.ts';
import { SwarmOfProcesses } from '../../src/swarm/process/swarm-of-processes.ts';
import { testLogger } from '../helpers/logger.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import {
  clusterSecret,
  defaultSwarmConfig,
  type LocalTracker,
  makeBlob,
  seedOn,
  startHost,
  type TestHost,
} from './swarm-fixture.ts';

const MIB = 1024 * 1024;

/** A load that the test sets. */
class SetBusyness {
  utilisation = 1;
  busyMs = 0;
  measure(): void {}
}

/** A host of a test that may start other processes. */
export interface ProcessHost extends TestHost {
  readonly swarm: SwarmOfProcesses;
  readonly busyness: SetBusyness;
}

/** A host that says it is busy, so that it hands out to other processes what it can. */
export async function startProcessHost(
  announcer: Announcer,
  options: {
    origin?: boolean;
    config?: Partial<SwarmConfig>;
    most?: number;
    emptyMs?: number;
    wrap?: (castore: CaStore) => CaStore;
  } = {},
): Promise<ProcessHost> {
  const directory = join(await makeTempDir(), 'castore');
  const castore = await openCaStore({ directory, capacityBytes: 10 * 2 ** 30 });
  const busyness = new SetBusyness();
  const wrap = options.wrap ?? ((store: CaStore) => store);
  const deps = {
    ...{
      castore: wrap(castore),
      announcer,
      secret: clusterSecret,
      origin: options.origin ?? false,
      logger: testLogger(),
    },
    ...{ clock: systemClock, random: Math.random, config: { ...defaultSwarmConfig, ...options.config } },
  };
  const local = await HostSwarm.open(deps);
  const { most = 1, emptyMs = 60_000 } = options;
  const swarm = new SwarmOfProcesses({ ...deps, local, busyness, most, emptyMs });
  let stopped: Promise<void> | undefined;
  const stop = () => {
    stopped ??= swarm.close().then(() => castore.close());
    return stopped;
  };
  onTestFinished(stop);
  return { castore, swarm, directory, stop, busyness };
}

/** Makes it start its first process, as a fetch does that finds it busy. */
export async function untilProcesses(host: ProcessHost): Promise<void> {
  const { metainfo } = await makeBlob(1);
  await (await host.swarm.fetch(metainfo)).cancel(new Error('only to make a process begin'));
  await expect.poll(() => host.swarm.processes().length, { timeout: 20_000 }).toBe(1);
}

/** Fetches a blob in the other process, once that has time: what else runs on this machine may have kept it busy. */
export async function fetchElsewhere(host: ProcessHost, metainfo: Metainfo): Promise<Download> {
  const loads = () => host.swarm.processes().map(({ status }) => status?.utilisation ?? 0);
  await expect.poll(() => Math.min(...loads()), { timeout: 20_000 }).toBeLessThan(0.8);
  const download = await host.swarm.fetch(metainfo);
  expect(download).toBeInstanceOf(DelegatedDownload);
  return download;
}

/** A blob that came in another process of a host, which offers it. */
export async function startWithBlobElsewhere(tracker: LocalTracker) {
  const blob = await makeBlob(MIB);
  const origin = await startHost(tracker, { origin: true });
  await seedOn(origin, blob);
  const host = await startProcessHost(tracker);
  await untilProcesses(host);
  await (await fetchElsewhere(host, blob.metainfo)).finished;
  const process = host.swarm.processes()[0] as PeerProcess;
  const id = swarmIdOf(blob.metainfo, clusterSecret);
  await expect.poll(() => tracker.swarms.get(id)?.get(process.peerId!)?.complete).toBe(true);
  await origin.stop();
  await expect.poll(() => tracker.swarms.get(id)?.size).toBe(1);
  return { host, blob, process };
}

/** Whether a process with this id runs. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false; // ESRCH: there is no such process.
  }
}
