import Type, { type Static } from 'typebox';
import type { Peer, PeerId } from '../core/index.ts';

/**
 * What agents and origins say to the tracker. All routes but `GET /announce` carry the cluster token.
 *
 * | route | |
 * |---|---|
 * | `POST /v1/announce` | what has changed in a host's swarms, all in one request → peers for those that want some |
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

/** A part of the data centre, as the hosts' configuration names it: a rack, a room, an availability zone. */
const zone = Type.String({ pattern: '^[A-Za-z0-9._-]{1,64}$' });

/** How much of a blob a peer has, in eighths of its pieces, rounded down; 8 only when it is complete. */
const eighths = Type.Integer({ minimum: 0, maximum: 8 });

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
    /** 8 when it is left out by one that is complete, otherwise 0. */
    eighths: Type.Optional(eighths),
    /** How many peers are wanted; 0 only reports. */
    want: Type.Integer({ minimum: 0, maximum: 50 }),
  },
  { additionalProperties: false },
);

/**
 * What one host has to say of its swarms. Its address is the one that the request comes from, unless its config sets
 * another.
 *
 * As a rule a host says only what has changed: swarms that it does not name stay as they are, and with every announce all
 * of them are renewed, also with one that names none. So that nothing is lost on the way,
 *
 * - `sequence` numbers the announces of one run of a host (one peer id). The tracker passes over one that is older than
 *   what it has; the same one may come twice.
 * - `since` is the last one that was answered: this announce holds everything that has changed, or may have arrived
 *   without an answer, after it. A tracker whose state of the host is older (it knows the host from an earlier time, or not
 *   at all) takes nothing and answers `full: true`.
 * - `full: true` says that swarms that are not named are left. The first announce is full, and the one after such an answer.
 *
 * Without a `sequence`, an announce is taken as it comes.
 */
export const AnnounceRequestSchema = Type.Object(
  {
    peerId: hex40,
    /** The port on which it takes BitTorrent connections. */
    port: Type.Integer({ minimum: 1, maximum: 65535 }),
    /** An IP address, for hosts behind address translation; taken only from holders of the cluster token. */
    host: Type.Optional(Type.String({ maxLength: 45 })),
    zone: Type.Optional(zone),
    origin: Type.Boolean(),
    sequence: Type.Optional(Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER })),
    since: Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })),
    full: Type.Optional(Type.Boolean()),
    swarms: Type.Array(AnnouncedSwarmSchema, { maxItems: 10_000 }),
  },
  { additionalProperties: false },
);

export type AnnouncedSwarm = Static<typeof AnnouncedSwarmSchema>;
export type AnnounceRequest = Static<typeof AnnounceRequestSchema>;

/** A peer as the tracker hands it out. */
export interface AnnouncedPeer extends Peer {
  /** How much of the blob it has, in eighths, rounded down; 8 when it is complete. */
  readonly eighths: number;
  readonly zone?: string;
}

/** What the tracker says to an announce. */
export interface AnnounceAnswer {
  /** When to announce again; a peer that stays away for two and a half of these is dropped. */
  readonly intervalMs: number;
  /** The tracker does not know how this host stands: nothing was taken, the host is to announce all its swarms at once. */
  readonly full?: boolean;
  /** Peers for each swarm that wanted some. */
  readonly swarms: Readonly<Record<string, readonly AnnouncedPeer[]>>;
}

/** A peer on its way: id, host, port, eighths (16 more for an origin), and the zone when it has one. */
type PeerOnTheWay = [id: PeerId, host: string, port: number, state: number, zone?: string];
const ORIGIN_FLAG = 16;

/**
 * An {@link AnnounceAnswer} as JSON, with each peer as a list ({@link decodeAnnounceAnswer}): answers are most of what a
 * tracker sends and does while a fleet arrives. Written by hand, since `JSON.stringify` takes several times as long;
 * nothing in a peer needs escaping (hex digits, an IP address, a zone of letters, digits, dots, hyphens and underscores).
 */
export function encodeAnnounceAnswer({ intervalMs, full, swarms }: AnnounceAnswer): string {
  let text = `{"intervalMs":${intervalMs}${full === true ? ',"full":true' : ''},"swarms":{`;
  let separator = '';
  for (const swarmId in swarms) {
    text += `${separator}"${swarmId}":[`;
    separator = '';
    for (const { id, host, port, origin, eighths, zone } of swarms[swarmId]!) {
      const state = eighths + (origin ? ORIGIN_FLAG : 0);
      text += `${separator}["${id}","${host}",${port},${state}${zone === undefined ? '' : `,"${zone}"`}]`;
      separator = ',';
    }
    text += ']';
    separator = ',';
  }
  return `${text}}}`;
}

/** The inverse of {@link encodeAnnounceAnswer}, after `JSON.parse`. */
export function decodeAnnounceAnswer(answer: unknown): AnnounceAnswer {
  const { swarms, ...rest } = answer as Omit<AnnounceAnswer, 'swarms'> & { swarms: Record<string, PeerOnTheWay[]> };
  const lists = Object.entries(swarms).map(([swarmId, peers]) => [swarmId, peers.map(readPeer)] as const);
  return { ...rest, swarms: Object.fromEntries(lists) };
}

function readPeer([id, host, port, state, zone]: PeerOnTheWay): AnnouncedPeer {
  const eighths = state % ORIGIN_FLAG;
  const peer = { id, host, port, origin: state >= ORIGIN_FLAG, complete: eighths === 8, eighths };
  return zone === undefined ? peer : { ...peer, zone };
}

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
