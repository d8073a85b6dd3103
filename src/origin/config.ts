import Type, { type Static } from 'typebox';

const address = { pattern: '^https?://[^/?#]+/?$' } as const;

/** Settings of one origin. The section of the swarm is nested beside it by whoever composes the program. */
export const OriginConfigSchema = Type.Object(
  {
    listen: Type.Object(
      {
        host: Type.String({
          default: 'localhost',
          minLength: 1,
          description:
            'Address to listen on; `localhost` is 127.0.0.1 and ::1. Every route asks for the cluster token.',
        }),
        port: Type.Integer({
          default: 15002,
          minimum: 0,
          maximum: 65535,
          description: 'TCP port; 0 takes a free one.',
        }),
      },
      { additionalProperties: false, description: 'Where proxies, trackers, agents and other origins reach it.' },
    ),
    selfUrl: Type.Optional(
      Type.String({
        ...address,
        description:
          'Base URL under which the other origins reach this one, written as in their `members`. Needed when there are others.',
      }),
    ),
    members: Type.Array(Type.String(address), {
      default: [],
      maxItems: 1000,
      description: 'Base URLs of all origins, this one included, the same on each. Empty: this is the only one.',
    }),
    castore: Type.Object(
      {
        directory: Type.String({ minLength: 1, description: 'Folder of the blobs on local disk.' }),
        capacityBytes: Type.Integer({
          default: 100 * 1024 ** 3,
          minimum: 1024 ** 2,
          unit: 'bytes',
          description: 'Beyond this the least recently used blobs go; never those that the backend lacks.',
        }),
      },
      { additionalProperties: false, description: 'The cache on disk.' },
    ),
    backend: Type.Object(
      {
        driver: Type.String({ default: 'filesystem', minLength: 1, description: 'Name of the storage driver.' }),
        parameters: Type.Record(Type.String(), Type.Unknown(), {
          default: {},
          description: 'Parameters of that driver, as its own page lists them.',
        }),
      },
      { additionalProperties: false, description: 'The storage that holds the truth; the same for all origins.' },
    ),
    writeBack: Type.Object(
      {
        directory: Type.Optional(
          Type.String({
            minLength: 1,
            description: 'Folder of the queue; without it the folder of the castore with `-queue` behind its name.',
          }),
        ),
        concurrency: Type.Integer({
          default: 4,
          minimum: 1,
          maximum: 64,
          description: 'Blobs that are copied to the backend at the same time.',
        }),
        replicaDelayMs: Type.Integer({
          default: 60_000,
          minimum: 0,
          unit: 'milliseconds',
          description: 'How long a replica leaves the copy to the origin that took the upload.',
        }),
        initialBackoffMs: Type.Integer({
          default: 1_000,
          minimum: 1,
          unit: 'milliseconds',
          description: 'Wait after the first failure; it doubles with each further one.',
        }),
        maxBackoffMs: Type.Integer({
          default: 300_000,
          minimum: 1,
          unit: 'milliseconds',
          description: 'Longest wait between two tries; there is no last try.',
        }),
      },
      { additionalProperties: false, description: 'The queue of blobs that the backend does not have yet.' },
    ),
  },
  {
    additionalProperties: false,
    description: 'An origin: blobs on disk in front of the backend, seeded to the fleet.',
  },
);

export type OriginConfig = Static<typeof OriginConfigSchema>;
