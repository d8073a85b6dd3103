import Type, { type Static } from 'typebox';
import { BuildIndexConfigSchema, BuildIndexServer } from '../build-index/index.ts';
import { ClusterConfigSchema, LogConfigSchema } from '../config/index.ts';
import { OriginCluster } from '../origin/client.ts';
import { openStorage } from './open-storage.ts';
import { defineRole, startWithParts } from './role.ts';

/** All settings of `shoal build-index`. */
const schema = Type.Object(
  { ...BuildIndexConfigSchema.properties, cluster: ClusterConfigSchema, log: LogConfigSchema },
  { additionalProperties: false },
);

/** `shoal build-index`. */
export const buildIndexRole = defineRole<Static<typeof schema>>({
  name: 'build-index',
  schema,
  start: (config, tools) =>
    startWithParts(async (parts) => {
      const { clusterToken } = tools;
      const backend = await openStorage(config.backend, tools.metrics);
      parts.defer(() => backend.close());
      const origins = new OriginCluster({ baseUrls: config.origins, clusterToken });
      parts.defer(() => origins.close());
      return parts.use(await BuildIndexServer.start(config, { ...tools, backend, origins }));
    }),
});
