import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';

/** `p1-<name of the proxy>-<random>-<signature>`; the parts have fixed lengths, as base64url has dashes of its own. */
const ID = /^p1-([0-9a-f]{16})-([A-Za-z0-9_-]{22})-([A-Za-z0-9_-]{22})$/;

const NAME_LENGTH = 16;
const RANDOM_BYTES = 16;
const SIGNATURE_BYTES = 16;

/** What a proxy is called in upload ids: as much of the SHA-256 of its base URL as tells the members of a cluster apart. */
export function proxyNameOf(baseUrl: string): string {
  return createHash('sha256').update(baseUrl).digest('hex').slice(0, NAME_LENGTH);
}

/**
 * Upload ids that say which proxy holds the upload. Nobody can guess one, and nobody without the cluster token can make one,
 * so that a client cannot have a proxy send its requests anywhere. 64 characters.
 */
export class UploadIds {
  readonly #key: Buffer;

  constructor(clusterToken: string) {
    // Derived, so that an id never says anything about the token itself.
    this.#key = createHmac('sha256', clusterToken).update('shoal upload id 1').digest();
  }

  /** A new id for an upload on the proxy of this name. */
  make(proxyName: string): string {
    const random = randomBytes(RANDOM_BYTES).toString('base64url');
    return `p1-${proxyName}-${random}-${this.#sign(proxyName, random).toString('base64url')}`;
  }

  /** The name of the proxy that made an id; `undefined` when none of this cluster has. */
  findProxyName(uploadId: string): string | undefined {
    const [, proxyName = '', random = '', signature = ''] = ID.exec(uploadId) ?? [];
    const given = Buffer.from(signature, 'base64url');
    if (given.length !== SIGNATURE_BYTES || !timingSafeEqual(given, this.#sign(proxyName, random))) return undefined;
    return proxyName;
  }

  #sign(proxyName: string, random: string): Buffer {
    const mac = createHmac('sha256', this.#key).update(`${proxyName}\n${random}`).digest();
    return mac.subarray(0, SIGNATURE_BYTES);
  }
}
