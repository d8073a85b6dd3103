import Type, { type Static } from 'typebox';

const milliseconds = (defaultMs: number, maximum: number, description: string) =>
  Type.Integer({ default: defaultMs, minimum: 0, maximum, description: `${description} In milliseconds.` });

const linkCacheMs = milliseconds(
  5_000,
  600_000,
  'How long a positive answer about a link counts: for as long a deleted blob or manifest may still be answered.',
);
const cacheEntries = Type.Integer({
  default: 20_000,
  minimum: 1,
  maximum: 10_000_000,
  description: 'How many answers about links, and how many about tags, are kept in memory.',
});
const maxResumes = Type.Integer({
  default: 10,
  minimum: 0,
  maximum: 1_000,
  description: 'How often one read from the origins is taken up again where it broke off.',
});

/** How an agent moves blobs. */
export const ReadOnlyTransferConfigSchema = Type.Object(
  {
    linkCacheMs,
    staleTagMs: milliseconds(
      600_000,
      86_400_000,
      'While the build-index does not answer, tags and links that are known from before are answered up to this age.',
    ),
    cacheEntries,
    firstByteBudgetMs: milliseconds(
      2_000,
      600_000,
      'How long the first piece of a read may take by the swarm; then the origins are asked over HTTP.',
    ),
    nextPieceBudgetMs: milliseconds(2_000, 600_000, 'The same for every further piece.'),
    stallLimitMs: milliseconds(
      60_000,
      3_600_000,
      'A read to which neither swarm nor origins bring a byte ends after this.',
    ),
    metainfoHedgeMs: milliseconds(
      5_000,
      600_000,
      'When no tracker has answered for metainfo after this, the origins are asked as well.',
    ),
    finishAbandoned: Type.Boolean({
      default: true,
      description: 'Whether a download goes on when the client that asked for it has gone away.',
    }),
    maxResumes,
  },
  { additionalProperties: false, description: 'How an agent moves blobs: time budgets and caches.' },
);

/** How an agent moves blobs. */
export type ReadOnlyTransferConfig = Static<typeof ReadOnlyTransferConfigSchema>;

/** How a proxy moves blobs. */
export const ReadWriteTransferConfigSchema = Type.Object(
  { linkCacheMs, cacheEntries, maxResumes },
  { additionalProperties: false, description: 'How a proxy moves blobs.' },
);

/** How a proxy moves blobs. */
export type ReadWriteTransferConfig = Static<typeof ReadWriteTransferConfigSchema>;

/** What the schema's defaults say, for those who compose without a configuration file. */
export const defaultReadOnlyTransferConfig: ReadOnlyTransferConfig = {
  linkCacheMs: 5_000,
  staleTagMs: 600_000,
  cacheEntries: 20_000,
  firstByteBudgetMs: 2_000,
  nextPieceBudgetMs: 2_000,
  stallLimitMs: 60_000,
  metainfoHedgeMs: 5_000,
  finishAbandoned: true,
  maxResumes: 10,
};

/** What the schema's defaults say, for those who compose without a configuration file. */
export const defaultReadWriteTransferConfig: ReadWriteTransferConfig = {
  linkCacheMs: 5_000,
  cacheEntries: 20_000,
  maxResumes: 10,
};
