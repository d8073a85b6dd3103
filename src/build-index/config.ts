import Type, { type Static } from 'typebox';

/** Settings of the build-index. */
export const BuildIndexConfigSchema = Type.Object(
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
          default: 15004,
          minimum: 0,
          maximum: 65535,
          description: 'TCP port; 0 takes a free one.',
        }),
      },
      { additionalProperties: false, default: {}, description: 'Where proxies and agents reach it.' },
    ),
    backend: Type.Object(
      {
        driver: Type.String({ default: 'filesystem', minLength: 1, description: 'Name of the storage driver.' }),
        parameters: Type.Record(Type.String(), Type.Unknown(), {
          default: {},
          description: 'Parameters of that driver, as its own page lists them.',
        }),
      },
      {
        additionalProperties: false,
        default: {},
        description: 'The storage that keeps tags and links; the same as that of the origins.',
      },
    ),
    origins: Type.Array(Type.String({ pattern: '^https?://[^/?#]+/?$' }), {
      default: [],
      maxItems: 1000,
      description:
        'Base URLs of all origins, such as `http://10.0.0.5:15002`: manifests and lengths are asked of them.',
    }),
    indexes: Type.Union([Type.Literal('strict'), Type.Literal('lenient')], {
      default: 'strict',
      description:
        'Whether a tag may point at an index whose manifests are not all in its repository: `strict`, it may not; or ' +
        "`lenient`, as the proxies' `registry.indexes`.",
    }),
  },
  { additionalProperties: false, default: {}, description: 'The build-index: tags, links and referrers.' },
);

export type BuildIndexConfig = Static<typeof BuildIndexConfigSchema>;
