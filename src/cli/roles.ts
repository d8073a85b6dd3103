import type { Role } from './role.ts';

/** A program by its name; its parts are loaded when it is opened, so that none pays for the libraries of another. */
export interface RoleEntry {
  readonly name: string;
  /** One sentence, for help and documentation. */
  readonly summary: string;
  open(): Promise<Role>;
}

/** The programs of a cluster. */
export const clusterRoles: readonly RoleEntry[] = [
  {
    name: 'agent',
    summary: "serve this host's container runtime from the swarm (read-only registry)",
    open: async () => (await import('./agent-role.ts')).agentRole,
  },
  {
    name: 'proxy',
    summary: 'take pushes, and hand blobs to the origins and tags to the build-index',
    open: async () => (await import('./proxy-role.ts')).proxyRole,
  },
  {
    name: 'origin',
    summary: 'keep blobs in front of the backend, and seed them',
    open: async () => (await import('./origin-role.ts')).originRole,
  },
  {
    name: 'tracker',
    summary: 'tell peers of each other, and answer metainfo',
    open: async () => (await import('./tracker-role.ts')).trackerRole,
  },
  {
    name: 'build-index',
    summary: 'keep tags, repository links and referrers',
    open: async () => (await import('./build-index-role.ts')).buildIndexRole,
  },
];

/** The plain registry, which belongs to no cluster. */
export const registryEntry: RoleEntry = {
  name: 'registry',
  summary: 'serve a plain OCI registry from a storage driver, without a swarm',
  open: async () => (await import('./registry-role.ts')).registryRole,
};

/** Everything that has a configuration. */
export const allRoles: readonly RoleEntry[] = [...clusterRoles, registryEntry];
