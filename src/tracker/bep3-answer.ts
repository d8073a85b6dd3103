import bencode from 'bencode';
import type { Peer } from '../core/index.ts';
import { writeAddress } from './ip-address.ts';

/** How a foreign client wants its peers. */
export interface ForeignAnswerForm {
  readonly compact: boolean;
  readonly noPeerId: boolean;
}

/**
 * The bencoded answer to a foreign announce: BEP 23 when compact, with IPv6 peers apart in `peers6` (BEP 7), the
 * dictionaries of BEP 3 otherwise. The interval is in whole seconds.
 */
export function encodeForeignAnswer(peers: readonly Peer[], intervalMs: number, form: ForeignAnswerForm): Buffer {
  const interval = Math.max(1, Math.ceil(intervalMs / 1000));
  return form.compact
    ? encodeCompact(peers, interval)
    : Buffer.from(bencode.encode({ interval, ...longPeers(peers, form) }));
}

/** A refusal in the form that clients show to people (BEP 3): sent with status 200. */
export function encodeForeignFailure(reason: string): Buffer {
  return Buffer.from(bencode.encode({ 'failure reason': reason }));
}

/** Written by hand: nearly every client asks for this form. */
function encodeCompact(peers: readonly Peer[], interval: number): Buffer {
  const v4 = peers.filter(({ host }) => !host.includes(':'));
  const v6 = peers.filter(({ host }) => host.includes(':'));
  const parts = [Buffer.from(`d8:intervali${interval}e5:peers${6 * v4.length}:`), compactPeers(v4, 4)];
  if (v6.length > 0) parts.push(Buffer.from(`6:peers6${18 * v6.length}:`), compactPeers(v6, 16));
  parts.push(Buffer.from('e'));
  return Buffer.concat(parts);
}

/** Address and port of each in network order: 6 bytes, or 18. */
function compactPeers(peers: readonly Peer[], addressLength: number): Buffer {
  const bytes = Buffer.allocUnsafe(peers.length * (addressLength + 2));
  let at = 0;
  for (const { host, port } of peers) {
    at = writeAddress(host, bytes, at);
    at = bytes.writeUInt16BE(port, at);
  }
  return bytes;
}

function longPeers(peers: readonly Peer[], { noPeerId }: ForeignAnswerForm) {
  return {
    peers: peers.map(({ id, host, port }) => ({
      ...(noPeerId ? {} : { 'peer id': Buffer.from(id, 'hex') }),
      ip: host,
      port,
    })),
  };
}
