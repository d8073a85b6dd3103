import Type, { type Static } from 'typebox';
import { ClusterConfigSchema, LogConfigSchema, swarmSecretOf } from '../config/index.ts';
import { systemClock } from '../core/index.ts';
import { OriginCluster } from '../origin/client.ts';
import { openPeerStore, TrackerConfigSchema, TrackerServer } from '../tracker/index.ts';
import { defineRole, startWithParts } from './role.ts';

/** All settings of `shoal tracker`. */
const schema = Type.Object(
  { ...TrackerConfigSchema.properties, cluster: ClusterConfigSchema, log: LogConfigSchema },
  { additionalProperties: false },
);

/** `shoal tracker`. */
export const trackerRole = defineRole<Static<typeof schema>>({
  name: 'tracker',
  schema,
  start: (config, tools) =>
    startWithParts(async (parts) => {
      const { logger, metrics, clusterToken } = tools;
      const common = { logger, clock: systemClock, random: Math.random };
      const peerStore = await openPeerStore(config.peerStore, common);
      parts.defer(() => peerStore.close());
      const origins = new OriginCluster({ baseUrls: config.origins, clusterToken });
      parts.defer(() => origins.close());
      const swarmSecret = swarmSecretOf(clusterToken);
      const deps = { ...common, metrics, clusterToken, swarmSecret, origins, peerStore };
      return parts.use(await TrackerServer.start(config, deps));
    }),
});
