import Type, { type Static } from 'typebox';

const url = (protocols: string) => `^(${protocols})://[^\\s/]+(/\\S*)?$`;

/** Where the tracker keeps its peers. */
export const PeerStoreConfigSchema = Type.Object(
  {
    type: Type.Union([Type.Literal('memory'), Type.Literal('redis')], {
      default: 'memory',
      description:
        '`memory` keeps peers in this process; `redis` shares them between all trackers of the cluster, and needs `url`.',
    }),
    url: Type.Optional(
      Type.String({
        pattern: url('rediss?'),
        description:
          'Redis 6.2 or later, as `redis://[user:password@]host:port[/database]`; `rediss://` for TLS. For `type: redis`.',
      }),
    ),
    keyPrefix: Type.String({
      default: 'shoal:tracker:',
      pattern: '^[A-Za-z0-9:._-]*$',
      maxLength: 100,
      description: 'Before every key in Redis, so that several clusters can share one. For `type: redis`.',
    }),
    maxEntries: Type.Integer({
      default: 1_000_000,
      minimum: 1,
      maximum: 50_000_000,
      unit: 'entries',
      description:
        'Peers kept in memory at most, counted once for each swarm that they are in; about 300 bytes each. When there are ' +
        'more, those that would expire first go. For `type: memory`.',
    }),
  },
  { additionalProperties: false, default: {}, description: 'Where the tracker keeps its peers.' },
);
export type PeerStoreConfig = Static<typeof PeerStoreConfigSchema>;

/** Settings of the tracker. */
export const TrackerConfigSchema = Type.Object(
  {
    listen: Type.Object(
      {
        host: Type.String({
          default: 'localhost',
          minLength: 1,
          description: 'Address to listen on; `localhost` is 127.0.0.1 and ::1.',
        }),
        port: Type.Integer({
          default: 15003,
          minimum: 0,
          maximum: 65535,
          description: 'TCP port; 0 takes a free one.',
        }),
      },
      { additionalProperties: false, default: {}, description: 'Where the tracker listens.' },
    ),
    announceIntervalMs: Type.Integer({
      default: 3_000,
      minimum: 100,
      maximum: 3_600_000,
      unit: 'ms',
      description:
        'Milliseconds from one announce of a host to its next, while it downloads; origins always. A peer that stays away ' +
        'for two and a half intervals is dropped.',
    }),
    idleAnnounceIntervalMs: Type.Integer({
      default: 60_000,
      minimum: 100,
      maximum: 3_600_000,
      unit: 'ms',
      description:
        'The same for agents that only have complete blobs that nobody has asked for lately, and for foreign BitTorrent ' +
        'clients (in whole seconds there). Agents whose complete blobs are asked for: five announce intervals, this at most.',
    }),
    zoneShare: Type.Number({
      default: 0.5,
      minimum: 0,
      maximum: 1,
      description:
        'The share of the agents handed to a host that are of its own zone (`swarm.zone`), where there are enough; the rest ' +
        'are of others, so that no zone is cut off. 0 takes no notice of zones.',
    }),
    originWires: Type.Integer({
      default: 60,
      minimum: 1,
      maximum: 10_000,
      unit: 'wires',
      description:
        'Connections that each origin is meant to have for one blob, about: in a larger swarm only some agents are sent to ' +
        "the origins, and the others to each other. Not more than the origins' own `swarm.originWiresPerBlob`.",
    }),
    peerStore: PeerStoreConfigSchema,
    origins: Type.Array(Type.String({ pattern: url('https?') }), {
      default: [],
      maxItems: 1_000,
      description: 'Base URLs of all origins, such as `http://10.0.0.5:15002`: metainfo is asked of them.',
    }),
    publicUrl: Type.Optional(
      Type.String({
        pattern: url('https?'),
        description:
          'Base URL under which foreign BitTorrent clients reach this tracker; it goes into `.torrent` files. When it is not ' +
          'set, the host that the file was asked from does.',
      }),
    ),
    metainfoCacheBytes: Type.Integer({
      default: 268_435_456,
      minimum: 1_048_576,
      maximum: 68_719_476_736,
      unit: 'bytes',
      description: 'Bytes of metainfo (with small blobs) that are kept in memory.',
    }),
    metainfoMaxAgeMs: Type.Integer({
      default: 300_000,
      minimum: 1_000,
      maximum: 86_400_000,
      unit: 'ms',
      description: 'Milliseconds after which metainfo is asked of the origins again.',
    }),
  },
  { additionalProperties: false, default: {}, description: 'The tracker.' },
);
export type TrackerConfig = Static<typeof TrackerConfigSchema>;
