import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { announceKeyOf, BadRequestError, swarmIdOf, toInfoHash, toSwarmId } from '../../src/core/index.ts';
import { anyDigest } from './arbitraries.ts';

const anyBlob = fc.record({ digest: anyDigest, length: fc.maxSafeNat(), pieceLength: fc.constantFrom(65536, 131072) });

describe('swarm ids', () => {
  it('are 40 hex digits of an HMAC over digest, length and piece length', () => {
    fc.assert(
      fc.property(anyBlob, fc.string({ minLength: 1 }), (blob, secret) => {
        const text = `shoal swarm 1\n${blob.digest}\n${blob.length}\n${blob.pieceLength}\n`;
        const expected = createHmac('sha256', secret).update(text).digest('hex').slice(0, 40);
        expect(swarmIdOf(blob, secret)).toBe(expected);
        expect(toSwarmId(swarmIdOf(blob, secret))).toBe(expected);
      }),
    );
  });

  it('differ as soon as anything that makes them differs', () => {
    const different = fc.tuple(fc.tuple(anyBlob, fc.string()), fc.tuple(anyBlob, fc.string()));
    fc.assert(
      fc.property(different, ([[blob, secret], [otherBlob, otherSecret]]) => {
        const id = swarmIdOf(blob, secret);
        for (const key of ['digest', 'length', 'pieceLength'] as const) {
          if (blob[key] !== otherBlob[key]) expect(swarmIdOf({ ...blob, [key]: otherBlob[key] }, secret)).not.toBe(id);
        }
        if (secret !== otherSecret) expect(swarmIdOf(blob, otherSecret)).not.toBe(id);
      }),
    );
  });

  it('do not give away announce keys, which come from the same secret', () => {
    const infoHash = toInfoHash('ab'.repeat(20));
    const key = announceKeyOf(infoHash, 'secret');
    expect(key).toMatch(/^[0-9a-f]{40}$/);
    expect(announceKeyOf(infoHash, 'other')).not.toBe(key);
    expect(announceKeyOf(toInfoHash('ac'.repeat(20)), 'secret')).not.toBe(key);
  });
});

describe('40 hex digits', () => {
  it.each([
    ['nothing', ''],
    ['39 digits', 'a'.repeat(39)],
    ['41 digits', 'a'.repeat(41)],
    ['upper case', 'A'.repeat(40)],
    ['a newline at the end', `${'a'.repeat(40)}\n`],
    ['letters that are no hex', 'g'.repeat(40)],
    ['a very long text', 'g'.repeat(100_000)],
  ])('are not read from %s', (_what, text) => {
    expect(() => toInfoHash(text)).toThrow(BadRequestError);
    expect(() => toSwarmId(text)).toThrow(BadRequestError);
    expect(() => toSwarmId(text)).toThrow(/^.{1,200}$/s);
  });
});
