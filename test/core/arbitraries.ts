import fc from 'fast-check';
import { type DigestAlgorithm, makeDigest, parseRepository, parseTag } from '../../src/core/index.ts';

const hexDigit = fc.constantFrom(...'0123456789abcdef');
/** Lower-case hex digits, exactly `length` of them. */
export const hex = (length: number) => fc.string({ unit: hexDigit, minLength: length, maxLength: length });

export const anyAlgorithm = fc.constantFrom<DigestAlgorithm>('sha256', 'sha512');

export const anyDigest = anyAlgorithm.chain((algorithm) =>
  hex(algorithm === 'sha256' ? 64 : 128).map((text) => makeDigest(algorithm, text)!),
);

export const anyRepository = fc
  .stringMatching(
    /^[a-z0-9]{1,6}(?:(?:\.|_|__|-{1,3})[a-z0-9]{1,4}){0,2}(?:\/[a-z0-9]{1,6}(?:[._-][a-z0-9]{1,3})?){0,3}$/,
  )
  .map(parseRepository);

export const anyTag = fc.stringMatching(/^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/).map(parseTag);
