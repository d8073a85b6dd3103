import Type, { type Static } from 'typebox';

/**
 * What proxies and agents say to the build-index. All routes carry the cluster token. Names go in the query, because a
 * repository has slashes.
 *
 * | route | |
 * |---|---|
 * | `GET PUT DELETE /v1/tag?repository=&tag=` | GET and PUT: {@link TagBody}. PUT first checks that what the manifest needs is linked here |
 * | `GET /v1/tags?repository=&after=&limit=` | {@link NamesAnswer} |
 * | `GET /v1/repositories?after=&limit=` | {@link NamesAnswer} |
 * | `DELETE /v1/repository?repository=` | |
 * | `GET /v1/blob?repository=&digest=` | {@link RepositoryBlobAnswer}: how a blob is linked here, and its length as an origin knows it |
 * | `PUT DELETE /v1/link?repository=&kind=layer\|revision&digest=` | deleting a revision takes the tags that point at it along |
 * | `GET /v1/referrers?repository=&subject=&after=&limit=` | {@link NamesAnswer} of digests |
 * | `PUT DELETE /v1/referrer?repository=&subject=&referrer=` | |
 */
export const buildIndexRoutes = {
  tag: '/v1/tag',
  tags: '/v1/tags',
  repositories: '/v1/repositories',
  repository: '/v1/repository',
  blob: '/v1/blob',
  link: '/v1/link',
  referrers: '/v1/referrers',
  referrer: '/v1/referrer',
} as const;

/** Names come in pages of this many at most. */
export const NAMES_PAGE_MAX = 1000;

export const TagBodySchema = Type.Object({ digest: Type.String() }, { additionalProperties: false });
export type TagBody = Static<typeof TagBodySchema>;

export const NamesAnswerSchema = Type.Object({
  names: Type.Array(Type.String()),
  /** Whether names may follow behind the last one; a page ends early rather than late. */
  more: Type.Boolean(),
});
export type NamesAnswer = Static<typeof NamesAnswerSchema>;

export const LinkKindSchema = Type.Union([Type.Literal('layer'), Type.Literal('revision')]);
/** How a blob belongs to a repository: as a layer or config, or as a manifest. */
export type LinkKind = Static<typeof LinkKindSchema>;

export const RepositoryBlobAnswerSchema = Type.Object({
  sizeBytes: Type.Integer(),
  links: Type.Array(LinkKindSchema),
});
export type RepositoryBlobAnswer = Static<typeof RepositoryBlobAnswerSchema>;
