import type { SwarmLimits, SwarmStatistics } from '../swarm.ts';
import { shareOut } from './limit-shares.ts';

/** One of the processes that share the host's limits. */
export interface LimitedProcess {
  /** Nothing before it has told them. */
  readonly sums: SwarmStatistics | undefined;
  setLimits(limits: SwarmLimits): void;
}

/** Bytes since the start of a process. */
interface Traffic {
  readonly sentBytes: number;
  readonly receivedBytes: number;
}

interface Share {
  readonly limits: SwarmLimits;
  readonly before: Traffic;
}

const NOTHING: Traffic = { sentBytes: 0, receivedBytes: 0 };
const NO_SHARE: SwarmLimits = { egressBytesPerSecond: 0, ingressBytesPerSecond: 0, seedingEgressBytesPerSecond: 0 };

/** Divides the limits of a host between its processes, by what each of them used in the last second. */
export class LimitSharing {
  #limits: SwarmLimits;
  #shares = new Map<LimitedProcess, Share>();

  constructor(limits: SwarmLimits) {
    this.#limits = limits;
  }

  /** Changes the limits that are given; they hold from the next {@link divide} on. */
  change(limits: Partial<SwarmLimits>): void {
    this.#limits = { ...this.#limits, ...limits };
  }

  /** What one process of so many gets before anything is known of it. */
  equalShare(processes: number): SwarmLimits {
    const share = (limit: number) => (limit === 0 ? 0 : Math.max(1, Math.floor(limit / processes)));
    const { egressBytesPerSecond: egress, ingressBytesPerSecond: ingress } = this.#limits;
    const { seedingEgressBytesPerSecond: seeding } = this.#limits;
    return {
      egressBytesPerSecond: share(egress),
      ingressBytesPerSecond: share(ingress),
      seedingEgressBytesPerSecond: share(seeding),
    };
  }

  /** Tells all processes their shares; called about once a second, and when a process comes or goes. */
  divide(processes: readonly LimitedProcess[]): void {
    const traffic = processes.map(({ sums }) => (sums === undefined ? NOTHING : trafficOf(sums)));
    const divided = (limit: keyof SwarmLimits, bytes: keyof Traffic) => {
      const uses = processes.map((process, index) => {
        const share = this.#shares.get(process);
        const usedBytes = traffic[index]![bytes] - (share?.before ?? NOTHING)[bytes];
        return { usedBytes, shareBytes: (share?.limits ?? NO_SHARE)[limit] };
      });
      return shareOut(this.#limits[limit], uses);
    };
    const egress = divided('egressBytesPerSecond', 'sentBytes');
    const ingress = divided('ingressBytesPerSecond', 'receivedBytes');
    const seeding = divided('seedingEgressBytesPerSecond', 'sentBytes');
    const shares = new Map<LimitedProcess, Share>();
    processes.forEach((process, index) => {
      const limits: SwarmLimits = {
        egressBytesPerSecond: egress[index]!,
        ingressBytesPerSecond: ingress[index]!,
        seedingEgressBytesPerSecond: seeding[index]!,
      };
      shares.set(process, { limits, before: traffic[index]! });
      if (!areSame(limits, this.#shares.get(process)?.limits)) process.setLimits(limits);
    });
    this.#shares = shares;
  }
}

function trafficOf(sums: SwarmStatistics): Traffic {
  const { sentBytes, receivedFromPeersBytes, receivedFromOriginsBytes } = sums;
  return { sentBytes, receivedBytes: receivedFromPeersBytes + receivedFromOriginsBytes };
}

function areSame(a: SwarmLimits, b: SwarmLimits | undefined): boolean {
  return (
    a.egressBytesPerSecond === b?.egressBytesPerSecond &&
    a.ingressBytesPerSecond === b.ingressBytesPerSecond &&
    a.seedingEgressBytesPerSecond === b.seedingEgressBytesPerSecond
  );
}
