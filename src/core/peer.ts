import { randomBytes } from 'node:crypto';

declare const brand: unique symbol;

/** A peer's name for one run of its process: 20 bytes as 40 hex digits (BEP 3 `peer_id`). */
export type PeerId = string & { readonly [brand]: 'PeerId' };

/** Where a peer listens. `host` is an IP address, never a name. */
export interface PeerAddress {
  readonly host: string;
  readonly port: number;
}

/** One participant of a swarm, as the tracker hands it out. */
export interface Peer extends PeerAddress {
  readonly id: PeerId;
  /** Whether it is an origin: a dedicated seeder. */
  readonly origin: boolean;
  /** Whether it has every piece. */
  readonly complete: boolean;
}

/** Azureus-style prefix of our peer ids (BEP 20): client SH, version 0.1.0.0. */
const PREFIX = '-SH0100-';

const peerIdPattern = /^[0-9a-f]{40}$/;

/** A fresh peer id. */
export function makePeerId(): PeerId {
  return Buffer.concat([Buffer.from(PREFIX, 'latin1'), randomBytes(12)]).toString('hex') as PeerId;
}

/** Reads a peer id of 40 hex digits; `undefined` when `text` is none. */
export function findPeerId(text: string): PeerId | undefined {
  return peerIdPattern.test(text) ? (text as PeerId) : undefined;
}

/** `host:port`, with an IPv6 host in brackets. */
export function formatAddress(address: PeerAddress): string {
  return address.host.includes(':') ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}
