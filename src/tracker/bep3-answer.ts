import bencode from 'bencode';
import type { Peer } from '../core/index.ts';
import { addressBytes } from './ip-address.ts';

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
  return Buffer.from(bencode.encode({ interval, ...(form.compact ? compactPeers(peers) : longPeers(peers, form)) }));
}

/** A refusal in the form that clients show to people (BEP 3): sent with status 200. */
export function encodeForeignFailure(reason: string): Buffer {
  return Buffer.from(bencode.encode({ 'failure reason': reason }));
}

function compactPeers(peers: readonly Peer[]): { peers: Buffer; peers6?: Buffer } {
  const [v4, v6] = [4, 16].map((length) => {
    return Buffer.concat(peers.map(compactPeer).filter((bytes) => bytes.length === length + 2));
  });
  return { peers: v4!, ...(v6!.length > 0 ? { peers6: v6! } : {}) };
}

/** Address and port in network order: 6 bytes, or 18. */
function compactPeer({ host, port }: Peer): Buffer {
  return Buffer.concat([addressBytes(host), Buffer.from([port >> 8, port & 0xff])]);
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
