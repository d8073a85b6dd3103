import { join } from 'node:path';
import { BenchUsageError } from '../lib/errors.ts';
import type { ProgramConfig } from './shoal-programs.ts';

/** A setting of one role from the command line: `agent.swarm.wantedPeers=10`. */
export interface ConfigOverride {
  readonly role: string;
  readonly path: readonly string[];
  readonly value: unknown;
}

const ROLES = ['agent', 'origin', 'tracker', 'proxy', 'build-index'];

/** Reads `ROLE.section.key=VALUE`; the value is JSON, or else text. @throws BenchUsageError */
export function parseOverride(text: string): ConfigOverride {
  const at = text.indexOf('=');
  const [role = '', ...path] = text.slice(0, at).split('.');
  if (at > 0 && ROLES.includes(role) && path.length > 0 && path.every((key) => /^[A-Za-z0-9]+$/.test(key))) {
    return { role, path, value: readValue(text.slice(at + 1)) };
  }
  throw new BenchUsageError(
    `"${text}" is no setting: expected ROLE.section.key=VALUE, ROLE one of ${ROLES.join(', ')}`,
  );
}

function readValue(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text; // Text needs no quotes on a command line.
  }
}

/** A configuration with the settings for its role put over it. */
export function overridden(role: string, config: ProgramConfig, overrides: readonly ConfigOverride[]): ProgramConfig {
  const result = structuredClone(config) as Record<string, unknown>;
  for (const override of overrides.filter((candidate) => candidate.role === role)) {
    let section = result;
    for (const key of override.path.slice(0, -1)) {
      const inner = section[key];
      const next = typeof inner === 'object' && inner !== null ? (inner as Record<string, unknown>) : {};
      section[key] = next;
      section = next;
    }
    section[override.path.at(-1)!] = override.value;
  }
  return result;
}

/** Where each program of a bench's cluster is reached. Proxy and agents take requests from their own host only. */
export interface ClusterPlan {
  readonly directory: string;
  readonly tokenFile: string;
  readonly controlAddress: string;
  readonly originAddresses: readonly string[];
  readonly hostAddresses: readonly string[];
  /** Peers that an agent tries to have. */
  readonly degree?: number;
  readonly overrides: readonly ConfigOverride[];
}

/** A program to be started. */
export interface PlannedProgram {
  readonly name: string;
  readonly role: string;
  /** Its base URL, from the host that it runs on. */
  readonly url: string;
  readonly config: ProgramConfig;
}

/** A replica writes back what another origin took, too; the bench waits until all have done so. */
const REPLICA_DELAY_MS = 500;

/** The defaults of `docs/configuration.md`, as a fleet would have them; addresses and folders are set, and what is waited for. */
export function planPrograms(plan: ClusterPlan) {
  const { directory, controlAddress } = plan;
  const urlOf = (listen: { host: string; port: number }) => `http://${listen.host}:${listen.port}`;
  const listenOn = (host: string, port: number) => ({ host, port });
  const tracker = listenOn(controlAddress, 15003);
  const buildIndex = listenOn(controlAddress, 15004);
  const proxy = listenOn('127.0.0.1', 15000);
  const origins = plan.originAddresses.map((address) => listenOn(address, 15002));
  const urls = { trackers: [urlOf(tracker)], origins: origins.map(urlOf), buildIndex: urlOf(buildIndex) };
  const backend = { driver: 'filesystem', parameters: { rootdirectory: join(directory, 'backend') } };
  const castore = (name: string) => ({ directory: join(directory, name), capacityBytes: 64 * 2 ** 30 });
  const program = (name: string, role: string, listen: { host: string; port: number }, own: ProgramConfig) => {
    const config = { listen, cluster: { tokenFile: plan.tokenFile }, log: { level: 'warn' }, ...own };
    return { name, role, url: urlOf(listen), config: overridden(role, config, plan.overrides) };
  };
  return {
    tracker: program('tracker', 'tracker', tracker, { origins: urls.origins }),
    buildIndex: program('build-index', 'build-index', buildIndex, { backend, origins: urls.origins }),
    proxy: program('proxy', 'proxy', proxy, {
      origins: urls.origins,
      buildIndex: urls.buildIndex,
      castore: castore('proxy'),
    }),
    origins: origins.map((listen, index) => {
      const members = { members: urls.origins, selfUrl: urlOf(listen), trackers: urls.trackers };
      const swarm = { host: listen.host };
      const writeBack = { replicaDelayMs: REPLICA_DELAY_MS };
      const name = `origin${index}`;
      return program(name, 'origin', listen, { ...members, backend, writeBack, swarm, castore: castore(name) });
    }),
    agents: plan.hostAddresses.map((host, index) => {
      const swarm = { host, ...(plan.degree === undefined ? {} : { wantedPeers: plan.degree }) };
      const own = { ...urls, swarm, castore: castore(`host${index}`), proxyUrl: urlOf(proxy) };
      return program(`host${index}`, 'agent', listenOn('127.0.0.1', 16000), own);
    }),
  };
}
