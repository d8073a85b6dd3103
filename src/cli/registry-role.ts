import { randomBytes } from 'node:crypto';
import Type, { type Static } from 'typebox';
import { AccessConfigSchema, openAccess } from '../access/index.ts';
import { LogConfigSchema, registryListenSchema } from '../config/index.ts';
import { systemClock } from '../core/index.ts';
import { RedirectingDriver } from '../driver/index.ts';
import { GcConfigSchema, startGarbageCollector } from '../gc/index.ts';
import { closing, createService, RegistryProgram } from '../http/index.ts';
import { NotificationsConfigSchema, notificationsOf } from '../notifications/index.ts';
import {
  driverUploads,
  purgeOptionsOf,
  RegistryConfigSchema,
  registerRegistry,
  registryOptionsOf,
  startUploadPurge,
} from '../registry/index.ts';
import { openStorage } from './open-storage.ts';
import { defineRole } from './role.ts';
import { readVersion } from './version.ts';

/** All settings of `shoal registry`. */
const schema = Type.Object(
  {
    listen: registryListenSchema(5000),
    driver: Type.String({ default: 'filesystem', minLength: 1, description: 'Name of the storage driver.' }),
    parameters: Type.Record(Type.String(), Type.Unknown(), {
      default: {},
      description: 'Parameters of that driver, as its own page lists them.',
    }),
    redirectBaseUrl: Type.Optional(
      Type.String({
        minLength: 1,
        description:
          'URL of a web server or CDN that serves the same storage, such as https://cdn.example/registry: clients are sent ' +
          'there for blobs, to the path of the blob in the storage behind it. Unsigned: whoever knows the URL reads the blob.',
      }),
    ),
    registry: RegistryConfigSchema,
    gc: GcConfigSchema,
    access: Type.Optional(AccessConfigSchema),
    notifications: Type.Optional(NotificationsConfigSchema),
    log: LogConfigSchema,
  },
  { additionalProperties: false },
);

/** `shoal registry`. */
export const registryRole = defineRole<Static<typeof schema>>({
  name: 'registry',
  schema,
  start: (config, { logger, metrics, onReload }) =>
    RegistryProgram.start('registry', config.listen, async (parts) => {
      const storage = closing(parts, await openStorage(config, metrics));
      const { redirectBaseUrl } = config;
      const driver = redirectBaseUrl === undefined ? storage : new RedirectingDriver(storage, redirectBaseUrl);
      const access = config.access && parts.use(await openAccess(config.access, { logger, clock: systemClock, fetch }));
      const tools = { logger, metrics, clock: systemClock, version: readVersion() };
      const events = await notificationsOf(parts, config, tools);
      // It belongs to no cluster, so that nobody has the token of routes that are not public; there are none.
      const clusterToken = randomBytes(32).toString('hex');
      const ready = async () => void (await driver.stat('/'));
      const app = createService({ role: 'registry', clusterToken, logger, metrics, ready, tls: config.listen.tls });
      onReload(() => void app.reloadTls());
      await registerRegistry(app, { driver, logger, metrics, access, events, ...registryOptionsOf(config.registry) });
      parts.use(
        startUploadPurge({ uploads: driverUploads(driver), logger, metrics, ...purgeOptionsOf(config.registry) }),
      );
      parts.use(startGarbageCollector(config.gc, { driver, logger, metrics, clock: systemClock }));
      return app;
    }),
});
