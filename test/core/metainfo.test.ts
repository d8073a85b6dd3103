import { createHash } from 'node:crypto';
import bencode from 'bencode';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodeMetainfo,
  encodeMetainfo,
  hashBytes,
  hexOf,
  InvalidMetainfoError,
  infoHashOf,
  lengthOfPiece,
  MAX_PIECE_LENGTH,
  type Metainfo,
  MIN_PIECE_LENGTH,
  pieceCount,
  pieceLengthFor,
  pieceSha256,
  SHA1_BYTES,
  SHA256_BYTES,
  TARGET_PIECES,
  torrentFile,
} from '../../src/core/index.ts';
import { anyDigest } from './arbitraries.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;

const anyPieceLength = fc.integer({ min: 16, max: 22 }).map((exponent) => 2 ** exponent);

const anyMetainfo: fc.Arbitrary<Metainfo> = fc
  .record({ digest: anyDigest, pieceLength: anyPieceLength, pieces: fc.nat(40), cut: fc.nat(), seed: fc.nat(255) })
  .map(({ digest, pieceLength, pieces, cut, seed }) => ({
    digest,
    pieceLength,
    length: pieces === 0 ? 0 : pieces * pieceLength - (cut % pieceLength),
    sha1: Buffer.alloc(pieces * SHA1_BYTES, seed),
    sha256: Buffer.alloc(pieces * SHA256_BYTES, seed + 1),
  }));

/** The head line of stored metainfo with `pieces` pieces of zeros behind it. */
function stored(head: unknown, pieces = 1): Buffer {
  const line = typeof head === 'string' ? head : JSON.stringify(head);
  return Buffer.concat([Buffer.from(`${line}\n`), Buffer.alloc(pieces * (SHA1_BYTES + SHA256_BYTES))]);
}

const digest = hashBytes(Buffer.from('blob'));
const goodHead = { format: 'shoal-metainfo/1', digest, length: 1, pieceLength: MIN_PIECE_LENGTH };

describe('piece lengths', () => {
  it.each([
    [0, 64 * KIB],
    [1, 64 * KIB],
    [64 * KIB * 2048, 64 * KIB],
    [64 * KIB * 2048 + 1, 128 * KIB],
    [GIB, 512 * KIB],
    [GIB + 1, MIB],
    [8 * GIB, 4 * MIB],
    [8 * GIB + 1, 4 * MIB],
    [100 * GIB, 4 * MIB],
    [Number.MAX_SAFE_INTEGER, 4 * MIB],
  ])('of a blob of %i bytes: %i', (length, pieceLength) => {
    expect(pieceLengthFor(length)).toBe(pieceLength);
  });

  it('are the smallest power of two from 64 KiB to 4 MiB that gives at most 2,048 pieces', () => {
    fc.assert(
      fc.property(fc.oneof(fc.maxSafeNat(), fc.nat(10 * GIB)), (length) => {
        const pieceLength = pieceLengthFor(length);
        expect(Number.isInteger(Math.log2(pieceLength))).toBe(true);
        expect(pieceLength).toBeGreaterThanOrEqual(MIN_PIECE_LENGTH);
        expect(pieceLength).toBeLessThanOrEqual(MAX_PIECE_LENGTH);
        if (pieceLength < MAX_PIECE_LENGTH) expect(pieceCount(length, pieceLength)).toBeLessThanOrEqual(TARGET_PIECES);
        if (pieceLength > MIN_PIECE_LENGTH) expect(pieceCount(length, pieceLength / 2)).toBeGreaterThan(TARGET_PIECES);
      }),
    );
  });

  it('of all pieces add up to the blob', () => {
    fc.assert(
      fc.property(fc.nat(10_000_000), anyPieceLength, (length, pieceLength) => {
        const pieces = pieceCount(length, pieceLength);
        const lengths = Array.from({ length: pieces }, (_, index) => lengthOfPiece(index, length, pieceLength));
        expect(lengths.reduce((sum, one) => sum + one, 0)).toBe(length);
        expect(lengths.every((one) => one > 0 && one <= pieceLength)).toBe(true);
        expect(lengths.slice(0, -1).every((one) => one === pieceLength)).toBe(true);
      }),
    );
  });
});

