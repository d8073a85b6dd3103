import { randomBytes } from 'node:crypto';
import Type, { type Static } from 'typebox';
import { LogConfigSchema, registryListenSchema } from '../config/index.ts';
import { defaultDriverFactory } from '../driver/index.ts';
import { closing, createService, RegistryProgram } from '../http/index.ts';
import { RegistryConfigSchema, registerRegistry, registryOptionsOf } from '../registry/index.ts';
import { defineRole } from './role.ts';

/** All settings of `shoal registry`. */
const schema = Type.Object(
  {
    listen: registryListenSchema(5000),
    driver: Type.String({ default: 'filesystem', minLength: 1, description: 'Name of the storage driver.' }),
    parameters: Type.Record(Type.String(), Type.Unknown(), {
      default: {},
      description: 'Parameters of that driver, as its own page lists them.',
    }),
    registry: RegistryConfigSchema,
    log: LogConfigSchema,
  },
  { additionalProperties: false },
);

/** `shoal registry`. */
export const registryRole = defineRole<Static<typeof schema>>({
  name: 'registry',
  schema,
  start: (config, { logger, metrics }) =>
    RegistryProgram.start('registry', config.listen, async (parts) => {
      const driver = closing(parts, await defaultDriverFactory().create(config.driver, config.parameters));
      // It belongs to no cluster, so that nobody has the token of routes that are not public; there are none.
      const clusterToken = randomBytes(32).toString('hex');
      const ready = async () => void (await driver.stat('/'));
      const app = createService({ role: 'registry', clusterToken, logger, metrics, ready, tls: config.listen.tls });
      await registerRegistry(app, { driver, logger, metrics, ...registryOptionsOf(config.registry) });
      return app;
    }),
});
