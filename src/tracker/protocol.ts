import Type, { type Static } from 'typebox';

/**
 * What agents and origins say to the tracker. All routes but `GET /announce` carry the cluster token.
 *
 * | route | |
 * |---|---|
 * | `POST /v1/announce` | all swarms of a host in one request → peers for each |
 * | `GET /v1/blobs/<digest>/metainfo` | {@link MetainfoAnswer} as bytes, see `encodeMetainfoAnswer`; small blobs come along |
 * | `GET /v1/blobs/<digest>/torrent` | the `.torrent` file for foreign clients |
 * | `GET /announce/<key>` | BEP 3 and BEP 23, for foreign clients; the key in the path comes from the `.torrent` file |
 */
export const trackerRoutes = {
  announce: '/v1/announce',
  metainfo: (digest: string) => `/v1/blobs/${digest}/metainfo`,
  torrent: (digest: string) => `/v1/blobs/${digest}/torrent`,
  foreignAnnounce: (key: string) => `/announce/${key}`,
} as const;

const hex40 = Type.String({ pattern: '^[0-9a-f]{40}$' });

/** One swarm in an announce. */
const AnnouncedSwarmSchema = Type.Object(
  {
    swarmId: hex40,
    /** The v1 info hash of the same blob, once known: foreign clients that ask for it are sent to this swarm's peers. */
    infoHash: Type.Optional(hex40),
    /** `stopped` takes the peer out at once; anything else keeps it in. */
    event: Type.Optional(Type.Literal('stopped')),
    /** Whether the peer has every piece. */
    complete: Type.Boolean(),
    /** How many peers are wanted; 0 only reports. */
    want: Type.Integer({ minimum: 0, maximum: 50 }),
  },
  { additionalProperties: false },
);

/** All swarms of one host. Its address is the one that the request comes from, unless its config sets another. */
export const AnnounceRequestSchema = Type.Object(
  {
    peerId: hex40,
    /** The port on which it takes BitTorrent connections. */
    port: Type.Integer({ minimum: 1, maximum: 65535 }),
    /** An IP address, for hosts behind address translation; taken only from holders of the cluster token. */
    host: Type.Optional(Type.String({ maxLength: 45 })),
    origin: Type.Boolean(),
    swarms: Type.Array(AnnouncedSwarmSchema, { maxItems: 10_000 }),
  },
  { additionalProperties: false },
);

const PeerSchema = Type.Object({
  id: hex40,
  host: Type.String(),
  port: Type.Integer(),
  origin: Type.Boolean(),
  complete: Type.Boolean(),
});

/** Peers for each swarm that wanted some. */
const AnnounceAnswerSchema = Type.Object({
  /** When to announce again; a peer that stays away for two and a half of these is dropped. */
  intervalMs: Type.Integer(),
  swarms: Type.Record(Type.String(), Type.Array(PeerSchema)),
});

export type AnnouncedSwarm = Static<typeof AnnouncedSwarmSchema>;
export type AnnounceRequest = Static<typeof AnnounceRequestSchema>;
export type AnnounceAnswer = Static<typeof AnnounceAnswerSchema>;

/** Metainfo of a blob, and the blob itself when it is no longer than one least piece (64 KiB). */
export interface MetainfoAnswer {
  /** As `encodeMetainfo` of core writes it. */
  readonly metainfo: Buffer;
  readonly blob: Buffer | undefined;
}

/** Bytes of a metainfo answer: 4 bytes big-endian length of the metainfo, the metainfo, then the blob if there is one. */
export function encodeMetainfoAnswer(answer: MetainfoAnswer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(answer.metainfo.length, 0);
  head[4] = answer.blob === undefined ? 0 : 1;
  return Buffer.concat([head, answer.metainfo, answer.blob ?? Buffer.alloc(0)]);
}

/** The inverse of {@link encodeMetainfoAnswer}. @throws RangeError when the bytes are too short */
export function decodeMetainfoAnswer(bytes: Buffer): MetainfoAnswer {
  const end = 5 + bytes.readUInt32BE(0);
  if (bytes.length < end) throw new RangeError(`metainfo answer has ${bytes.length} bytes, expected ${end} or more`);
  return { metainfo: bytes.subarray(5, end), blob: bytes[4] === 1 ? bytes.subarray(end) : undefined };
}
