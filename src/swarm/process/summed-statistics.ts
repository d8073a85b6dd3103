import type { SwarmStatistics } from '../swarm.ts';

/** Nothing yet. */
export const NO_STATISTICS: SwarmStatistics = {
  receivedFromPeersBytes: 0,
  receivedFromOriginsBytes: 0,
  wastedBytes: 0,
  sentBytes: 0,
  wires: 0,
  downloads: 0,
  seeding: 0,
  loaded: 0,
  turnedAway: 0,
  banned: 0,
  processes: 0,
};

/** The sum of two, field by field. */
export function sumOf(a: SwarmStatistics, b: SwarmStatistics): SwarmStatistics {
  return {
    receivedFromPeersBytes: a.receivedFromPeersBytes + b.receivedFromPeersBytes,
    receivedFromOriginsBytes: a.receivedFromOriginsBytes + b.receivedFromOriginsBytes,
    wastedBytes: a.wastedBytes + b.wastedBytes,
    sentBytes: a.sentBytes + b.sentBytes,
    wires: a.wires + b.wires,
    downloads: a.downloads + b.downloads,
    seeding: a.seeding + b.seeding,
    loaded: a.loaded + b.loaded,
    turnedAway: a.turnedAway + b.turnedAway,
    banned: a.banned + b.banned,
    processes: a.processes + b.processes,
  };
}

/** What stays of the statistics of a process that has ended: what it has counted, and nothing that it had. */
export function countsOf(statistics: SwarmStatistics): SwarmStatistics {
  return { ...statistics, wires: 0, downloads: 0, seeding: 0, loaded: 0, processes: 0 };
}
