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
import { SwarmConfigSchema } from '../swarm/index.ts';
import { ReadOnlyTransferConfigSchema } from '../transfer/index.ts';

/** Settings of an agent. */
export const AgentConfigSchema = Type.Object(
  {
    listen: registryListenSchema(16000),
    cluster: ClusterConfigSchema,
    castore: StoreConfigSchema,
    trackers: urlsSchema('http://localhost:15003', 'Base URLs of the trackers; the first that answers is used.'),
    origins: urlsSchema('http://localhost:15002', 'Base URLs of all origins, for when the swarm is too slow.'),
    buildIndex: urlSchema('http://localhost:15004', 'Base URL of the build-index, which knows tags and links.'),
    proxyUrl: urlSchema('http://localhost:15000', 'Where people push; named when somebody pushes here.'),
    swarm: SwarmConfigSchema,
    transfer: ReadOnlyTransferConfigSchema,
    access: Type.Optional(AccessConfigSchema),
    log: LogConfigSchema,
  },
  { additionalProperties: false, description: 'An agent: the read-only registry of one host.' },
);
export type AgentConfig = Static<typeof AgentConfigSchema>;
