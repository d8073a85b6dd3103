import { request } from 'node:http';
import bencode from 'bencode';

/** Bytes given in hex, percent-encoded: all of them, or only those that are not unreserved (RFC 3986, section 2.3). */
export function percentEncode(hex: string, everything = false): string {
  return [...Buffer.from(hex, 'hex')]
    .map((byte) => {
      const character = String.fromCharCode(byte);
      if (!everything && /[A-Za-z0-9._~-]/.test(character)) return character;
      return `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
    })
    .join('');
}

/** What an HTTP server answered, in memory. */
export interface RawAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

/** Where a request goes, and with what headers; `host` is an address. */
export interface RawGetOptions {
  readonly host?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** `GET` with the path exactly as given: `fetch` would rewrite what is no valid URL. */
export async function rawGet(port: number, path: string, options: RawGetOptions = {}): Promise<RawAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<RawAnswer>();
  const { host = '127.0.0.1', headers = {} } = options;
  const call = request({ host, port, path, headers, agent: false, timeout: 10_000 }, (response) => {
    const parts: Buffer[] = [];
    response.on('data', (part: Buffer) => parts.push(part));
    response.on('error', reject);
    response.on('end', () => {
      resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(parts) });
    });
  });
  call.on('timeout', () => call.destroy(new Error(`no answer to GET ${path}`)));
  call.on('error', reject);
  call.end();
  return promise;
}

/** One announce of a foreign client. */
export interface ForeignClientAnnounce {
  readonly key: string;
  readonly infoHash: string;
  readonly peerId: string;
  readonly port?: number;
  readonly more?: Readonly<Record<string, string | number>>;
  readonly host?: string;
}

/** What a foreign client makes of the answer. */
export interface ForeignClientAnswer {
  readonly failure: string | undefined;
  readonly interval: number | undefined;
  /** `host:port`, sorted; IPv6 as 32 hex digits. */
  readonly peers: string[];
}

/** Announces as a plain BitTorrent client does (BEP 3, BEP 23). */
export async function foreignAnnounce(port: number, announce: ForeignClientAnnounce): Promise<ForeignClientAnswer> {
  const { key, infoHash, peerId, more = {} } = announce;
  const rest = Object.entries({ port: announce.port ?? 6881, left: 0, compact: 1, ...more });
  const query = [`info_hash=${percentEncode(infoHash)}`, `peer_id=${percentEncode(peerId)}`]
    .concat(rest.map(([name, value]) => `${name}=${value}`))
    .join('&');
  const answer = await rawGet(
    port,
    `/announce/${key}?${query}`,
    announce.host === undefined ? {} : { host: announce.host },
  );
  if (answer.status !== 200) throw new Error(`status ${answer.status}: ${answer.body.toString()}`);
  return readForeignAnswer(answer.body);
}

/** Reads a compact answer. */
export function readForeignAnswer(body: Buffer): ForeignClientAnswer {
  const answer = bencode.decode(body) as Record<string, Uint8Array | number | undefined>;
  const failure = answer['failure reason'];
  const bytesOf = (name: string) => Buffer.from((answer[name] as Uint8Array | undefined) ?? []);
  const [v4, v6] = [bytesOf('peers'), bytesOf('peers6')];
  const peers: string[] = [];
  for (let at = 0; at < v4.length; at += 6) {
    peers.push(`${[...v4.subarray(at, at + 4)].join('.')}:${v4.readUInt16BE(at + 4)}`);
  }
  for (let at = 0; at < v6.length; at += 18) {
    peers.push(`${v6.subarray(at, at + 16).toString('hex')}:${v6.readUInt16BE(at + 16)}`);
  }
  return {
    failure: failure instanceof Uint8Array ? Buffer.from(failure).toString() : undefined,
    interval: answer['interval'] as number | undefined,
    peers: peers.sort(),
  };
}
