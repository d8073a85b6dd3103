import { mkdir, writeFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import type { Workbench } from '../lib/workbench.ts';
import { EXAMPLE_PREFIX, nginxConfig } from './nginx-config.ts';
import type { RegistryEngine } from './options.ts';
import { freePort, Server } from './server.ts';

/** A registry that runs, with what stands in front of it. */
export interface RunningEngine {
  /** Where clients ask. */
  readonly baseUrl: string;
  /** Of all its servers; each counts with its children. */
  readonly pids: readonly number[];
  /** Ends it at once. */
  stop(): Promise<void>;
}

/** The name of an engine in results. */
export function labelOf(engine: RegistryEngine): string {
  if (engine.kind === 'distribution') return 'distribution';
  return engine.checkout === undefined ? 'shoal' : `shoal:${basename(resolve(engine.checkout))}`;
}

/**
 * Starts an engine on a folder, which is made when it is missing; the workbench ends it.
 * @param offload whether nginx sends the blobs, for Shoal; distribution sends them itself in any case
 */
export async function startEngine(
  bench: Workbench,
  engine: RegistryEngine,
  { folder, offload = false }: { readonly folder: string; readonly offload?: boolean },
): Promise<RunningEngine> {
  await mkdir(folder, { recursive: true });
  if (engine.kind === 'distribution') return running(await startDistribution(bench, folder));
  const registry = await startShoal(bench, { folder, offload, checkout: engine.checkout });
  return offload ? running(await startNginx(bench, folder, registry.port), registry) : running(registry);
}

function running(front: Server, ...behind: readonly Server[]): RunningEngine {
  const servers = [front, ...behind];
  return {
    baseUrl: front.baseUrl,
    pids: servers.map(({ pid }) => pid),
    stop: async () => void (await Promise.all(servers.map((server) => server.kill()))),
  };
}

/** Shoal as a process, with the defaults of its settings but for address, folder and offload. */
async function startShoal(
  bench: Workbench,
  options: { readonly folder: string; readonly offload: boolean; readonly checkout: string | undefined },
): Promise<Server> {
  const { folder, offload, checkout = fileURLToPath(new URL('../..', import.meta.url)) } = options;
  const port = await freePort();
  const configFile = join(bench.directory, `shoal-${port}.yaml`);
  const config = {
    listen: { host: '127.0.0.1', port },
    driver: 'filesystem',
    parameters: { rootdirectory: folder },
    ...(offload ? { registry: { offload: { xAccelPrefix: EXAMPLE_PREFIX } } } : {}),
  };
  await writeFile(configFile, stringify(config));
  const shoal = join(resolve(checkout), 'bin/shoal.js');
  const command = [process.execPath, shoal, 'registry', '--config', configFile, '--exit-with-stdin'] as const;
  return ready(bench, () => new Server([...command], { port, quiet: false }));
}

/**
 * Debian's `docker-registry` with the configuration of its package, but without users: a cache of descriptors in memory,
 * deletions permitted, every request logged; the log goes to /dev/null.
 */
async function startDistribution(bench: Workbench, folder: string): Promise<Server> {
  const port = await freePort();
  const configFile = join(bench.directory, `distribution-${port}.yaml`);
  const config = {
    version: 0.1,
    log: { fields: { service: 'registry' } },
    storage: {
      cache: { blobdescriptor: 'inmemory' },
      filesystem: { rootdirectory: folder },
      delete: { enabled: true },
    },
    http: {
      addr: `127.0.0.1:${port}`,
      // Else it invents one and warns of it.
      secret: 'of one run of a bench',
      headers: { 'X-Content-Type-Options': ['nosniff'] },
    },
    health: { storagedriver: { enabled: true, interval: '10s', threshold: 3 } },
  };
  await writeFile(configFile, stringify(config));
  return ready(bench, () => new Server(['docker-registry', 'serve', configFile], { port, quiet: true }));
}

async function startNginx(bench: Workbench, folder: string, registryPort: number): Promise<Server> {
  const port = await freePort();
  const directory = join(bench.directory, `nginx-${port}`);
  await mkdir(directory);
  const configFile = join(directory, 'nginx.conf');
  await writeFile(configFile, await nginxConfig({ directory, port, registryPort, rootdirectory: folder }));
  const command = ['nginx', '-p', directory, '-e', 'stderr', '-c', configFile] as const;
  return ready(bench, () => new Server([...command], { port, quiet: false }));
}

async function ready(bench: Workbench, start: () => Server): Promise<Server> {
  const server = bench.keep(start);
  await server.whenReady(bench.signal);
  return server;
}
