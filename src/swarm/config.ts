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
    maxWiresPerBlob: Type.Integer({ default: 30, minimum: 2, maximum: 200, description: 'Wires of one blob at most.' }),
    wantedPeers: Type.Integer({
      default: 10,
      minimum: 1,
      maximum: 50,
      description: 'Wires that a download tries to have.',
    }),
    maxConnections: Type.Integer({ default: 1000, minimum: 10, description: 'Wires of all blobs together at most.' }),
    egressBytesPerSecond: Type.Integer({
      default: 0,
      minimum: 0,
      description: 'Bytes a second that are sent to peers at most; 0 for no limit.',
    }),
    ingressBytesPerSecond: Type.Integer({
      default: 0,
      minimum: 0,
      description: 'Bytes a second that are taken from peers at most; 0 for no limit.',
    }),
    foreignClients: Type.Boolean({
      default: true,
      description: 'Whether other BitTorrent clients may fetch blobs under their v1 info hash.',
    }),
    idleSeconds: Type.Integer({
      default: 60,
      minimum: 1,
      description: 'A seeded blob without wires for this long is unloaded until a peer asks again, in seconds.',
    }),
  },
  { additionalProperties: false, default: {} },
);

export type SwarmConfig = Static<typeof SwarmConfigSchema>;
