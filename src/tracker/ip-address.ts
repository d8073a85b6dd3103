import { isIP, SocketAddress } from 'node:net';

const mappedPrefix = '::ffff:';

/**
 * An IP address in its one usual form, so that two texts for one host compare equal: IPv4-mapped IPv6 becomes IPv4 (what a
 * socket that listens on both sees of an IPv4 peer; RFC 4291, section 2.5.5.2), IPv6 is compressed (RFC 5952), a zone is
 * taken off. `undefined` when `text` is no IP address.
 */
export function normaliseAddress(text: string): string | undefined {
  const address = text.split('%', 1)[0]!;
  switch (isIP(address)) {
    case 4:
      return address;
    case 6: {
      const compressed = new SocketAddress({ address, family: 'ipv6' }).address;
      const mapped = compressed.startsWith(mappedPrefix) ? compressed.slice(mappedPrefix.length) : '';
      return isIP(mapped) === 4 ? mapped : compressed;
    }
    default:
      return undefined;
  }
}

/** Whether an address (in its usual form) can belong to one host at all: not "any", not a multicast group. */
export function isHostAddress(address: string): boolean {
  if (isIP(address) === 4) {
    const first = Number(address.split('.', 1)[0]);
    return first > 0 && first < 224;
  }
  return address !== '::' && !/^ff/i.test(address);
}

/**
 * Writes an address in its usual form into a buffer in network order: 4 bytes for IPv4, 16 for IPv6.
 * @returns where the next byte goes
 */
export function writeAddress(address: string, into: Buffer, at: number): number {
  if (address.includes(':')) {
    into.set(ipv6Bytes(address), at);
    return at + 16;
  }
  let octet = 0;
  let next = at;
  for (let index = 0; index < address.length; index++) {
    const code = address.charCodeAt(index);
    if (code === 0x2e) {
      into[next++] = octet;
      octet = 0;
    } else octet = octet * 10 + code - 0x30;
  }
  into[next++] = octet;
  return next;
}

function ipv6Bytes(address: string): number[] {
  // The tail of an address may be written as IPv4, such as ::1.2.3.4.
  const hex = address.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_match, ...bytes) => {
    const [a = 0, b = 0, c = 0, d = 0] = bytes.slice(0, 4).map(Number);
    return `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
  });
  const [head = '', tail = ''] = hex.split('::');
  const groupsOf = (part: string) => (part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16)));
  const front = groupsOf(head);
  const back = groupsOf(tail);
  const groups = [...front, ...new Array<number>(8 - front.length - back.length).fill(0), ...back];
  return groups.flatMap((group) => [group >> 8, group & 0xff]);
}
