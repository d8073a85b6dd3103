import Type, { type Static } from 'typebox';
import { openCaStore } from '../castore/index.ts';
import { ClusterConfigSchema, LogConfigSchema, swarmSecretOf, urlsSchema } from '../config/index.ts';
import { systemClock } from '../core/index.ts';
import { addStoreMetrics } from '../metrics/index.ts';
import { OriginConfigSchema, OriginServer } from '../origin/index.ts';
import { addSwarmMetrics, openSwarm, SwarmConfigSchema } from '../swarm/index.ts';
import { TrackerClient } from '../tracker/client.ts';
import { openStorage } from './open-storage.ts';
import { defineRole, startWithParts } from './role.ts';

/** All settings of `shoal origin`. */
const schema = Type.Object(
  {
    ...OriginConfigSchema.properties,
    trackers: urlsSchema('http://localhost:15003', 'Base URLs of the trackers; the first that answers is used.'),
    swarm: SwarmConfigSchema,
    cluster: ClusterConfigSchema,
    log: LogConfigSchema,
  },
  { additionalProperties: false },
);

/** `shoal origin`. */
export const originRole = defineRole<Static<typeof schema>>({
  name: 'origin',
  schema,
  start: (config, tools) =>
    startWithParts(async (parts) => {
      const { logger, metrics, clusterToken } = tools;
      const common = { logger, clock: systemClock, random: Math.random };
      const castore = await openCaStore(config.castore);
      parts.defer(() => castore.close());
      addStoreMetrics(metrics, castore);
      const backend = await openStorage(config.backend, metrics);
      parts.defer(() => backend.close());
      const announcer = new TrackerClient({ baseUrls: config.trackers, clusterToken });
      parts.defer(() => announcer.close());
      const secret = swarmSecretOf(clusterToken);
      const swarm = await openSwarm({ ...common, config: config.swarm, castore, announcer, secret, origin: true });
      parts.defer(() => swarm.close());
      addSwarmMetrics(metrics, swarm);
      tools.onReload((changed) => swarm.setLimits(changed.swarm));
      const deps = { ...common, metrics, clusterToken, castore, backend, swarm };
      return parts.use(await OriginServer.start(config, deps));
    }),
});
