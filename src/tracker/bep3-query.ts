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
  const text = (name: string) => parameters.get(name);
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
 * The parameters of a query, one character a byte (latin1): hashes and ids are binary, so no step may take them for UTF-8.
 * `+` stays `+`, since clients write a space as `%20`. The first of several equal names counts.
 */
function splitQuery(query: string): Map<string, string> {
  const parameters = new Map<string, string>();
  for (const pair of query.split('&')) {
    const equals = pair.indexOf('=');
    if (equals <= 0) continue;
    const name = pair.slice(0, equals);
    if (!parameters.has(name)) parameters.set(name, percentDecode(name, pair.slice(equals + 1)));
  }
  return parameters;
}

const PERCENT = 0x25;

/** What is left beside the escapes is ASCII, or the request line was none. */
function percentDecode(name: string, text: string): string {
  if (!text.includes('%')) return text;
  const bytes = Buffer.allocUnsafe(text.length);
  let length = 0;
  for (let at = 0; at < text.length; at++) {
    let byte = text.charCodeAt(at);
    if (byte === PERCENT) {
      byte = hexDigit(text, at + 1) * 16 + hexDigit(text, at + 2);
      if (Number.isNaN(byte)) throw new BadRequestError(`${name} has a "%" without two hex digits behind it`);
      at += 2;
    }
    bytes[length++] = byte;
  }
  return bytes.toString('latin1', 0, length);
}

/** The value of a hex digit; `NaN` for anything else, and behind the end. */
function hexDigit(text: string, at: number): number {
  const code = text.charCodeAt(at);
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const letter = code | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x61 + 10 : Number.NaN;
}

function hashHex(parameters: ReadonlyMap<string, string>, name: string): string {
  const bytes = parameters.get(name);
  if (bytes === undefined) throw new BadRequestError(`${name} is missing`);
  if (bytes.length === HASH_BYTES) return Buffer.from(bytes, 'latin1').toString('hex');
  throw new BadRequestError(`${name} has ${bytes.length} bytes, expected ${HASH_BYTES}, percent-encoded`);
}

function readPeerId(parameters: ReadonlyMap<string, string>): PeerId {
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
