import type { FlagValues } from './options.ts';

/** The bench's hosts: links shaped on the wire, of which TCP and IP headers take 4.4 % (frames of 1,500 bytes). */
const eight = {
  'header-share': '0.044',
  latency: '0.1',
  hosts: '8',
  origins: '1',
  rate: '50mbit',
  blobs: '64MiB',
} as const;

/** Hosts that are limited to 300 MB/s by `swarm.egressBytesPerSecond`, as in Kraken's own test: so Shoal chooses whom it serves. */
const fleet = { rate: '300MB/s', origins: '5', 'serve-order': 'mixed' } as const;

/** Cases by name: the first ones are the bench's own topologies, the others are fleets that no bench can have. */
export const cases: Readonly<Record<string, FlagValues>> = {
  eight,
  sparse: { ...eight, hosts: '24', rate: '20mbit', degree: '10' },
  slow: { ...eight, slow: '1:5mbit' },
  kill: { ...eight, kill: '1/3@0.5' },
  arrivals: { ...eight, arrivals: 'even:10.74s' },
  'two-origins': { ...eight, origins: '2' },
  kraken: { ...fleet, hosts: '2600', blobs: '2x1.5GB' },
  fleet: { ...fleet, hosts: '15000', blobs: '2x1.5GB' },
  wide: { ...fleet, hosts: '10000', blobs: '1x10GB' },
  long: { ...fleet, hosts: '1000', blobs: '1x100GB' },
};
