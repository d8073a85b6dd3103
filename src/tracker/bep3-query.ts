import { BadRequestError, findPeerId, type InfoHash, type PeerId, toInfoHash } from '../core/index.ts';

/** What a foreign BitTorrent client announces (BEP 3, "Trackers"). */
export interface ForeignAnnounce {
  readonly infoHash: InfoHash;
  readonly peerId: PeerId;
  readonly port: number;
  /** Whether nothing is left to download. */
  readonly complete: boolean;
  readonly stopped: boolean;
  /** How many peers are wanted. */
  readonly want: number;
  /** BEP 23: 6 bytes a peer instead of a dictionary. Most clients ask for it; it is also what no answer at all means. */
  readonly compact: boolean;
  /** Whether the dictionaries of a long answer leave out the peers' ids. */
  readonly noPeerId: boolean;
}

/** What clients usually get when they do not say how many peers they want. */
const DEFAULT_WANT = 50;
const HASH_BYTES = 20;
/** A query of a real client has some 300 characters. */
const MAX_QUERY_LENGTH = 4096;

/**
 * Reads the query of a foreign announce, as it stands in the request line. The address of the peer is not read from it
 * (`ip`, `ipv6`): a peer announces the address that it connects from.
 *
 * @throws BadRequestError that says which parameter is wrong
 */
export function parseForeignAnnounce(query: string): ForeignAnnounce {
  if (query.length > MAX_QUERY_LENGTH) {
    throw new BadRequestError(`the query has ${query.length} characters, expected ${MAX_QUERY_LENGTH} at most`);
  }
  const parameters = splitQuery(query);
  const text = (name: string) => parameters.get(name)?.toString('latin1');
  return {
    infoHash: toInfoHash(hashHex(parameters, 'info_hash')),
    peerId: readPeerId(parameters),
    port: readNumber('port', text('port'), { from: 1, to: 65_535 }),
    complete: readLeft(text('left')) === 0,
    stopped: text('event') === 'stopped',
    want: readWant(text('numwant')),
    compact: text('compact') !== '0',
    noPeerId: text('no_peer_id') === '1',
  };
}

/**
 * The parameters of a query as bytes: hashes and ids are binary, so no step may take them for UTF-8. `+` stays `+`, since
 * clients write a space as `%20`. The first of several equal names counts.
 */
function splitQuery(query: string): Map<string, Buffer> {
  const parameters = new Map<string, Buffer>();
  for (const pair of query.split('&')) {
    const equals = pair.indexOf('=');
    if (equals <= 0) continue;
    const name = pair.slice(0, equals);
    if (!parameters.has(name)) parameters.set(name, percentDecode(name, pair.slice(equals + 1)));
  }
  return parameters;
}

function percentDecode(name: string, text: string): Buffer {
  // One character a byte: what is left once every escape is replaced is latin1 throughout, or no valid request line.
  const decoded = text.replace(/%([0-9a-f]{2})?/gi, (_escape, hex: string | undefined) => {
    if (hex === undefined) throw new BadRequestError(`${name} has a "%" without two hex digits behind it`);
    return String.fromCharCode(Number.parseInt(hex, 16));
  });
  return Buffer.from(decoded, 'latin1');
}

function hashHex(parameters: ReadonlyMap<string, Buffer>, name: string): string {
  const bytes = parameters.get(name);
  if (bytes === undefined) throw new BadRequestError(`${name} is missing`);
  if (bytes.length === HASH_BYTES) return bytes.toString('hex');
  throw new BadRequestError(`${name} has ${bytes.length} bytes, expected ${HASH_BYTES}, percent-encoded`);
}

function readPeerId(parameters: ReadonlyMap<string, Buffer>): PeerId {
  const hex = hashHex(parameters, 'peer_id');
  const id = findPeerId(hex);
  if (id !== undefined) return id;
  throw new BadRequestError(`peer_id ${hex} is none`);
}

function readNumber(name: string, text: string | undefined, range: { from: number; to?: number }): number {
  const { from, to = Number.POSITIVE_INFINITY } = range;
  // 20 digits are what the greatest 64-bit number has.
  const value = text !== undefined && /^\d{1,20}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= from && value <= to) return value;
  const given = text === undefined ? 'is missing' : `is ${JSON.stringify(text.slice(0, 40))}`;
  const expected = range.to === undefined ? `a number of ${from} or more` : `a number from ${from} to ${to}`;
  throw new BadRequestError(`${name} ${given}, expected ${expected}`);
}

/** A client that does not know what is left (it has no metainfo yet) says nothing, or the greatest number it has, or -1. */
function readLeft(text: string | undefined): number {
  if (text === undefined || text === '' || text.startsWith('-')) return Number.POSITIVE_INFINITY;
  return readNumber('left', text, { from: 0 });
}

/** `numwant` is a wish: some clients send -1 for "as usual". */
function readWant(text: string | undefined): number {
  if (text === undefined || text === '' || text.startsWith('-')) return DEFAULT_WANT;
  return readNumber('numwant', text, { from: 0 });
}
