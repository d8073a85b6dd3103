import bencode from 'bencode';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BadRequestError, type Peer } from '../../src/core/index.ts';
import { encodeForeignAnswer, encodeForeignFailure } from '../../src/tracker/bep3-answer.ts';
import { parseForeignAnnounce } from '../../src/tracker/bep3-query.ts';
import { percentEncode } from './foreign-client.ts';
import { host } from './values.ts';

const hash = `ff00${'ab'.repeat(18)}`;
const id = '2d5452343030302d'.padEnd(40, '7');
const base = `info_hash=${percentEncode(hash)}&peer_id=${percentEncode(id)}&port=6881`;

describe('parseForeignAnnounce', () => {
  it('reads what clients send', () => {
    const query = `${base}&uploaded=0&downloaded=0&left=100&compact=1&numwant=80&event=started&key=9`;
    expect(parseForeignAnnounce(query)).toEqual({
      infoHash: hash,
      peerId: id,
      port: 6881,
      complete: false,
      stopped: false,
      want: 80,
      compact: true,
      noPeerId: false,
    });
  });

  it('reads hashes and ids of any bytes, however they are escaped', () => {
    const bytes20 = fc.uint8Array({ minLength: 20, maxLength: 20 }).map((bytes) => Buffer.from(bytes).toString('hex'));
    fc.assert(
      fc.property(bytes20, bytes20, fc.boolean(), fc.boolean(), (infoHash, peerId, everything, lower) => {
        const write = (hex: string) => {
          const text = percentEncode(hex, everything);
          return lower ? text.replace(/%../g, (escaped) => escaped.toLowerCase()) : text;
        };
        const announce = parseForeignAnnounce(`info_hash=${write(infoHash)}&peer_id=${write(peerId)}&port=1`);
        expect(announce).toMatchObject({ infoHash, peerId, port: 1 });
      }),
    );
  });

  it.each([
    ['left=0', { complete: true }],
    ['left=00', { complete: true }],
    ['left=1', { complete: false }],
    ['', { complete: false }],
    ['left=', { complete: false }],
    ['left=-1', { complete: false }],
    ['left=18446744073709551615', { complete: false }],
    ['event=stopped', { stopped: true }],
    ['event=completed', { stopped: false }],
    ['event=paused', { stopped: false }],
    ['numwant=0', { want: 0 }],
    ['numwant=-1', { want: 50 }],
    ['', { want: 50, compact: true, noPeerId: false }],
    ['compact=0', { compact: false }],
    ['compact=0&no_peer_id=1', { compact: false, noPeerId: true }],
    ['ip=10.1.1.1&ipv6=%5B%3A%3A1%5D', {}],
    ['port=7', { port: 6881 }],
    ['&&=&x&=y', {}],
  ])('understands %j', (extra, expected) => {
    expect(parseForeignAnnounce(`${base}&${extra}`)).toMatchObject(expected);
  });

  it.each([
    ['', /info_hash is missing/],
    [`peer_id=${percentEncode(id)}&port=1`, /info_hash is missing/],
    [base.replace('peer_id', 'peerid'), /peer_id is missing/],
    [base.replace('&port=6881', ''), /port is missing/],
    [base.replace('6881', '0'), /port is "0", expected a number from 1 to 65535/],
    [base.replace('6881', '65536'), /port is "65536"/],
    [base.replace('6881', '-1'), /port is "-1"/],
    [base.replace('6881', '0x50'), /port is "0x50"/],
    [base.replace('6881', '68%0081'), /port is "68/],
    [base.replace('6881', '1e3'), /port is "1e3"/],
    [`${base}&left=many`, /left is "many", expected a number of 0 or more/],
    [`${base}&numwant=1.5`, /numwant is "1.5"/],
    [`${base}&left=%zz`, /left has a "%" without two hex digits/],
    [`${base}&left=%4`, /left has a "%" without two hex digits/],
    [base.replace('%AB', ''), /info_hash has 19 bytes, expected 20/],
    [base.replace('%AB', '%AB%AB'), /info_hash has 21 bytes/],
    [base.replace(percentEncode(hash), hash), /info_hash has 40 bytes/],
    [`${base}&x=${'y'.repeat(5_000)}`, /expected 4096 at most/],
  ])('refuses %j', (query, message) => {
    expect(() => parseForeignAnnounce(query)).toThrow(message);
    expect(() => parseForeignAnnounce(query)).toThrow(BadRequestError);
  });

  it('answers any text with an announce or a typed refusal', () => {
    const piece = fc.oneof(
      fc.string(),
      fc.constantFrom('%', '%f', '%ff', '=', '&', '?', '+', base, 'info_hash=', 'left=', 'port=1'),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
        try {
          expect(parseForeignAnnounce(pieces.join(''))).toMatchObject({ port: expect.any(Number) });
        } catch (error) {
          expect(error).toBeInstanceOf(BadRequestError);
        }
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('encodeForeignAnswer', () => {
  const peers: Peer[] = [
    { ...host(1), complete: true, port: 6881 },
    { ...host(2), complete: false, host: 'fd00::2', port: 65_535 },
    { ...host(3), complete: false, port: 1 },
  ];
  const read = (bytes: Buffer) => bencode.decode(bytes) as Record<string, unknown>;

  it('writes compact peers, IPv6 apart', () => {
    const answer = read(encodeForeignAnswer(peers, 30_000, { compact: true, noPeerId: false }));
    expect(Buffer.from(answer['peers'] as Uint8Array).toString('hex')).toBe('0a0000011ae10a0000030001');
    expect(Buffer.from(answer['peers6'] as Uint8Array).toString('hex')).toBe('fd000000000000000000000000000002ffff');
    expect(answer['interval']).toBe(30);
  });

  it('writes an empty compact list as an empty string, without peers6', () => {
    const bytes = encodeForeignAnswer([], 1, { compact: true, noPeerId: false });
    expect(bytes.toString('latin1')).toBe('d8:intervali1e5:peers0:e');
  });

  it('writes dictionaries with ids, and without', () => {
    const long = read(encodeForeignAnswer(peers, 1_500, { compact: false, noPeerId: false }));
    const list = long['peers'] as Record<string, unknown>[];
    expect(list.map(({ port }) => port)).toEqual([6881, 65_535, 1]);
    expect(list.map(({ ip }) => Buffer.from(ip as Uint8Array).toString())).toEqual(['10.0.0.1', 'fd00::2', '10.0.0.3']);
    expect(Buffer.from(list[0]!['peer id'] as Uint8Array).toString('hex')).toBe(peers[0]!.id);
    expect(long['interval']).toBe(2);
    const short = read(encodeForeignAnswer(peers, 1_500, { compact: false, noPeerId: true }));
    expect((short['peers'] as object[]).every((entry) => !('peer id' in entry))).toBe(true);
  });

  it('writes a refusal', () => {
    expect(encodeForeignFailure('no').toString()).toBe('d14:failure reason2:noe');
  });
});
