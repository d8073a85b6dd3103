import bencode from 'bencode';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodePeers, findPeers } from '../../src/swarm/wire/wire-peers.ts';
import { PeerPieces } from '../../src/swarm/wire/wire-pieces.ts';
import { StaleRequests } from '../../src/swarm/wire/wire-requests.ts';

const port = fc.integer({ min: 1, max: 65_535 });
const ipv4 = fc
  .tuple(fc.integer({ min: 1, max: 223 }), fc.nat(255), fc.nat(255), fc.nat(255))
  .map((parts) => parts.join('.'));

describe('addresses of other peers', () => {
  it('come out as they went in', () => {
    fc.assert(
      fc.property(fc.array(fc.record({ host: ipv4, port }), { maxLength: 8 }), (peers) => {
        expect(findPeers(encodePeers(peers))).toEqual(peers);
      }),
    );
  });

  it.each(['2001:db8::1', '::1', 'fe80::1:2:3:4', '1:2:3:4:5:6:7:8', '2001:db8:0:1::'])(
    'come out as they went in: %s',
    (host) => {
      expect(findPeers(encodePeers([{ host, port: 443 }]))).toEqual([{ host, port: 443 }]);
    },
  );

  it('are eight at most', () => {
    const many = Array.from({ length: 20 }, (_, index) => ({ host: `10.0.0.${index + 1}`, port: 80 }));
    expect(findPeers(encodePeers(many))).toEqual(many.slice(0, 8));
    const peers = Buffer.alloc(9 * 6, 1);
    expect(findPeers(Buffer.from(bencode.encode({ peers })))).toBeUndefined();
  });

  it.each([
    ['a name', { host: 'origin.example', port: 80 }],
    ['port 0', { host: '10.0.0.1', port: 0 }],
    ['a port too high', { host: '10.0.0.1', port: 65_536 }],
    ['half a port', { host: '10.0.0.1', port: 1.5 }],
    ['nowhere', { host: '0.0.0.0', port: 80 }],
    ['a group', { host: '224.0.0.1', port: 80 }],
    ['everybody', { host: '255.255.255.255', port: 80 }],
    ['nowhere in IPv6', { host: '::', port: 80 }],
    ['a group in IPv6', { host: 'ff02::1', port: 80 }],
    ['an address of one link', { host: 'fe80::1%eth0', port: 80 }],
  ])('are left out when they are %s', (_what, peer) => {
    expect(findPeers(encodePeers([peer]))).toEqual([]);
  });

  it.each([
    ['noise', Buffer.from('no bencode')],
    ['nothing', Buffer.alloc(0)],
    ['a list', Buffer.from('le')],
    ['a number', Buffer.from('i5e')],
    ['a text', Buffer.from('5:peers')],
    ['too much', Buffer.from(bencode.encode({ peers: Buffer.alloc(600, 1) }))],
  ])('are none in %s', (_what, bytes) => {
    expect(findPeers(bytes)).toBeUndefined();
  });

  it.each([
    ['of a wrong length', { peers: Buffer.alloc(7, 1) }],
    ['that are a number', { peers: 5 }],
    ['that are a dictionary', { peers: { a: 1 } }],
    ['that point nowhere', { peers: Buffer.alloc(12), peers6: Buffer.alloc(18) }],
  ])('are left out %s', (_what, fields) => {
    expect(findPeers(Buffer.from(bencode.encode(fields)))).toEqual([]);
  });

  it('survive noise', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => {
        for (const peer of findPeers(bytes) ?? []) expect(peer.port).toBeGreaterThan(0);
      }),
    );
  });
});

describe('PeerPieces', () => {
  it('counts each piece once, however it is told', () => {
    const told = fc.array(fc.nat(19), { maxLength: 60 });
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat(19)), told, (first, then) => {
        const bits = new Uint8Array(3);
        for (const piece of first) bits[piece >> 3]! |= 0x80 >> (piece & 7);
        const pieces = new PeerPieces(20);
        pieces.setBits(bits);
        const known = new Set(first);
        for (const piece of then) {
          expect(pieces.add(piece)).toBe(!known.has(piece));
          known.add(piece);
        }
        expect([pieces.count, pieces.complete]).toEqual([known.size, known.size === 20]);
      }),
    );
  });

  it.each([
    ['bits past the last piece', (pieces: PeerPieces) => pieces.setBits(Uint8Array.of(0, 0, 0x08))],
    ['two bitfields', (pieces: PeerPieces) => [0, 1].map(() => pieces.setBits(new Uint8Array(3)))],
    ['all after a bitfield', (pieces: PeerPieces) => [pieces.setBits(new Uint8Array(3)), pieces.setAll()]],
    ['none after all', (pieces: PeerPieces) => [pieces.setAll(), pieces.setNone()]],
    ['a bitfield after a HAVE', (pieces: PeerPieces) => [pieces.add(1), pieces.setBits(new Uint8Array(3))]],
  ])('refuses %s', (_what, tell) => {
    expect(() => tell(new PeerPieces(20))).toThrow(expect.objectContaining({ code: 'PEER_PROTOCOL' }));
  });

  it('knows no news from a peer that has all', () => {
    const pieces = new PeerPieces(20);
    pieces.setAll();
    expect([pieces.add(0), pieces.add(19), pieces.complete, pieces.count]).toEqual([false, false, true, 20]);
  });
});

describe('StaleRequests', () => {
  it('waits for as many answers as requests were taken back, and not for more than it can keep', () => {
    const stale = new StaleRequests();
    stale.add(1, 0);
    stale.add(1, 0);
    expect([stale.answered(1, 0), stale.answered(1, 0), stale.answered(1, 0)]).toEqual([true, true, false]);
    expect(stale.answered(1, 16_384)).toBe(false);
    for (let piece = 0; piece < 100_000; piece++) stale.add(piece, 0);
    expect([stale.answered(0, 0), stale.answered(99_999, 0)]).toEqual([false, true]);
  });
});
