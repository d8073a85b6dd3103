import { type ChildProcess, fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { swarmIdOf } from '../../src/core/index.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import type { SeedAddress, SeedMemory } from './hostile-seed.ts';
import { handshake, messages, numbers, RawPeer } from './raw-peer.ts';
import { clusterSecret, LocalTracker, makeBlob, readBlob, seedOn, startHost } from './swarm-fixture.ts';
import { startWireHost } from './wire-fixture.ts';

const MIB = 1024 * 1024;
const PIECE = 64 * 1024;

/** A blob, a tracker, and its swarm; nobody in it yet. */
async function setUp(length: number) {
  const blob = await makeBlob(length);
  return { blob, tracker: new LocalTracker(), swarmId: swarmIdOf(blob.metainfo, clusterSecret) };
}

/** A peer that the tracker hands out; `onPeer` says what it does on each wire. */
async function addHostile(tracker: LocalTracker, swarmId: string, onPeer: (peer: RawPeer) => void) {
  const peers: RawPeer[] = [];
  const listening = await RawPeer.listen(swarmId, (peer) => {
    peers.push(peer);
    onPeer(peer);
  });
  tracker.add(swarmId, listening);
  return peers;
}

/** Answers requests with whatever bytes; says that it has everything. */
function seedsBytes(bytes: (length: number) => Buffer): (peer: RawPeer) => void {
  return (peer) => {
    peer.send(messages.haveAll);
    peer.send(messages.unchoke);
    peer.onMessage = (id, payload) => {
      if (id !== messages.request) return;
      const block = bytes(payload.readUInt32BE(8));
      peer.send(messages.piece, Buffer.concat([payload.subarray(0, 8), block]));
    };
  };
}

/** A whole block that nobody has asked for. */
function unasked(piece = 1): Buffer {
  return Buffer.concat([numbers(9 + PIECE), Buffer.of(messages.piece), numbers(piece, 0), Buffer.alloc(PIECE)]);
}

describe('a download goes on and finishes from others when a peer', () => {
  it.each<[string, (peer: RawPeer) => void]>([
    ['sends wrong pieces', seedsBytes((length) => Buffer.alloc(length, 0x66))],
    ['sends blocks of another length than asked for', seedsBytes((length) => Buffer.alloc(Math.ceil(length / 2)))],
    ['sends empty blocks', seedsBytes(() => Buffer.alloc(0))],
    [
      'says that it is complete and refuses everything',
      (peer) => {
        peer.send(messages.haveAll);
        peer.send(messages.unchoke);
        peer.onMessage = (id, payload) => {
          if (id === messages.request) peer.send(messages.reject, payload);
        };
      },
    ],
    [
      'says that it is complete and never answers',
      (peer) => {
        peer.send(messages.haveAll);
        peer.send(messages.unchoke);
      },
    ],
    ['is complete and never unchokes', (peer) => peer.send(messages.haveAll)],
    ['accepts and says nothing', () => {}],
    [
      'sends pieces that nobody asked for, without end',
      (peer) => {
        peer.send(messages.haveAll);
        const flood = () => {
          while (!peer.socket.destroyed) {
            if (!peer.socket.write(unasked())) return void peer.socket.once('drain', flood);
          }
        };
        flood();
      },
    ],
    [
      'tells of the same piece again and again',
      (peer) => {
        peer.send(messages.haveNone);
        const have = Buffer.concat(
          Array.from({ length: 10_000 }, () => Buffer.concat([numbers(5), Buffer.of(4), numbers(3)])),
        );
        for (let round = 0; round < 20; round++) peer.socket.write(have);
      },
    ],
    [
      'suggests one piece again and again',
      (peer) => {
        peer.send(messages.haveAll);
        peer.send(messages.unchoke);
        for (let round = 0; round < 10_000; round++) peer.send(messages.suggest, numbers(0));
      },
    ],
    [
      'refuses again and again what nobody asked for',
      (peer) => {
        for (let round = 0; round < 10_000; round++) peer.send(messages.reject, numbers(round % 64, 0, PIECE));
      },
    ],
  ])('%s', { timeout: 60_000 }, async (_what, behave) => {
    const { blob, tracker, swarmId } = await setUp(4 * MIB);
    await addHostile(tracker, swarmId, behave);
    const host = await startHost(tracker);
    const download = await host.swarm.fetch(blob.metainfo);
    await expect.poll(() => download.progress().peers, { timeout: 10_000 }).toBeGreaterThan(0);
    const origin = await startHost(tracker, { origin: true });
    await seedOn(origin, blob);
    await download.finished;
    expect((await readBlob(host, blob.digest)).equals(blob.bytes)).toBe(true);
  });

  it('sends wrong pieces: it is banned, and not met again', async () => {
    const { blob, tracker, swarmId } = await setUp(4 * MIB);
    let asked = 0;
    const liar = seedsBytes((length) => {
      asked++;
      return Buffer.alloc(length, 0x66);
    });
    const wires = await addHostile(tracker, swarmId, liar);
    const host = await startHost(tracker);
    const download = await host.swarm.fetch(blob.metainfo);
    await expect.poll(() => download.progress().wastedBytes, { timeout: 10_000 }).toBeGreaterThan(0);
    await wires[0]!.expectClose();
    const { announces } = tracker;
    await expect.poll(() => tracker.announces).toBeGreaterThan(announces + 2);
    expect([wires.length, download.progress().verifiedBytes]).toEqual([1, 0]);
    // What was outstanding when the first lie was found.
    expect(asked).toBeLessThanOrEqual(16);
  });
});

describe('a wire is closed, and only that, when a peer', () => {
  const nonsense = Buffer.alloc(1_000, 0xa5);
  it.each<[string, (peer: RawPeer) => void]>([
    ['tells of a piece past the last', (peer) => peer.send(messages.have, numbers(64))],
    ['tells of piece -1', (peer) => peer.send(messages.have, numbers(-1))],
    ['asks for a piece past the last', (peer) => peer.send(messages.request, numbers(64, 0, 16_384))],
    ['asks for piece -1', (peer) => peer.send(messages.request, numbers(-1, 0, 16_384))],
    ['asks for an offset past the end', (peer) => peer.send(messages.request, numbers(0, PIECE, 1))],
    ['asks for offset -1', (peer) => peer.send(messages.request, numbers(0, -1, 16))],
    ['asks for nothing', (peer) => peer.send(messages.request, numbers(0, 0, 0))],
    ['asks for a negative length', (peer) => peer.send(messages.request, numbers(0, 0, -1))],
    ['asks for more than 128 KiB', (peer) => peer.send(messages.request, numbers(0, 0, 128 * 1024 + 1))],
    ['cancels a piece past the last', (peer) => peer.send(messages.cancel, numbers(1e9, 0, 16_384))],
    ['refuses a piece past the last', (peer) => peer.send(messages.reject, numbers(64, 0, 16_384))],
    ['suggests a piece past the last', (peer) => peer.send(messages.suggest, numbers(64))],
    ['suggests piece -1', (peer) => peer.send(messages.suggest, numbers(-1))],
    ['sends a bitfield that is too short', (peer) => peer.send(messages.bitfield, Buffer.alloc(7))],
    ['sends a bitfield that is too long', (peer) => peer.send(messages.bitfield, Buffer.alloc(9))],
    ['sends a bitfield of 1 MiB', (peer) => peer.send(messages.bitfield, Buffer.alloc(MIB))],
    ['sends its bitfield twice', (peer) => [0, 1].forEach(() => void peer.send(messages.bitfield, Buffer.alloc(8)))],
    ['sends noise', (peer) => peer.socket.write(nonsense)],
    [
      'asks for 2,000 blocks at a time',
      (peer) => {
        for (let round = 0; round < 2_000; round++) peer.send(messages.request, numbers(round % 64, round, 16));
      },
    ],
    [
      'sends 64 MiB that nobody asked for',
      (peer) => {
        const flood = () => {
          while (!peer.socket.destroyed)
            if (!peer.socket.write(unasked())) return void peer.socket.once('drain', flood);
        };
        flood();
      },
    ],
    ['sends a block of a piece past the last', (peer) => peer.socket.write(unasked(64))],
    ['sends an empty block', (peer) => peer.send(messages.piece, numbers(1, 0))],
    [
      'sends half a block',
      (peer) => peer.send(messages.piece, Buffer.concat([numbers(1, 0), Buffer.alloc(PIECE / 2)])),
    ],
    [
      'sends broken words of an extension',
      (peer) => peer.send(messages.extended, Buffer.from('\x01no bencode', 'latin1')),
    ],
  ])('%s', async (_what, attack) => {
    const seed = await startWireHost({ blob: randomBytes(64 * PIECE), seed: true });
    // So that a queue can fill.
    seed.transport.setLimits({
      egressBytesPerSecond: 100_000,
      ingressBytesPerSecond: 0,
      seedingEgressBytesPerSecond: 0,
    });
    const [bad, good] = [
      await RawPeer.dial(seed.transport.port, seed.id),
      await RawPeer.dial(seed.transport.port, seed.id),
    ];
    for (const peer of [bad, good]) {
      peer.send(messages.interested);
      await peer.expect(messages.unchoke);
    }
    attack(bad);
    await bad.expectClose();
    good.send(messages.request, numbers(3, 0, 1_000));
    expect((await good.expect(messages.piece)).length).toBe(1_008);
    expect([seed.owner.told('closed').length, seed.owner.sessions.length]).toEqual([1, 2]);
    await expect.poll(() => seed.owner.lentOut).toBe(0);
  });

  it.each([
    ['SUGGEST', messages.suggest, numbers(1)],
    ['HAVE_ALL', messages.haveAll, Buffer.alloc(0)],
    ['HAVE_NONE', messages.haveNone, Buffer.alloc(0)],
    ['REJECT', messages.reject, numbers(1, 0, 16_384)],
  ])('sends %s without the fast extension', async (_what, id, payload) => {
    const seed = await startWireHost({ blob: randomBytes(64 * PIECE), seed: true });
    const peer = await RawPeer.dial(seed.transport.port, seed.id, { fast: false });
    await peer.expect(messages.bitfield);
    peer.send(id, payload);
    await peer.expectClose();
  });

  it('asks for what we lack, and only reads: it is refused each time, and kept', async () => {
    const seed = await startWireHost({ blob: randomBytes(64 * PIECE), seed: true });
    seed.owner.lacks.add(5);
    const peer = await RawPeer.dial(seed.transport.port, seed.id);
    peer.send(messages.interested);
    await peer.expect(messages.unchoke);
    for (let round = 0; round < 3_000; round++) peer.send(messages.request, numbers(5, 0, 16_384));
    await expect.poll(() => peer.received.filter(({ id }) => id === messages.reject).length).toBe(3_000);
    expect(peer.closed).toBe(false);
  });
});

describe('memory', () => {
  it('grows by less than 8 MB when a peer asks for everything and reads nothing', { timeout: 60_000 }, async () => {
    const seed = await startSeedProcess(256 * MIB);
    // One that reads, so that what the process needs anyway is there: buffers, caches, compiled code.
    await takeAll(seed.address, 256);
    const before = await seed.memory();
    const wires = await Promise.all(
      Array.from({ length: 4 }, () => RawPeer.dial(seed.address.port, seed.address.swarmId)),
    );
    for (const peer of wires) {
      peer.send(messages.interested);
      await peer.expect(messages.unchoke);
      peer.socket.pause();
      for (let piece = 0; piece < 1_000; piece++) peer.send(messages.request, numbers(piece, 0, 128 * 1024));
    }
    // What the kernel takes of it leaves; then nothing moves any more.
    let sentBytes = -1;
    await expect
      .poll(
        async () => {
          const last = sentBytes;
          ({ sentBytes } = await seed.memory());
          return sentBytes - last;
        },
        { interval: 300, timeout: 10_000 },
      )
      .toBe(0);
    const after = await seed.memory();
    expect(after.residentBytes - before.residentBytes).toBeLessThan(8_000_000);
    // Far less than what was asked for has been read.
    expect(after.sentBytes - before.sentBytes).toBeLessThan(4 * 16 * MIB);
    await takeAll(seed.address, 16);
  });

  it('is bounded when a peer asks for what we lack and reads none of the refusals', async () => {
    const seed = await startWireHost({ blob: randomBytes(64 * PIECE), seed: true });
    for (let piece = 0; piece < 64; piece++) seed.owner.lacks.add(piece);
    const peer = await RawPeer.dial(seed.transport.port, seed.id);
    peer.send(messages.interested);
    await peer.expect(messages.unchoke);
    peer.socket.pause();
    const flood = () => {
      const request = Buffer.concat([numbers(13), Buffer.of(6), numbers(0, 0, 16_384)]);
      const many = Buffer.concat(Array.from({ length: 10_000 }, () => request));
      while (!peer.socket.destroyed && peer.socket.write(many));
      if (!peer.socket.destroyed) peer.socket.once('drain', flood);
    };
    flood();
    await expect.poll(() => seed.owner.told('closed').length, { timeout: 20_000 }).toBe(1);
    peer.socket.destroy();
  });
});

describe('a crowd of connections from one address', () => {
  it('keeps a thousand out, and lets others in', { timeout: 30_000 }, async () => {
    const seed = await startWireHost({ blob: randomBytes(64 * PIECE), seed: true });
    const sockets = Array.from({ length: 1_000 }, () => connectSilently(seed.transport.port, '127.0.0.2'));
    await expect.poll(() => sockets.filter((socket) => socket.closed).length, { timeout: 20_000 }).toBeGreaterThan(800);
    const others = await Promise.all(Array.from({ length: 5 }, () => RawPeer.dial(seed.transport.port, seed.id)));
    for (const peer of others) await peer.expect(messages.haveAll);
    // The silent ones go by and by: five seconds for each group of 32.
    expect(seed.owner.sessions).toHaveLength(5);
  });

  it('keeps out what is over the bound for one address, also after the handshake', async () => {
    const seed = await startWireHost({
      blob: randomBytes(64 * PIECE),
      seed: true,
      transport: { maxConnectionsPerAddress: 20 },
    });
    const sockets: Socket[] = [];
    for (let index = 0; index < 30; index++) {
      const socket = connectSilently(seed.transport.port, '127.0.0.2');
      socket.write(handshake(seed.id, randomBytes(20)));
      sockets.push(socket);
    }
    await expect.poll(() => sockets.filter((socket) => socket.closed).length).toBe(10);
    await expect.poll(() => seed.owner.sessions.length).toBe(20);
    const other = await RawPeer.dial(seed.transport.port, seed.id);
    await other.expect(messages.haveAll);
  });

  it('is let in at a steady pace', async () => {
    const seed = await startWireHost({
      blob: randomBytes(64 * PIECE),
      seed: true,
      transport: { acceptsPerSecond: 20 },
    });
    const startMs = performance.now();
    const peers = await Promise.all(Array.from({ length: 40 }, () => RawPeer.dial(seed.transport.port, seed.id)));
    for (const peer of peers) await peer.expect(messages.haveAll);
    // Twenty at once, the rest in a second.
    expect(performance.now() - startMs).toBeGreaterThan(800);
  });
});

/** A connection that says nothing; ends with the test. */
function connectSilently(port: number, localAddress: string): Socket {
  const socket = connect({ port, host: '127.0.0.1', localAddress });
  socket.on('error', () => {});
  socket.resume();
  onTestFinished(() => void socket.destroy());
  return socket;
}

async function startSeedProcess(lengthBytes: number) {
  const file = join(import.meta.dirname, 'hostile-seed.ts');
  const child: ChildProcess = fork(file, [join(await makeTempDir(), 'castore'), String(lengthBytes)], {
    execArgv: ['--expose-gc'],
  });
  onTestFinished(async () => {
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  });
  const [address] = (await once(child, 'message')) as [SeedAddress];
  const memory = async (): Promise<SeedMemory> => {
    child.send('memory');
    const [answer] = (await once(child, 'message')) as [SeedMemory];
    return answer;
  };
  return { address, memory };
}

/** Takes the first pieces of a seed's blob, one after the other, in blocks of 128 KiB. */
async function takeAll({ port, swarmId }: SeedAddress, pieces: number): Promise<void> {
  const peer = await RawPeer.dial(port, swarmId);
  peer.send(messages.interested);
  await peer.expect(messages.unchoke);
  let received = 0;
  peer.onMessage = (id) => {
    peer.received.length = 0;
    if (id === messages.piece) received++;
  };
  for (let piece = 0; piece < pieces; piece++) {
    peer.send(messages.request, numbers(piece, 0, 128 * 1024));
    if (piece % 64 === 63 || piece === pieces - 1)
      await expect.poll(() => received, { timeout: 10_000 }).toBe(piece + 1);
  }
  peer.socket.destroy();
}
