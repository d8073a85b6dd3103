import { BlockList, isIP, isIPv6 } from 'node:net';
import bencode from 'bencode';
import type { PeerAddress } from '../../core/index.ts';

/** The name of the extension (BEP 10) in which a peer that is full names others. */
export const PEERS_EXTENSION = 'shoal_peers';

/** Addresses in one message at most, sent or taken. */
export const MAX_OFFERED_PEERS = 8;

/** Eight addresses of either kind, and the words around them. */
const MAX_MESSAGE_BYTES = 512;

/** Bytes of an address with its port. */
const COMPACT4 = 6;
const COMPACT6 = 18;

/**
 * Addresses as a peer is told them: a dictionary with `peers` (6 bytes each, BEP 23) and `peers6` (18 bytes each, BEP 7).
 * At most {@link MAX_OFFERED_PEERS}; what is no IP literal with a port is left out.
 */
export function encodePeers(peers: readonly PeerAddress[]): Buffer {
  const usable = peers.filter(isUsable).slice(0, MAX_OFFERED_PEERS);
  const parts = (six: boolean) => Buffer.concat(usable.filter((peer) => isIPv6(peer.host) === six).map(compact));
  return Buffer.from(bencode.encode({ peers: parts(false), peers6: parts(true) }));
}

/** The inverse of {@link encodePeers}; `undefined` when the bytes are no such message. Unusable addresses are left out. */
export function findPeers(bytes: Uint8Array): readonly PeerAddress[] | undefined {
  if (bytes.length > MAX_MESSAGE_BYTES) return undefined;
  const fields = findFields(bytes);
  if (fields === undefined) return undefined;
  const peers = [...split(fields['peers'], COMPACT4), ...split(fields['peers6'], COMPACT6)];
  return peers.length > MAX_OFFERED_PEERS ? undefined : peers.filter(isUsable);
}

function findFields(bytes: Uint8Array): { readonly [name: string]: unknown } | undefined {
  let value: unknown;
  try {
    value = bencode.decode(bytes);
  } catch {
    return undefined; // Whatever it is, it is not bencoded.
  }
  const isDictionary =
    typeof value === 'object' && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value);
  return isDictionary ? (value as { readonly [name: string]: unknown }) : undefined;
}

function* split(value: unknown, size: number): Generator<PeerAddress> {
  if (!ArrayBuffer.isView(value) || value.byteLength % size !== 0) return;
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  for (let at = 0; at < bytes.length; at += size) {
    const port = bytes.readUInt16BE(at + size - 2);
    yield { host: formatIp(bytes.subarray(at, at + size - 2)), port };
  }
}

function formatIp(bytes: Buffer): string {
  if (bytes.length === 4) return bytes.join('.');
  const groups = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(2 * index).toString(16));
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1);
}

function compact({ host, port }: PeerAddress): Buffer {
  const bytes = isIPv6(host) ? parseIp6(host) : Buffer.from(host.split('.').map(Number));
  const end = Buffer.alloc(2);
  end.writeUInt16BE(port);
  return Buffer.concat([bytes, end]);
}

function parseIp6(host: string): Buffer {
  // The URL parser writes the last 32 bits in hex as well, so that only `::` is left to fill in.
  const [head = '', tail = ''] = new URL(`http://[${host}]`).hostname.slice(1, -1).split('::');
  const groups = (text: string) => (text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16)));
  const [first, last] = [groups(head), groups(tail)];
  const all = [...first, ...Array<number>(8 - first.length - last.length).fill(0), ...last];
  const bytes = Buffer.alloc(16);
  all.forEach((group, index) => {
    bytes.writeUInt16BE(group, 2 * index);
  });
  return bytes;
}

/** Addresses at which nobody listens: unspecified, multicast, broadcast. */
function nowhere(): BlockList {
  const list = new BlockList();
  list.addSubnet('0.0.0.0', 8, 'ipv4');
  list.addSubnet('224.0.0.0', 3, 'ipv4');
  list.addAddress('::', 'ipv6');
  list.addSubnet('ff00::', 8, 'ipv6');
  return list;
}

const NOWHERE = nowhere();

/** An IP literal, never a name, that somebody can listen at. */
function isUsable({ host, port }: PeerAddress): boolean {
  const family = isIP(host);
  if (family === 0 || host.includes('%') || !Number.isInteger(port) || port < 1 || port > 65_535) return false;
  return !NOWHERE.check(host, family === 6 ? 'ipv6' : 'ipv4');
}
