import { Counter, Gauge, type Registry } from 'prom-client';
import type { Swarm, SwarmStatistics } from './swarm.ts';

/** Adds a host's swarm to its metrics; each is read when the metrics are. */
export function addSwarmMetrics(metrics: Registry, swarm: Swarm): void {
  const registers = [metrics];
  new Counter({
    name: 'shoal_swarm_received_bytes_total',
    help: 'Bytes of blobs received through wires, by who sent them.',
    labelNames: ['source'],
    registers,
    collect() {
      const { receivedFromPeersBytes, receivedFromOriginsBytes } = swarm.statistics();
      this.reset();
      this.inc({ source: 'peer' }, receivedFromPeersBytes);
      this.inc({ source: 'origin' }, receivedFromOriginsBytes);
    },
  });
  const counters: [string, string, (statistics: SwarmStatistics) => number][] = [
    ['shoal_swarm_sent_bytes_total', 'Bytes of blobs handed to wires.', ({ sentBytes }) => sentBytes],
    [
      'shoal_swarm_wasted_bytes_total',
      'Bytes received twice, or that did not match.',
      ({ wastedBytes }) => wastedBytes,
    ],
    [
      'shoal_swarm_turned_away_peers_total',
      'Peers that were sent to others because a blob had all the wires that it may have.',
      ({ turnedAway }) => turnedAway,
    ],
    ['shoal_swarm_banned_peers_total', 'Peers that sent bytes which do not match.', ({ banned }) => banned],
  ];
  for (const [name, help, read] of counters) {
    new Counter({
      name,
      help,
      registers,
      collect() {
        this.reset();
        this.inc(read(swarm.statistics()));
      },
    });
  }
  const gauges: [string, string, (statistics: SwarmStatistics) => number][] = [
    ['shoal_swarm_wires', 'Wires to peers that are open.', ({ wires }) => wires],
    ['shoal_swarm_downloads', 'Blobs that are being fetched.', ({ downloads }) => downloads],
    ['shoal_swarm_loaded_blobs', 'Blobs with wires or open files, downloads too.', ({ loaded }) => loaded],
    ['shoal_swarm_processes', 'Processes besides the first that swarms were handed to.', ({ processes }) => processes],
    ['shoal_swarm_offered_blobs', 'Whole blobs that are offered to peers.', ({ seeding }) => seeding],
  ];
  for (const [name, help, read] of gauges) {
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read(swarm.statistics()));
      },
    });
  }
}