describe('stored metainfo', () => {
  it('comes back from its bytes as it was', () => {
    fc.assert(
      fc.property(anyMetainfo, (metainfo) => {
        const bytes = encodeMetainfo(metainfo);
        expect(decodeMetainfo(bytes)).toEqual(metainfo);
        expect(encodeMetainfo(decodeMetainfo(bytes))).toEqual(bytes);
      }),
    );
  });

  it('tells each piece its own hash', () => {
    const sha256 = Buffer.concat(['a', 'b'].map((text) => createHash('sha256').update(text).digest()));
    const metainfo = {
      digest,
      length: 2 * MIN_PIECE_LENGTH,
      pieceLength: MIN_PIECE_LENGTH,
      sha1: Buffer.alloc(40),
      sha256,
    };
    expect(pieceSha256(metainfo, 0)).toEqual(createHash('sha256').update('a').digest());
    expect(pieceSha256(metainfo, 1)).toEqual(createHash('sha256').update('b').digest());
  });

  it('keeps the format of the first release', () => {
    expect(decodeMetainfo(stored(goodHead))).toMatchObject({ digest, length: 1, pieceLength: 65536 });
    expect(decodeMetainfo(stored({ ...goodHead, length: 0 }, 0))).toMatchObject({ length: 0 });
  });

  const hostile: readonly (readonly [string, Buffer])[] = [
    ['no bytes', Buffer.alloc(0)],
    ['no newline', Buffer.from(JSON.stringify(goodHead))],
    ['an endless head', Buffer.concat([Buffer.alloc(5_000, 0x20), stored(goodHead)])],
    ['a head that is no JSON', stored('{"format":')],
    ['a head that is null', stored('null')],
    ['a head that is a number', stored('7')],
    ['a head that is a text', stored('"shoal-metainfo/1"')],
    ['a head that is an array', stored('[]')],
    ['another format', stored({ ...goodHead, format: 'shoal-metainfo/2' })],
    ['no format', stored({ digest, length: 1, pieceLength: MIN_PIECE_LENGTH })],
    ['no digest', stored({ ...goodHead, digest: undefined })],
    ['a digest that is none', stored({ ...goodHead, digest: 'sha256:abc' })],
    ['a digest that is an object', stored({ ...goodHead, digest: {} })],
    ['a negative length', stored({ ...goodHead, length: -1 }, 0)],
    ['half a byte', stored({ ...goodHead, length: 0.5 })],
    [
      'a length past exact numbers',
      stored(`{"format":"shoal-metainfo/1","digest":"${digest}","length":1e300,"pieceLength":65536}`),
    ],
    ['a length as text', stored({ ...goodHead, length: '1' })],
    ['a length that cannot become text', stored({ ...goodHead, length: { toString: 1, valueOf: 1 } })],
    ['a piece length of nothing', stored({ ...goodHead, pieceLength: 0 })],
    ['a piece length that is no power of two', stored({ ...goodHead, pieceLength: 65537 })],
    ['a piece length below the least', stored({ ...goodHead, pieceLength: 32768 })],
    ['a piece length above the greatest', stored({ ...goodHead, pieceLength: 8 * MIB })],
    ['a huge length with few hashes', stored({ ...goodHead, length: Number.MAX_SAFE_INTEGER })],
    ['a hash too few', stored({ ...goodHead, length: MIN_PIECE_LENGTH + 1 }, 1)],
    ['a hash too many', stored(goodHead, 2)],
    ['a byte too few', stored(goodHead).subarray(0, -1)],
    ['a byte too many', Buffer.concat([stored(goodHead), Buffer.alloc(1)])],
  ];

  it.each(hostile)('is not read from %s', (_what, bytes) => {
    expect(() => decodeMetainfo(bytes)).toThrow(InvalidMetainfoError);
  });

  it('gives the typed error or metainfo for any bytes, never anything else', () => {
    const anyHead = fc.record(
      {
        format: fc.constant('shoal-metainfo/1'),
        digest: fc.oneof(anyDigest, fc.jsonValue()),
        length: fc.jsonValue(),
        pieceLength: fc.jsonValue(),
      },
      { requiredKeys: [] },
    );
    const anyBytes = fc.oneof(
      fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
      fc.jsonValue().map((value) => stored(value)),
      anyHead.map((head) => stored(head)),
    );
    fc.assert(
      fc.property(anyBytes, (bytes) => {
        try {
          expect(decodeMetainfo(bytes).sha1.length % SHA1_BYTES).toBe(0);
        } catch (error) {
          expect(error).toBeInstanceOf(InvalidMetainfoError);
        }
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('the torrent file', () => {
  /** Written by hand from BEP 3, so that a change of the library or the order of keys shows. */
  function infoByHand({ digest, length, pieceLength, sha1 }: Metainfo): Buffer {
    const hex = hexOf(digest);
    return Buffer.concat([
      Buffer.from(
        `d6:lengthi${length}e4:name${hex.length}:${hex}12:piece lengthi${pieceLength}e6:pieces${sha1.length}:`,
      ),
      sha1,
      Buffer.from('7:privatei1ee'),
    ]);
  }

  it('has an info part whose SHA-1 is the info hash', () => {
    fc.assert(
      fc.property(anyMetainfo, (metainfo) => {
        const info = infoByHand(metainfo);
        const url = 'http://localhost:15003/announce?key=abc';
        const expected = Buffer.concat([Buffer.from(`d8:announce${url.length}:${url}4:info`), info, Buffer.from('e')]);
        expect(torrentFile(metainfo, url)).toEqual(expected);
        expect(infoHashOf(metainfo)).toBe(createHash('sha1').update(info).digest('hex'));
      }),
    );
  });

  it('keeps its info hash through reading and writing by a foreign client', () => {
    fc.assert(
      fc.property(anyMetainfo, (metainfo) => {
        const { info } = bencode.decode(torrentFile(metainfo, 'http://t/announce')) as {
          info: Record<string, Uint8Array>;
        };
        expect(createHash('sha1').update(bencode.encode(info)).digest('hex')).toBe(infoHashOf(metainfo));
        expect(info['private']).toBe(1);
        expect(Buffer.from(info['name']!).toString('latin1')).toBe(hexOf(metainfo.digest));
      }),
    );
  });

  it('does not depend on the SHA-256, which stands outside of it', () => {
    fc.assert(
      fc.property(anyMetainfo, (metainfo) => {
        const other = { ...metainfo, sha256: Buffer.alloc(metainfo.sha256.length, 9) };
        expect(infoHashOf(other)).toBe(infoHashOf(metainfo));
      }),
    );
  });
});
