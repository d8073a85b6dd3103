import Type, { type Static } from 'typebox';
import {
  ClusterConfigSchema,
  LogConfigSchema,
  registryListenSchema,
  StoreConfigSchema,
  urlSchema,
  urlsSchema,
} from '../config/index.ts';
import { RegistryConfigSchema } from '../registry/index.ts';
import { ReadWriteTransferConfigSchema } from '../transfer/index.ts';

/** Settings of a proxy. */
export const ProxyConfigSchema = Type.Object(
  {
    listen: registryListenSchema(15000),
    cluster: ClusterConfigSchema,
    castore: StoreConfigSchema,
    origins: urlsSchema('http://localhost:15002', 'Base URLs of all origins.'),
    buildIndex: urlSchema('http://localhost:15004', 'Base URL of the build-index, which keeps tags and links.'),
    transfer: ReadWriteTransferConfigSchema,
    registry: RegistryConfigSchema,
    log: LogConfigSchema,
  },
  { additionalProperties: false, description: 'A proxy: the registry that people and CI push to.' },
);
export type ProxyConfig = Static<typeof ProxyConfigSchema>;
