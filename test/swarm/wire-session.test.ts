import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { WireSession } from '../../src/swarm/wire/wire-session.ts';
import { messages, numbers, RawPeer } from './raw-peer.ts';
import { joined, startWireHost, type WireHost } from './wire-fixture.ts';

const MIB = 1024 * 1024;

/** A seed and a host without anything, not yet joined. */
async function startPair(options: { length: number; pieceLength?: number; foreign?: boolean; bytes?: Buffer }) {
  const blob = randomBytes(options.length);
  const { pieceLength = 64 * 1024, foreign = false } = options;
  const seed = await startWireHost({ blob, pieceLength, foreign, seed: true });
  const fetcher = await startWireHost({ blob, pieceLength, foreign, seed: false, id: seed.id });
  return { blob, seed, fetcher };
}

/** A wire from a raw peer to a seed, past interest and unchoke. */
async function dialSeed(seed: WireHost, abilities?: { fast?: boolean; extended?: boolean }): Promise<RawPeer> {
  const peer = await RawPeer.dial(seed.transport.port, seed.id, abilities);
  peer.send(messages.interested);
  await peer.expect(messages.unchoke);
  return peer;
}

describe('WireSession', () => {
  it.each([
    ['pieces shorter than a block, and a short last one', { length: 300_001, pieceLength: 64 * 1024 }],
    ['pieces of many blocks, and a last one of an odd length', { length: 9 * MIB + 77, pieceLength: 4 * MIB }],
    ['blocks of 16 KiB of a foreign client', { length: MIB + 5, pieceLength: 256 * 1024, foreign: true }],
  ])('brings whole pieces: %s', async (_what, options) => {
    const { blob, seed, fetcher } = await startPair(options);
    const session = await joined(fetcher, seed);
    expect(fetcher.owner.told('has-all')).toHaveLength(1);
    expect(session.complete).toBe(true);
    for (let piece = 0; piece < fetcher.owner.count; piece++) session.request(piece);
    await expect.poll(() => fetcher.owner.pieces.size).toBe(fetcher.owner.count);
    const pieces = [...fetcher.owner.pieces].toSorted(([a], [b]) => a - b).map(([, bytes]) => bytes);
    expect(Buffer.concat(pieces).equals(blob)).toBe(true);
    await expect.poll(() => seed.owner.lentOut).toBe(0);
    expect(fetcher.owner.buffersOut).toBe(0);
    const served = seed.owner.told('served').reduce((sum, [, bytes]) => sum + Number(bytes), 0);
    expect(served).toBe(blob.length);
    expect(fetcher.owner.told('block').every(([, , wanted]) => wanted === true)).toBe(true);
  });

  it('asks for all blocks of a piece in one write', async () => {
    const chunks: number[] = [];
    const { seed, fetcher } = await startPair({ length: 8 * MIB, pieceLength: 4 * MIB });
    const silent = await RawPeer.listen(seed.id, (peer) => {
      peer.send(messages.haveAll);
      peer.send(messages.unchoke);
      peer.socket.on('data', (chunk) => chunks.push(chunk.length));
    });
    fetcher.point.dial({ host: '127.0.0.1', port: silent.port });
    await expect.poll(() => fetcher.owner.told('unchoked').length).toBe(1);
    await expect.poll(() => chunks.length).toBeGreaterThan(0);
    chunks.length = 0;
    fetcher.owner.sessions[0]!.request(0);
    fetcher.owner.sessions[0]!.request(1);
    await expect.poll(() => chunks).toEqual([2 * 32 * 17]);
  });

  it('fails a piece once when its blocks are refused, and takes the memory back', async () => {
    const { seed, fetcher } = await startPair({ length: 8 * MIB, pieceLength: MIB });
    seed.owner.lacks.add(3);
    const session = await joined(fetcher, seed);
    session.request(3);
    session.request(4);
    await expect.poll(() => fetcher.owner.pieces.has(4)).toBe(true);
    expect(fetcher.owner.told('failed')).toEqual([['failed', 3]]);
    expect(fetcher.owner.buffersOut).toBe(0);
  });

  it('fails a piece once when the seed cannot read it', async () => {
    const { seed, fetcher } = await startPair({ length: 8 * MIB, pieceLength: MIB });
    const failing = async () => {
      throw new Error('disk');
    };
    seed.owner.lendHook = failing;
    const session = await joined(fetcher, seed);
    session.request(2);
    await expect.poll(() => fetcher.owner.told('failed')).toEqual([['failed', 2]]);
    seed.owner.lendHook = () => {
      throw new Error('disk');
    };
    session.request(5);
    await expect
      .poll(() => fetcher.owner.told('failed'))
      .toEqual([
        ['failed', 2],
        ['failed', 5],
      ]);
    seed.owner.lendHook = undefined;
    session.request(5);
    await expect.poll(() => fetcher.owner.pieces.has(5)).toBe(true);
  });

  it('cancels a piece in the middle of a block, and asks for it again on the same wire', async () => {
    const { blob, seed, fetcher } = await startPair({ length: 8 * MIB, pieceLength: 4 * MIB });
    seed.transport.setLimits({ ...noLimits, egressBytesPerSecond: 4 * MIB });
    const session = await joined(fetcher, seed);
    session.request(0);
    await expect.poll(() => session.bytesArrived(0)).toBeGreaterThan(0);
    session.cancel(0);
    expect([session.bytesArrived(0), fetcher.owner.buffersOut]).toEqual([0, 0]);
    session.request(1);
    session.request(0);
    await expect.poll(() => session.bytesArrived(1)).toBeGreaterThan(0);
    seed.transport.setLimits(noLimits);
    await expect.poll(() => fetcher.owner.pieces.size).toBe(2);
    expect(fetcher.owner.pieces.get(0)!.equals(blob.subarray(0, 4 * MIB))).toBe(true);
    expect(fetcher.owner.told('failed')).toEqual([]);
    // What was queued when the cancel came was not sent.
    const served = seed.owner.told('served').reduce((sum, [, bytes]) => sum + Number(bytes), 0);
    expect(served).toBeLessThan(8 * MIB + 2 * MIB);
  });

  it('gives all memory back when the wire ends in mid-piece, and tells both owners once', async () => {
    const { seed, fetcher } = await startPair({ length: 32 * MIB, pieceLength: 4 * MIB });
    seed.transport.setLimits({ ...noLimits, egressBytesPerSecond: 4 * MIB });
    const session = await joined(fetcher, seed);
    for (let piece = 0; piece < 8; piece++) session.request(piece);
    await expect.poll(() => session.bytesArrived(0)).toBeGreaterThan(0);
    seed.owner.sessions[0]!.close();
    await expect.poll(() => fetcher.owner.told('closed').length).toBe(1);
    await expect.poll(() => seed.owner.lentOut).toBe(0);
    expect(seed.owner.told('closed')).toHaveLength(1);
    expect([fetcher.owner.buffersOut, session.closed]).toEqual([0, true]);
    session.close();
    session.request(1);
    session.have(1);
    expect(fetcher.owner.told('closed')).toHaveLength(1);
    expect(fetcher.point.torrent._peers.size + seed.point.torrent._peers.size).toBe(0);
  });

  it('says what it has: HAVE_ALL, HAVE_NONE, or a bitfield once', async () => {
    const blob = randomBytes(20 * 65_536);
    const partial = await startWireHost({
      blob,
      seed: true,
      start: (session) => session.start(Buffer.from('a000f0', 'hex'), 6, true),
    });
    const fetcher = await startWireHost({ blob, id: partial.id, seed: false });
    fetcher.point.dial({ host: '127.0.0.1', port: partial.transport.port });
    await expect.poll(() => fetcher.owner.told('bits')).toEqual([['bits', 'a000f0']]);
    const raw = await RawPeer.dial(fetcher.transport.port, fetcher.id);
    await raw.expect(messages.haveNone);
    const old = await RawPeer.dial(fetcher.transport.port, fetcher.id, { fast: false });
    expect((await old.expect(messages.bitfield)).toString('hex')).toBe('000000');
  });

  it('tells of new pieces in one write a turn, and not to a peer that has all', async () => {
    const seed = await startWireHost({ blob: randomBytes(100 * 65_536), seed: true });
    const chunks: number[] = [];
    const peer = await dialSeed(seed);
    peer.socket.on('data', (chunk) => chunks.push(chunk.length));
    for (let piece = 0; piece < 50; piece++) seed.owner.sessions[0]!.have(piece);
    await expect.poll(() => peer.received.filter(({ id }) => id === messages.have).length).toBe(50);
    expect(chunks).toEqual([50 * 9]);
    peer.send(messages.have, numbers(3));
    await expect.poll(() => seed.owner.told('has')).toEqual([['has', 3]]);
    for (let piece = 0; piece < 100; piece++) peer.send(messages.have, numbers(piece));
    await expect.poll(() => seed.owner.sessions[0]!.complete).toBe(true);
    seed.owner.sessions[0]!.have(60);
    seed.owner.sessions[0]!.suggest(7);
    expect((await peer.expect(messages.suggest)).readUInt32BE(0)).toBe(7);
    expect(peer.received.filter(({ id }) => id === messages.have)).toHaveLength(50);
  });

  it('tells of the pieces of a huge blob every 20 ms, together', async () => {
    const pieces = 5_000;
    // Only the numbers matter here: nothing of the blob is read.
    const blob = { length: pieces * 65_536, subarray: () => Buffer.alloc(0) } as unknown as Buffer;
    const seed = await startWireHost({ blob, seed: true });
    const chunks: number[] = [];
    const peer = await dialSeed(seed);
    peer.socket.on('data', (chunk) => chunks.push(chunk.length));
    for (const piece of [1, 2]) seed.owner.sessions[0]!.have(piece);
    await new Promise<void>((resolve) => setImmediate(resolve));
    for (const piece of [3, 4]) seed.owner.sessions[0]!.have(piece);
    await expect.poll(() => chunks).toEqual([4 * 9]);
  });

  it('takes suggestions', async () => {
    const { seed, fetcher } = await startPair({ length: MIB });
    await joined(fetcher, seed);
    seed.owner.sessions[0]!.suggest(5);
    await expect.poll(() => fetcher.owner.told('suggested')).toEqual([['suggested', 5]]);
  });

  it('drops cancelled requests, and refuses them in words', async () => {
    const seed = await startWireHost({ blob: randomBytes(64 * MIB), seed: true });
    seed.transport.setLimits({ ...noLimits, egressBytesPerSecond: MIB });
    const peer = await dialSeed(seed);
    for (let piece = 0; piece < 100; piece++) peer.send(messages.request, numbers(piece, 0, 65_536));
    for (let piece = 50; piece < 100; piece++) peer.send(messages.cancel, numbers(piece, 0, 65_536));
    await expect.poll(() => peer.received.filter(({ id }) => id === messages.reject).length).toBe(50);
    seed.transport.setLimits(noLimits);
    await expect.poll(() => peer.received.filter(({ id }) => id === messages.piece).length).toBe(50);
  });

  it('serves a peer without the fast extension, and tells its owner when that peer chokes', async () => {
    const { seed, fetcher } = await startPair({ length: MIB });
    const peer = await dialSeed(seed, { fast: false });
    peer.send(messages.request, numbers(1, 0, 65_536));
    expect((await peer.expect(messages.piece)).length).toBe(8 + 65_536);
    const old = await RawPeer.dial(fetcher.transport.port, fetcher.id, { fast: false });
    old.send(messages.bitfield, Buffer.from('ffff', 'hex'));
    old.send(messages.unchoke);
    await expect.poll(() => fetcher.owner.told('unchoked').length).toBe(1);
    fetcher.owner.sessions[0]!.request(2);
    await old.expect(messages.request);
    old.send(messages.choke);
    await expect.poll(() => fetcher.owner.told('failed')).toEqual([['failed', 2]]);
    expect(fetcher.owner.told('choked')).toHaveLength(1);
  });

  it('names others to a peer that it turns away, then closes', async () => {
    const blob = randomBytes(MIB);
    const others = [
      { host: '10.0.0.1', port: 6881 },
      { host: '2001:db8::5', port: 1 },
    ];
    const turnAway = (session: WireSession) => session.turnAway(others);
    const full = await startWireHost({ blob, seed: true, start: turnAway });
    const newcomer = await startWireHost({ blob, id: full.id, seed: false });
    newcomer.point.dial({ host: '127.0.0.1', port: full.transport.port });
    await expect.poll(() => newcomer.owner.told('closed').length).toBe(1);
    expect(newcomer.owner.told('offered')).toEqual([['offered', '10.0.0.1 6881', '2001:db8::5 1']]);
    await expect.poll(() => full.owner.told('closed').length).toBe(1);
  });

  it.each([
    ['does not know the extension protocol', {}],
    ['never says what it understands', { extended: true }],
  ])('closes the wire to one that it turns away and that %s', async (_what, abilities) => {
    const turnAway = (session: WireSession) => session.turnAway([{ host: '10.0.0.1', port: 6881 }]);
    const full = await startWireHost({ blob: randomBytes(MIB), seed: true, start: turnAway });
    const peer = await RawPeer.dial(full.transport.port, full.id, abilities);
    await peer.expectClose();
    expect(full.owner.told('closed')).toHaveLength(1);
  });

  it('loses no message that comes together with the handshake', async () => {
    const { fetcher } = await startPair({ length: MIB });
    const { Socket } = await import('node:net');
    const socket = new Socket();
    const { handshake, frame } = await import('./raw-peer.ts');
    socket.connect(fetcher.transport.port, '127.0.0.1');
    const hello = handshake(fetcher.id, randomBytes(20));
    socket.write(Buffer.concat([hello, frame(messages.haveAll), frame(messages.unchoke)]));
    await expect.poll(() => fetcher.owner.events).toEqual([['has-all'], ['unchoked']]);
    socket.destroy();
  });
});

const noLimits = { egressBytesPerSecond: 0, ingressBytesPerSecond: 0, seedingEgressBytesPerSecond: 0 };
