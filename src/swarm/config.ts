import Type, { type Static } from 'typebox';

/** How a host takes part in swarms. */
export const SwarmConfigSchema = Type.Object(
  {
    host: Type.String({ default: '127.0.0.1', description: 'IP address on which BitTorrent connections are taken.' }),
    port: Type.Integer({
      default: 0,
      minimum: 0,
      maximum: 65535,
      description: 'Port on which BitTorrent connections are taken; 0 chooses a free one.',
    }),
    announceHost: Type.Optional(
      Type.String({
        description: 'IP address told to peers; without it the tracker takes the one that the announce comes from.',
      }),
    ),
    wantedPeers: Type.Integer({
      default: 10,
      minimum: 1,
      maximum: 50,
      description: 'Wires that a download tries to have.',
    }),
    maxWiresPerBlob: Type.Integer({
      default: 16,
      minimum: 2,
      maximum: 200,
      description: 'Wires of one blob at most, on an agent; a quarter of them, four at most, is kept for newcomers.',
    }),
    originWiresPerBlob: Type.Integer({
      default: 60,
      minimum: 2,
      maximum: 1000,
      description: 'Wires of one blob at most, on an origin; who comes later is sent to those that are there.',
    }),
    maxConnections: Type.Integer({ default: 1000, minimum: 10, description: 'Wires of all blobs together at most.' }),
    maxConnectionsPerAddress: Type.Integer({
      default: 256,
      minimum: 1,
      description: 'Wires from one IP address at most; more where many hosts are behind one address.',
    }),
    acceptsPerSecond: Type.Integer({
      default: 50,
      minimum: 1,
      maximum: 100_000,
      description: 'Connections that are taken a second; those of a crowd wait for their turn.',
    }),
    maxDownloads: Type.Integer({
      default: 250,
      minimum: 1,
      maximum: 10_000,
      description: 'Blobs that are fetched at the same time at most; further ones wait for their turn.',
    }),
    zone: Type.Optional(
      Type.String({
        pattern: '^[A-Za-z0-9._-]{1,64}$',
        description:
          'Where this host is, such as a rack or an availability zone; peers of the same zone are preferred.',
      }),
    ),
    egressBytesPerSecond: Type.Integer({
      default: 0,
      minimum: 0,
      description: 'Bytes a second that are sent to peers at most, with all overhead; 0 for no limit.',
    }),
    ingressBytesPerSecond: Type.Integer({
      default: 0,
      minimum: 0,
      description: 'Bytes a second that are taken from peers at most, with all overhead; 0 for no limit.',
    }),
    seedingEgressBytesPerSecond: Type.Integer({
      default: 0,
      minimum: 0,
      description:
        'Bytes a second that are sent of blobs which this host has whole, at most; 0 for no limit of its own.',
    }),
    foreignClients: Type.Boolean({
      default: true,
      description: 'Whether other BitTorrent clients may fetch blobs under their v1 info hash.',
    }),
    processes: Type.Integer({
      default: 4,
      minimum: 0,
      maximum: 16,
      description:
        'Further processes, at most, that swarms are handed to when the event loop has no time left; never more than the machine has further cores. 0 for none.',
    }),
    processPort: Type.Integer({
      default: 0,
      minimum: 0,
      maximum: 65535,
      description: 'Port of the first of these processes, the others use those after it; 0 chooses free ones.',
    }),
    idleSeconds: Type.Integer({
      default: 60,
      minimum: 1,
      description: 'A seeded blob without wires for this long is unloaded until a peer asks again, in seconds.',
    }),
    seedIdleSeconds: Type.Integer({
      default: 3600,
      minimum: 0,
      description:
        'An agent stops to offer a blob that no peer has asked for in this time, in seconds, until it is read again; 0 for never.',
    }),
  },
  { additionalProperties: false, default: {} },
);

export type SwarmConfig = Static<typeof SwarmConfigSchema>;
