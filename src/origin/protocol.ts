import Type, { type Static } from 'typebox';

/**
 * What proxies, trackers, build-indexes, agents and other origins say to an origin. All routes carry the cluster token.
 *
 * | route | |
 * |---|---|
 * | `PUT /v1/blobs/<digest>?repository=` | the body is the blob; 201 once `min(2, members)` origins hold it verified and synced and the write-back is queued on disk |
 * | `PUT /v1/blobs/<digest>?replica=true` | a copy from another owner: verified, synced, kept, not copied on; the write-back is queued with a delay |
 * | `GET /v1/blobs/<digest>/stat` | {@link BlobStatAnswer}, without fetching the blob |
 * | `GET /v1/blobs/<digest>` | the bytes; `Range: bytes=a-b` gives 206 |
 * | `POST /v1/blobs/<digest>/keep` | the same, and what this disk holds is written to the backend once more, should it lack it: before a blob is linked anew |
 * | `GET /v1/blobs/<digest>?local=true`, `…/stat?local=true` | the same, from this origin's own disk only: what origins ask each other |
 * | `GET /v1/blobs/<digest>/metainfo` | encoded metainfo (core), made from the whole blob when there is none yet |
 * | `GET /v1/blobs/<digest>/inline` | a metainfo answer (tracker/protocol.ts): metainfo, and the blob when it is small |
 */
export const originRoutes = {
  blob: (digest: string) => `/v1/blobs/${digest}`,
  stat: (digest: string) => `/v1/blobs/${digest}/stat`,
  keep: (digest: string) => `/v1/blobs/${digest}/keep`,
  metainfo: (digest: string) => `/v1/blobs/${digest}/metainfo`,
  inline: (digest: string) => `/v1/blobs/${digest}/inline`,
} as const;

/** The length of a blob that the origin holds or its backend has. */
const BlobStatAnswerSchema = Type.Object({ sizeBytes: Type.Integer() });
export type BlobStatAnswer = Static<typeof BlobStatAnswerSchema>;

/** How many owners a blob has, when there are that many origins. */
export const BLOB_OWNERS = 2;
