import type { Logger } from 'pino';
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { PeerStore, PeerStoreSize } from './peer-store.ts';

/** Who announced: Shoal's own hosts, or foreign BitTorrent clients. */
export type AnnounceKind = 'cluster' | 'foreign';

/** How a request for metainfo went: kept, asked of the origins, and of the latter those that failed. */
export type MetainfoResult = 'hit' | 'miss' | 'not_found' | 'failed';

/** What the tracker counts. */
export interface TrackerMetrics {
  /** Counts an announce that was answered, with how long it took. */
  announced(kind: AnnounceKind, seconds: number): void;
  /** Counts an announce that was refused or failed. */
  announceFailed(kind: AnnounceKind): void;
  metainfoRequested(result: MetainfoResult): void;
}

/** Registers the tracker's metrics in its program's registry. */
export function createTrackerMetrics(deps: {
  registry: Registry;
  peerStore: PeerStore;
  logger: Logger;
}): TrackerMetrics {
  const registers = [deps.registry];
  const announces = new Counter({
    name: 'shoal_tracker_announces_total',
    help: 'Announces answered, by who announced (cluster or foreign).',
    labelNames: ['kind'],
    registers,
  });
  const failures = new Counter({
    name: 'shoal_tracker_announce_failures_total',
    help: 'Announces refused or failed, by who announced.',
    labelNames: ['kind'],
    registers,
  });
  const seconds = new Histogram({
    name: 'shoal_tracker_announce_seconds',
    help: 'Time from an announce that has arrived to its answer.',
    labelNames: ['kind'],
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 2.5],
    registers,
  });
  const metainfo = new Counter({
    name: 'shoal_tracker_metainfo_requests_total',
    help: 'Requests for metainfo: hit (kept here) or miss; a miss that failed counts as not_found or failed too.',
    labelNames: ['result'],
    registers,
  });
  addSizeGauges(deps);
  return {
    announced: (kind, took) => {
      announces.inc({ kind });
      seconds.observe({ kind }, took);
    },
    announceFailed: (kind) => failures.inc({ kind }),
    metainfoRequested: (result) => metainfo.inc({ result }),
  };
}

function addSizeGauges(deps: { registry: Registry; peerStore: PeerStore; logger: Logger }): void {
  addSizeGauge('shoal_tracker_swarms', 'Swarms that have peers.', ({ swarms }) => swarms, deps);
  addSizeGauge('shoal_tracker_peers', 'Peers by id, however many swarms each is in.', ({ peers }) => peers, deps);
}

function addSizeGauge(
  name: string,
  help: string,
  read: (size: PeerStoreSize) => number,
  { registry, peerStore, logger }: { registry: Registry; peerStore: PeerStore; logger: Logger },
): void {
  new Gauge({
    name,
    help,
    registers: [registry],
    async collect() {
      try {
        this.set(read(await peerStore.size()));
      } catch (error) {
        // The other metrics are most wanted just when the store is away; this one keeps its last value.
        logger.debug({ err: error }, 'the peer store could not be counted');
      }
    },
  });
}
