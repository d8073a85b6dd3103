import { createHash } from 'node:crypto';
import bencode from 'bencode';
import { type Digest, findDigest, hexOf } from './digest.ts';
import { InvalidMetainfoError } from './errors.ts';
import { type InfoHash, toInfoHash } from './swarm-id.ts';

/** Bytes of a SHA-1, the piece hash of BitTorrent v1. */
export const SHA1_BYTES = 20;
/** Bytes of a SHA-256, the piece hash that Shoal's peers trust. */
export const SHA256_BYTES = 32;

/** Pieces are this long at least. */
export const MIN_PIECE_LENGTH = 64 * 1024;
/** Pieces are this long at most. */
export const MAX_PIECE_LENGTH = 4 * 1024 * 1024;
/** Blobs get at most this many pieces, until their pieces have the greatest length. */
export const TARGET_PIECES = 2048;

/**
 * The description of one blob for its swarm: a pure function of (digest, length, stored piece length, piece hashes).
 *
 * SHA-256 is the proof that Shoal's peers check; SHA-1 is there for foreign BitTorrent clients. A blob of no bytes has no
 * pieces. Stored beside the blob, first writer wins: the stored piece length beats {@link pieceLengthFor} for ever.
 */
export interface Metainfo {
  readonly digest: Digest;
  /** Of the blob, in bytes. */
  readonly length: number;
  /** In bytes; the last piece may be shorter. */
  readonly pieceLength: number;
  /** 20 bytes a piece, one after the other. */
  readonly sha1: Buffer;
  /** 32 bytes a piece, one after the other. */
  readonly sha256: Buffer;
}

/** The piece length of a new blob: the smallest power of two that gives at most 2,048 pieces, 64 KiB to 4 MiB. */
export function pieceLengthFor(length: number): number {
  let pieceLength = MIN_PIECE_LENGTH;
  while (pieceLength < MAX_PIECE_LENGTH && Math.ceil(length / pieceLength) > TARGET_PIECES) pieceLength *= 2;
  return pieceLength;
}

/** How many pieces a blob has. */
export function pieceCount(length: number, pieceLength: number): number {
  return Math.ceil(length / pieceLength);
}

/** The length of one piece in bytes: the last one holds the rest. */
export function lengthOfPiece(index: number, length: number, pieceLength: number): number {
  return Math.min(pieceLength, length - index * pieceLength);
}

/** The BitTorrent v1 info part (BEP 3), with the keys in the order that bencoding asks for. */
function infoPart(metainfo: Metainfo) {
  return {
    length: metainfo.length,
    name: hexOf(metainfo.digest),
    'piece length': metainfo.pieceLength,
    pieces: metainfo.sha1,
    private: 1,
  };
}

/** The v1 info hash: what foreign clients meet under. */
export function infoHashOf(metainfo: Metainfo): InfoHash {
  return toInfoHash(
    createHash('sha1')
      .update(bencode.encode(infoPart(metainfo)))
      .digest('hex'),
  );
}

/** The `.torrent` file of a blob, for foreign clients (BEP 3). `announceUrl` carries whatever lets them announce. */
export function torrentFile(metainfo: Metainfo, announceUrl: string): Buffer {
  return Buffer.from(bencode.encode({ announce: announceUrl, info: infoPart(metainfo) }));
}

/** The first bytes of metainfo as it is stored and sent: a name and a format version. */
const MAGIC = 'shoal-metainfo/1';

/**
 * Metainfo as bytes: one line of JSON (format, digest, length, piece length), a newline, then all SHA-1, then all SHA-256.
 * Text first, so that a person who finds the file can tell what it is.
 */
export function encodeMetainfo(metainfo: Metainfo): Buffer {
  const { digest, length, pieceLength } = metainfo;
  const head = `${JSON.stringify({ format: MAGIC, digest, length, pieceLength })}\n`;
  return Buffer.concat([Buffer.from(head), metainfo.sha1, metainfo.sha256]);
}

/** The inverse of {@link encodeMetainfo}. @throws InvalidMetainfoError */
export function decodeMetainfo(bytes: Buffer): Metainfo {
  const end = bytes.indexOf(0x0a);
  if (end < 0 || end > 1024) throw new InvalidMetainfoError('metainfo has no head line');
  const head = readHead(bytes.subarray(0, end));
  const pieces = pieceCount(head.length, head.pieceLength);
  const expected = end + 1 + pieces * (SHA1_BYTES + SHA256_BYTES);
  if (bytes.length !== expected) {
    throw new InvalidMetainfoError(`metainfo of ${head.digest} has ${bytes.length} bytes, expected ${expected}`);
  }
  const middle = end + 1 + pieces * SHA1_BYTES;
  return { ...head, sha1: bytes.subarray(end + 1, middle), sha256: bytes.subarray(middle) };
}

function readHead(line: Buffer): { digest: Digest; length: number; pieceLength: number } {
  const { format, digest, length, pieceLength } = readFields(line);
  if (format !== MAGIC) {
    throw new InvalidMetainfoError(`metainfo has format ${JSON.stringify(format)}, expected "${MAGIC}"`);
  }
  const found = typeof digest === 'string' ? findDigest(digest) : undefined;
  if (found === undefined) {
    throw new InvalidMetainfoError(`metainfo has digest ${JSON.stringify(digest)}, expected a sha256 or sha512 digest`);
  }
  if (!isLength(length) || !isLength(pieceLength) || !isPieceLength(pieceLength)) {
    throw new InvalidMetainfoError(
      `metainfo of ${found} has length ${JSON.stringify(length)} and piece length ${JSON.stringify(pieceLength)}, ` +
        `expected a number of bytes and a power of two from ${MIN_PIECE_LENGTH} to ${MAX_PIECE_LENGTH}`,
    );
  }
  return { digest: found, length, pieceLength };
}

function readFields(line: Buffer): { readonly [field: string]: unknown } {
  let fields: unknown;
  try {
    fields = JSON.parse(line.toString('utf8'));
  } catch (cause) {
    throw new InvalidMetainfoError('the head line of metainfo is not JSON', {}, { cause });
  }
  if (typeof fields === 'object' && fields !== null) return fields as { readonly [field: string]: unknown };
  throw new InvalidMetainfoError('the head line of metainfo is not a JSON object');
}

function isLength(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

/** Powers of two between the limits; also what keeps a hostile head from asking for a huge allocation. */
function isPieceLength(value: number): boolean {
  return value >= MIN_PIECE_LENGTH && value <= MAX_PIECE_LENGTH && (value & (value - 1)) === 0;
}

/** The SHA-256 of one piece. */
export function pieceSha256(metainfo: Metainfo, index: number): Buffer {
  return metainfo.sha256.subarray(index * SHA256_BYTES, (index + 1) * SHA256_BYTES);
}
