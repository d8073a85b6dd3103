import { availableParallelism } from 'node:os';
import type { CaStore } from '../castore/index.ts';
import { HostSwarm, type SwarmDeps as HostSwarmDeps } from './host-swarm.ts';
import { MeasuredBusyness } from './process/loop-busyness.ts';
import { SwarmOfProcesses } from './process/swarm-of-processes.ts';
import type { Swarm } from './swarm.ts';

/** What a host's swarm is made of. */
export interface SwarmDeps extends HostSwarmDeps {
  readonly castore: CaStore;
}

/** A peer process that has nothing to do stays for this long. */
const EMPTY_MS = 60_000;

/** Opens this host's port, and offers every blob of the store that has metainfo. The caller closes it. */
export async function openSwarm(deps: SwarmDeps): Promise<Swarm> {
  const local = await HostSwarm.open(deps);
  const most = Math.min(deps.config.processes, availableParallelism() - 1);
  if (most <= 0) return local;
  return new SwarmOfProcesses({ ...deps, local, busyness: new MeasuredBusyness(), most, emptyMs: EMPTY_MS });
}
