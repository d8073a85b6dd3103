import Type, { type Static } from 'typebox';
import { AccessConfigSchema } from '../access/index.ts';
import {
  ClusterConfigSchema,
  LogConfigSchema,
  registryListenSchema,
  StoreConfigSchema,
  urlSchema,
  urlsSchema,
} from '../config/index.ts';
import { NotificationsConfigSchema } from '../notifications/index.ts';
import { RegistryConfigSchema } from '../registry/index.ts';
import { ReadWriteTransferConfigSchema } from '../transfer/index.ts';

const baseUrl = { pattern: '^https?://[^/?#@\\s]+/?$' } as const;

/** Settings of a proxy. */
export const ProxyConfigSchema = Type.Object(
  {
    listen: registryListenSchema(15000),
    cluster: ClusterConfigSchema,
    castore: StoreConfigSchema,
    origins: urlsSchema('http://localhost:15002', 'Base URLs of all origins.'),
    buildIndex: urlSchema('http://localhost:15004', 'Base URL of the build-index, which keeps tags and links.'),
    proxies: Type.Array(Type.String(baseUrl), {
      default: [],
      maxItems: 1000,
      description:
        'Base URLs of all proxies behind one address, this one included, the same on each: a request about an upload is sent ' +
        'on to the proxy that holds it. Empty: this is the only one.',
    }),
    selfUrl: Type.Optional(
      Type.String({
        ...baseUrl,
        description:
          'Base URL under which the other proxies reach this one, written as in their `proxies`. Needed when there are others.',
      }),
    ),
    transfer: ReadWriteTransferConfigSchema,
    registry: RegistryConfigSchema,
    access: Type.Optional(AccessConfigSchema),
    notifications: Type.Optional(NotificationsConfigSchema),
    log: LogConfigSchema,
  },
  { additionalProperties: false, description: 'A proxy: the registry that people and CI push to.' },
);
export type ProxyConfig = Static<typeof ProxyConfigSchema>;
