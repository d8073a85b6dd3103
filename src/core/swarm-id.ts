import { createHmac } from 'node:crypto';
import type { Digest } from './digest.ts';
import { BadRequestError } from './errors.ts';

declare const brand: unique symbol;

/** SHA-1 of a blob's BitTorrent v1 info part, 40 hex digits: what foreign clients meet under. */
export type InfoHash = string & { readonly [brand]: 'InfoHash' };

/** What Shoal's peers meet under, 40 hex digits, in the place of the info hash in the handshake. */
export type SwarmId = string & { readonly [brand]: 'SwarmId' };

const hex40 = /^[0-9a-f]{40}$/;

/** Reads 40 hex digits as an info hash. @throws BadRequestError */
export function toInfoHash(text: string): InfoHash {
  if (hex40.test(text)) return text as InfoHash;
  throw new BadRequestError(`"${text.slice(0, 80)}" is not an info hash: expected 40 lower-case hex digits`);
}

/** Reads 40 hex digits as a swarm id. @throws BadRequestError */
export function toSwarmId(text: string): SwarmId {
  if (hex40.test(text)) return text as SwarmId;
  throw new BadRequestError(`"${text.slice(0, 80)}" is not a swarm id: expected 40 lower-case hex digits`);
}

/**
 * The swarm id of a blob: known before any piece is hashed, and a ticket, because only holders of the cluster's secret
 * can compute it.
 */
export function swarmIdOf(blob: { digest: Digest; length: number; pieceLength: number }, secret: string): SwarmId {
  const hmac = createHmac('sha256', secret).update(
    `shoal swarm 1\n${blob.digest}\n${blob.length}\n${blob.pieceLength}\n`,
  );
  return hmac.digest('hex').slice(0, 40) as SwarmId;
}

/** Lets a foreign client announce one blob without the cluster token: the secret part of its announce URL. */
export function announceKeyOf(infoHash: InfoHash, secret: string): string {
  return createHmac('sha256', secret).update(`shoal announce 1\n${infoHash}\n`).digest('hex').slice(0, 40);
}
