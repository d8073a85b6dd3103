import { createHash, type Hash } from 'node:crypto';
import { InvalidDigestError } from './errors.ts';

declare const brand: unique symbol;

/** The algorithms that name blobs. Both work everywhere. */
export type DigestAlgorithm = 'sha256' | 'sha512';

/**
 * `sha256:<64 hex>` or `sha512:<128 hex>`, lower case: the name of a blob by its bytes.
 *
 * A branded string, so that it is its own map key and its own JSON; made only by {@link parseDigest} and the functions
 * that hash. Source: OCI image specification, "Digests".
 */
export type Digest = `${DigestAlgorithm}:${string}` & { readonly [brand]: 'Digest' };

const hexLengths: Readonly<Record<DigestAlgorithm, number>> = { sha256: 64, sha512: 128 };
const hexOnly = /^[0-9a-f]+$/;

/** The algorithms, preferred first. */
export const digestAlgorithms: readonly DigestAlgorithm[] = ['sha256', 'sha512'];

/** Whether `text` names an algorithm that Shoal takes. */
export function isDigestAlgorithm(text: string): text is DigestAlgorithm {
  return text === 'sha256' || text === 'sha512';
}

/** Reads a digest; `undefined` when `text` is none. */
export function findDigest(text: string): Digest | undefined {
  const colon = text.indexOf(':');
  if (colon < 0) return undefined;
  return makeDigest(text.slice(0, colon), text.slice(colon + 1));
}

/** Reads a digest. @throws InvalidDigestError when `text` is none. */
export function parseDigest(text: string): Digest {
  const digest = findDigest(text);
  if (digest !== undefined) return digest;
  throw new InvalidDigestError(
    `"${text.slice(0, 150)}" is not a digest: expected sha256:<64 lower-case hex digits> or sha512:<128>`,
    { digest: text.slice(0, 150) },
  );
}

/** A digest of its two parts; `undefined` when they do not fit together. */
export function makeDigest(algorithm: string, hex: string): Digest | undefined {
  if (!isDigestAlgorithm(algorithm) || hex.length !== hexLengths[algorithm] || !hexOnly.test(hex)) return undefined;
  return `${algorithm}:${hex}` as Digest;
}

/** The algorithm part. */
export function algorithmOf(digest: Digest): DigestAlgorithm {
  return digest.startsWith('sha256:') ? 'sha256' : 'sha512';
}

/** The part behind the colon. */
export function hexOf(digest: Digest): string {
  return digest.slice(digest.indexOf(':') + 1);
}

/** The digest of bytes that are in memory. */
export function hashBytes(bytes: Uint8Array, algorithm: DigestAlgorithm = 'sha256'): Digest {
  return new DigestHasher(algorithm).update(bytes).digest();
}

/** Hashes bytes that come one after the other. */
export class DigestHasher {
  readonly algorithm: DigestAlgorithm;
  readonly #hash: Hash;

  constructor(algorithm: DigestAlgorithm) {
    this.algorithm = algorithm;
    this.#hash = createHash(algorithm);
  }

  /** Takes the next bytes. */
  update(bytes: Uint8Array): this {
    this.#hash.update(bytes);
    return this;
  }

  /** The digest of all bytes so far; more bytes may follow. */
  digest(): Digest {
    return `${this.algorithm}:${this.#hash.copy().digest('hex')}` as Digest;
  }
}
