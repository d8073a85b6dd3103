import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  algorithmOf,
  DigestHasher,
  digestAlgorithms,
  findDigest,
  hashBytes,
  hexOf,
  InvalidDigestError,
  isDigestAlgorithm,
  makeDigest,
  parseDigest,
} from '../../src/core/index.ts';
import { anyDigest } from './arbitraries.ts';

const HEX = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';
const HEX_512 = createHash('sha512').update('').digest('hex');

describe('digests', () => {
  it.each([
    [`sha256:${HEX}`, 'sha256', HEX],
    [`sha512:${HEX_512}`, 'sha512', HEX_512],
    [`sha256:${'0'.repeat(64)}`, 'sha256', '0'.repeat(64)],
  ])('are read from %s', (text, algorithm, hex) => {
    const digest = parseDigest(text);
    expect(digest).toBe(text);
    expect(findDigest(text)).toBe(text);
    expect(makeDigest(algorithm, hex)).toBe(text);
    expect([algorithmOf(digest), hexOf(digest)]).toEqual([algorithm, hex]);
  });

  it.each([
    ['nothing', ''],
    ['hex alone', HEX],
    ['an algorithm alone', 'sha256:'],
    ['a colon alone', ':'],
    ['a digit too few', `sha256:${HEX.slice(1)}`],
    ['a digit too many', `sha256:${HEX}0`],
    ['upper-case hex', `sha256:${HEX.toUpperCase()}`],
    ['an upper-case algorithm', `SHA256:${HEX}`],
    ['sha512 with the length of sha256', `sha512:${HEX}`],
    ['sha256 with the length of sha512', `sha256:${HEX_512}`],
    ['another algorithm', `md5:${HEX.slice(0, 32)}`],
    ['an algorithm that every object has', `constructor:${HEX}`],
    ['a letter that is no hex', `sha256:${'g'.repeat(64)}`],
    ['a newline at the end', `sha256:${HEX}\n`],
    ['a newline in place of a digit', `sha256:${HEX.slice(1)}\n`],
    ['a space before', ` sha256:${HEX}`],
    ['two colons', `sha256::${HEX.slice(1)}`],
    ['a path', `sha256:${'../'.repeat(21)}.`],
  ])('are not read from %s', (_what, text) => {
    expect(findDigest(text)).toBeUndefined();
    expect(() => parseDigest(text)).toThrow(InvalidDigestError);
  });

  it('quote no more than a bounded part of what is wrong', () => {
    expect(() => parseDigest('x'.repeat(1_000_000))).toThrow(/^.{1,400}$/);
  });

  it('come apart and together again', () => {
    fc.assert(
      fc.property(anyDigest, (digest) => {
        expect(makeDigest(algorithmOf(digest), hexOf(digest))).toBe(digest);
        expect(parseDigest(digest)).toBe(digest);
      }),
    );
  });

  it('never come out of a text that is no digest', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 200 }), (text) => {
        const digest = findDigest(text);
        if (digest !== undefined) expect(text).toMatch(/^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/);
      }),
    );
  });
});

describe('hashing', () => {
  it('gives the digests that the standard gives for "abc"', () => {
    // FIPS 180-4, the examples of NIST.
    expect(hashBytes(Buffer.from('abc'))).toBe(
      'sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
    );
    expect(hashBytes(Buffer.from('abc'), 'sha512')).toBe(
      'sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a' +
        '2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f',
    );
    expect(hashBytes(new Uint8Array())).toBe(`sha256:${HEX}`);
  });

  it('does not depend on where the bytes are cut', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 50 })),
        fc.constantFrom(...digestAlgorithms),
        (chunks, algorithm) => {
          const hasher = new DigestHasher(algorithm);
          for (const chunk of chunks) hasher.update(chunk);
          expect(hasher.digest()).toBe(hashBytes(Buffer.concat(chunks), algorithm));
        },
      ),
    );
  });

  it('tells the digest so far, and goes on', () => {
    const hasher = new DigestHasher('sha256').update(Buffer.from('a'));
    expect(hasher.digest()).toBe(hashBytes(Buffer.from('a')));
    expect(hasher.update(Buffer.from('bc')).digest()).toBe(hashBytes(Buffer.from('abc')));
  });

  it('names its algorithms', () => {
    expect(digestAlgorithms.every(isDigestAlgorithm)).toBe(true);
    expect(['sha1', 'SHA256', '', 'toString'].some(isDigestAlgorithm)).toBe(false);
  });
});
