import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import Type from 'typebox';
import { AgentConfigSchema, openAgentDriver } from '../agent/index.ts';
import { loadConfig, readClusterToken } from '../config/index.ts';
import { systemClock } from '../core/index.ts';
import { type DriverFactory, readParameters } from '../driver/index.ts';
import { createMetrics } from '../metrics/index.ts';
import { openProxyDriver, ProxyConfigSchema } from '../proxy/index.ts';
import { readVersion } from './version.ts';

/** Parameters of `p2p` on a command line. */
const ClusterDriverParametersSchema = Type.Object(
  {
    constructor: Type.Union([Type.Literal('rw'), Type.Literal('ro')], {
      description: '`rw`: the driver of a proxy; `ro`: the one of an agent',
    }),
    config: Type.String({ minLength: 1, description: 'YAML file of that proxy or agent, whose cluster is used' }),
  },
  { additionalProperties: false },
);

/**
 * Registers the driver `p2p` as a proxy or an agent of a running cluster opens it, with a store of its own in a temporary
 * folder: the configured one may be in use. What it opens is deferred on `parts`.
 */
export function registerClusterDriver(factory: DriverFactory, parts: AsyncDisposableStack): void {
  factory.register('p2p', async (parameters) => {
    const { constructor: chosen, config: file } = readParameters('p2p', ClusterDriverParametersSchema, parameters);
    const directory = await mkdtemp(join(tmpdir(), 'shoal-verify-'));
    parts.defer(() => rm(directory, { recursive: true, force: true }));
    const overrides = [{ path: 'castore.directory', value: directory, option: 'of the command itself' }];
    const sources = { file, environment: process.env, overrides };
    const tools = {
      logger: pino({ level: 'silent' }),
      metrics: createMetrics({ role: 'verify', version: readVersion() }),
      clock: systemClock,
    };
    if (chosen === 'rw') {
      const config = await loadConfig(ProxyConfigSchema, sources);
      const clusterToken = await readClusterToken(config.cluster);
      return (await openProxyDriver(config, { ...tools, clusterToken }, parts)).driver;
    }
    const config = await loadConfig(AgentConfigSchema, sources);
    const clusterToken = await readClusterToken(config.cluster);
    // Any port: the agent whose configuration this is may run.
    const swarm = { ...config.swarm, port: 0 };
    const deps = { ...tools, clusterToken, random: Math.random };
    return (await openAgentDriver({ ...config, swarm }, deps, parts)).driver;
  });
}
