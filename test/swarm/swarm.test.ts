import { describe, expect, it } from 'vitest';
import { infoHashOf, lengthOfPiece, swarmIdOf } from '../../src/core/index.ts';
import { fileError, filesWith } from '../castore/faulty-files.ts';
import { messages, numbers, RawPeer, startSeeder } from './raw-peer.ts';
import { clusterSecret, LocalTracker, makeBlob, readBlob, seedOn, startHost } from './swarm-fixture.ts';

const MIB = 1024 * 1024;

describe('Swarm', () => {
  it('brings a blob to several hosts at once, most of it from host to host', async () => {
    const tracker = new LocalTracker();
    const blob = await makeBlob(24 * MIB + 12_345);
    const origins = await Promise.all([1, 2].map(() => startHost(tracker, { origin: true })));
    for (const [index, origin] of origins.entries()) await seedOn(origin, blob, { index, of: 2 });
    const hosts = await Promise.all([1, 2, 3].map(() => startHost(tracker)));
    const downloads = await Promise.all(hosts.map((host) => host.swarm.fetch(blob.metainfo)));
    await Promise.all(downloads.map((download) => download.finished));
    for (const host of hosts) expect((await readBlob(host, blob.digest)).equals(blob.bytes)).toBe(true);
    for (const download of downloads) {
      const { verifiedBytes, wastedBytes, fromOriginsBytes, fromPeersBytes } = download.progress();
      expect(verifiedBytes).toBe(blob.bytes.length);
      expect(wastedBytes).toBeLessThanOrEqual(blob.bytes.length / 100);
      expect(fromOriginsBytes + fromPeersBytes).toBeGreaterThanOrEqual(blob.bytes.length);
    }
    const sent = origins.reduce((sum, origin) => sum + origin.swarm.statistics().sentBytes, 0);
    expect(sent / blob.bytes.length).toBeLessThanOrEqual(1.15);
  });

  it('joins a second fetch of a blob to the first', async () => {
    const tracker = new LocalTracker();
    const blob = await makeBlob(MIB);
    const host = await startHost(tracker);
    const [first, second] = await Promise.all([host.swarm.fetch(blob.metainfo), host.swarm.fetch(blob.metainfo)]);
    expect(second).toBe(first);
    expect(host.swarm.find(blob.digest)).toBe(first);
  });

  it('fetches blobs of no bytes, of one byte, and of one byte more than a piece', async () => {
    const tracker = new LocalTracker();
    const origin = await startHost(tracker, { origin: true });
    const host = await startHost(tracker);
    for (const length of [0, 1, 65_537]) {
      const blob = await makeBlob(length);
      await seedOn(origin, blob);
      await (await host.swarm.fetch(blob.metainfo)).finished;
      expect((await readBlob(host, blob.digest)).equals(blob.bytes)).toBe(true);
    }
  });

  it('lets a reader have verified bytes while the rest is on its way', async () => {
    const tracker = new LocalTracker();
    const blob = await makeBlob(8 * MIB);
    const origin = await startHost(tracker, { origin: true, config: { egressBytesPerSecond: 4 * MIB } });
    await seedOn(origin, blob);
    const host = await startHost(tracker);
    const download = await host.swarm.fetch(blob.metainfo);
    const range = { offset: 5 * MIB, length: 100_000 };
    const reader = download.openReader(range);
    await download.waitFor(range);
    expect(download.progress().verifiedBytes).toBeLessThan(blob.bytes.length);
    const bytes = await download.read(range.offset, range.length);
    expect(bytes.equals(blob.bytes.subarray(range.offset, range.offset + range.length))).toBe(true);
    reader.close();
    await download.finished;
    expect((await download.read(0, 1000)).equals(blob.bytes.subarray(0, 1000))).toBe(true);
  });

  it('keeps verified pieces over a restart', async () => {
    const tracker = new LocalTracker();
    const blob = await makeBlob(8 * MIB);
    const origin = await startHost(tracker, { origin: true, config: { egressBytesPerSecond: 4 * MIB } });
    await seedOn(origin, blob);
    const before = await startHost(tracker);
    const started = await before.swarm.fetch(blob.metainfo);
    await started.waitFor({ offset: 0, length: 2 * MIB });
    await before.stop();
    const after = await startHost(tracker, { directory: before.directory });
    const download = await after.swarm.fetch(blob.metainfo);
    expect(download.progress().verifiedBytes).toBeGreaterThanOrEqual(2 * MIB);
    await download.finished;
    const { fromOriginsBytes, fromPeersBytes } = download.progress();
    expect(fromOriginsBytes + fromPeersBytes).toBeLessThanOrEqual(6 * MIB + 4 * 65_536);
    expect((await readBlob(after, blob.digest)).equals(blob.bytes)).toBe(true);
  });

  it('offers what it has in store after a restart', async () => {
    const tracker = new LocalTracker();
    const blob = await makeBlob(MIB);
    const before = await startHost(tracker);
    await seedOn(before, blob);
    await before.stop();
    await startHost(tracker, { directory: before.directory });
    const host = await startHost(tracker);
    await (await host.swarm.fetch(blob.metainfo)).finished;
    expect(host.swarm.statistics().receivedFromPeersBytes).toBe(MIB);
  });

  it('offers no more what its store has evicted, or what it was told to keep back', async () => {
    const tracker = new LocalTracker();
    const host = await startHost(tracker);
    const [evicted, heldBack] = [await makeBlob(100_000), await makeBlob(100_000)];
    for (const blob of [evicted, heldBack]) await seedOn(host, blob);
    const ids = [evicted, heldBack].map((blob) => swarmIdOf(blob.metainfo, clusterSecret));
    await expect.poll(() => ids.map((id) => tracker.swarms.get(id)?.size)).toEqual([1, 1]);
    await host.castore.blobs.delete(evicted.digest);
    host.swarm.unseed(heldBack.digest);
    for (const id of ids) await (await RawPeer.dial(host.swarm.port, id)).expectClose();
    expect(host.swarm.statistics().seeding).toBe(0);
    await expect.poll(() => ids.map((id) => tracker.swarms.get(id)?.size)).toEqual([0, 0]);
  });

  it('takes a piece from another source', async () => {
    const tracker = new LocalTracker();
    const blob = await makeBlob(200_000);
    const host = await startHost(tracker);
    const download = await host.swarm.fetch(blob.metainfo);
    expect(download.nextMissing({ offset: 0, length: 200_000 })).toBe(0);
    expect(await download.supply(0, Buffer.alloc(65_536))).toBe(false);
    for (let piece = 0; piece < 4; piece++) {
      const start = piece * 65_536;
      const end = start + lengthOfPiece(piece, 200_000, 65_536);
      expect(await download.supply(piece, blob.bytes.subarray(start, end))).toBe(true);
    }
    await download.finished;
    expect(download.progress().suppliedBytes).toBe(200_000);
  });

  it('ends waiting readers when a download is cancelled', async () => {
    const host = await startHost(new LocalTracker());
    const blob = await makeBlob(200_000);
    const download = await host.swarm.fetch(blob.metainfo);
    const reason = new Error('enough');
    const waiting = expect(download.waitFor({ offset: 0, length: 1 })).rejects.toBe(reason);
    await download.cancel(reason);
    await waiting;
    await expect(download.finished).rejects.toBe(reason);
    await expect(download.waitFor({ offset: 0, length: 1 })).rejects.toBe(reason);
  });

  it('begins anew at once when a download was cancelled', async () => {
    const host = await startHost(new LocalTracker());
    const blob = await makeBlob(100);
    let download = await host.swarm.fetch(blob.metainfo);
    for (let attempt = 0; attempt < 10; attempt++) {
      await download.cancel(new Error('enough'));
      const next = await host.swarm.fetch(blob.metainfo);
      expect(next).not.toBe(download);
      download = next;
    }
    expect(await download.supply(0, blob.bytes)).toBe(true);
    await download.finished;
  });

  it('rejects a wait with the reason of its signal', async () => {
    const host = await startHost(new LocalTracker());
    const blob = await makeBlob(200_000);
    const download = await host.swarm.fetch(blob.metainfo);
    const reason = new Error('client went away');
    const controller = new AbortController();
    const waiting = download.waitFor({ offset: 0, length: 1 }, controller.signal);
    controller.abort(reason);
    await expect(waiting).rejects.toBe(reason);
  });

  it('gets each piece from its origins about once, whoever of them suggests it', async () => {
    const tracker = new LocalTracker();
    const blob = await makeBlob(16 * MIB);
    const config = { egressBytesPerSecond: 4 * MIB };
    const origins = await Promise.all([1, 2].map(() => startHost(tracker, { origin: true, config })));
    for (const [index, origin] of origins.entries()) await seedOn(origin, blob, { index, of: 2 });
    const hosts = await Promise.all([1, 2, 3, 4].map(() => startHost(tracker)));
    const downloads = await Promise.all(hosts.map((host) => host.swarm.fetch(blob.metainfo)));
    await Promise.all(downloads.map((download) => download.finished));
    const sent = origins.map((origin) => origin.swarm.statistics().sentBytes / blob.bytes.length);
    expect(sent[0]! + sent[1]!).toBeLessThanOrEqual(1.1);
    for (const copies of sent) expect(copies).toBeGreaterThan(0.3);
  });

  it('is sent by a full origin to those that are there, and finishes from them', async () => {
    const tracker = new LocalTracker();
    tracker.handsOut = (peer) => peer.origin; // So that hosts find each other by what the origin tells only.
    const blob = await makeBlob(8 * MIB);
    const config = { originWiresPerBlob: 2, egressBytesPerSecond: 4 * MIB };
    const origin = await startHost(tracker, { origin: true, config });
    await seedOn(origin, blob);
    const hosts = await Promise.all([1, 2, 3, 4].map(() => startHost(tracker)));
    const downloads = await Promise.all(hosts.map((host) => host.swarm.fetch(blob.metainfo)));
    await expect.poll(() => origin.swarm.statistics().wires).toBe(2);
    await Promise.all(downloads.map((download) => download.finished));
    expect(origin.swarm.statistics().turnedAway).toBeGreaterThanOrEqual(2);
    const fromPeers = hosts.filter((host) => host.swarm.statistics().receivedFromPeersBytes > 4 * MIB);
    expect(fromPeers.length).toBeGreaterThanOrEqual(2);
    for (const host of hosts) expect((await readBlob(host, blob.digest)).equals(blob.bytes)).toBe(true);
  });

  it('changes its limits while it runs', async () => {
    const tracker = new LocalTracker();
    const blob = await makeBlob(16 * MIB);
    const origin = await startHost(tracker, { origin: true, config: { egressBytesPerSecond: MIB / 2 } });
    await seedOn(origin, blob);
    const host = await startHost(tracker);
    const download = await host.swarm.fetch(blob.metainfo);
    await download.waitFor({ offset: 0, length: 1 });
    expect(download.progress().verifiedBytes).toBeLessThan(2 * MIB);
    origin.swarm.setLimits({ egressBytesPerSecond: 0 });
    await download.finished; // In the time of the test only without the limit: it would take half a minute.
  });

  it('takes its place in the swarm at once when neighbours dial it while its download is being opened', async () => {
    const tracker = new LocalTracker();
    const blob = await makeBlob(4 * MIB);
    const hosts = await Promise.all(Array.from({ length: 5 }, () => startHost(tracker)));
    const downloads = await Promise.all(hosts.map((host) => host.swarm.fetch(blob.metainfo)));
    await expect.poll(() => hosts.map((host) => host.swarm.statistics().wires)).toEqual([4, 4, 4, 4, 4]);
    const origin = await startHost(tracker, { origin: true });
    await seedOn(origin, blob);
    await Promise.all(downloads.map((download) => download.finished));
    // Between complete hosts no wires are left.
    await expect.poll(() => hosts.map((host) => host.swarm.statistics().wires)).toEqual([0, 0, 0, 0, 0]);
  });

  it('is not kept waiting by a slow moment when it is the only one that downloads', async () => {
    const tracker = new LocalTracker();
    const blob = await makeBlob(24 * MIB);
    const origin = await startHost(tracker, { origin: true });
    await seedOn(origin, blob);
    const host = await startHost(tracker);
    const startedAtMs = performance.now();
    const download = await host.swarm.fetch(blob.metainfo);
    await download.waitFor({ offset: 0, length: MIB });
    // The event loop of both ends stands still: pieces under way take far longer than those before.
    while (performance.now() - startedAtMs < 700);
    await download.finished;
    expect(performance.now() - startedAtMs).toBeLessThan(8_000);
  });

  it('goes on without the tracker once peers are known', async () => {
    const tracker = new LocalTracker();
    const blob = await makeBlob(4 * MIB);
    const origin = await startHost(tracker, { origin: true, config: { egressBytesPerSecond: 4 * MIB } });
    await seedOn(origin, blob);
    const host = await startHost(tracker);
    const download = await host.swarm.fetch(blob.metainfo);
    await download.waitFor({ offset: 0, length: 1 });
    tracker.down = true;
    await download.finished;
    expect((await readBlob(host, blob.digest)).equals(blob.bytes)).toBe(true);
  });
});

describe('a hostile peer', () => {
  it('that sends wrong bytes is banned; nothing wrong is stored, and the blob comes from others', async () => {
    const tracker = new LocalTracker();
    const blob = await makeBlob(4 * MIB);
    const swarmId = swarmIdOf(blob.metainfo, clusterSecret);
    const liar = await startSeeder({
      infoHash: swarmId,
      block: (_piece, _offset, length) => Buffer.alloc(length, 0x66),
    });
    tracker.add(swarmId, liar);
    const host = await startHost(tracker);
    const download = await host.swarm.fetch(blob.metainfo);
    await expect.poll(() => download.progress().wastedBytes, { timeout: 10_000 }).toBeGreaterThan(0);
    expect(download.progress().verifiedBytes).toBe(0);
    const origin = await startHost(tracker, { origin: true });
    await seedOn(origin, blob);
    await download.finished;
    expect((await readBlob(host, blob.digest)).equals(blob.bytes)).toBe(true);
    // Two requests may have been outstanding when the first lie was found.
    expect(liar.served()).toBeLessThanOrEqual(4);
  });

  it.each([
    ['a message of 4 GiB', (peer: RawPeer) => peer.socket.write(numbers(0xffff_fff0))],
    ['a message of 1 MiB', (peer: RawPeer) => peer.socket.write(numbers(MIB))],
    ['a HAVE of a piece that is not there', (peer: RawPeer) => peer.send(messages.have, numbers(4_000_000_000))],
    ['a request past the end of a piece', (peer: RawPeer) => peer.send(messages.request, numbers(0, 65_000, 65_536))],
    ['a request of 16 MiB', (peer: RawPeer) => peer.send(messages.request, numbers(0, 0, 16 * MIB))],
  ])('that sends %s loses its wire, and the host goes on', async (_what, attack) => {
    const tracker = new LocalTracker();
    const blob = await makeBlob(MIB);
    const origin = await startHost(tracker, { origin: true });
    await seedOn(origin, blob);
    const peer = await RawPeer.dial(origin.swarm.port, swarmIdOf(blob.metainfo, clusterSecret));
    await peer.expect(messages.haveAll);
    peer.send(messages.interested);
    await peer.expect(messages.unchoke);
    attack(peer);
    await peer.expectClose();
    const host = await startHost(tracker);
    await (await host.swarm.fetch(blob.metainfo)).finished;
  });

  it('that sends noise, or asks for an unknown blob, loses its connection', async () => {
    const tracker = new LocalTracker();
    const origin = await startHost(tracker, { origin: true });
    const unknown = await RawPeer.dial(origin.swarm.port, 'ab'.repeat(20));
    await unknown.expectClose();
    const noisy = await RawPeer.dial(origin.swarm.port, 'cd'.repeat(20));
    noisy.socket.write(Buffer.alloc(100_000, 0x7f));
    await noisy.expectClose();
  });

  it('that asks for everything and reads nothing costs little memory, and others are served', async () => {
    const tracker = new LocalTracker();
    const blob = await makeBlob(64 * MIB);
    const origin = await startHost(tracker, { origin: true });
    await seedOn(origin, blob);
    const peer = await RawPeer.dial(origin.swarm.port, swarmIdOf(blob.metainfo, clusterSecret));
    await peer.expect(messages.haveAll);
    peer.send(messages.interested);
    await peer.expect(messages.unchoke);
    peer.socket.pause();
    for (let piece = 0; piece < 1000; piece++) peer.send(messages.request, numbers(piece, 0, 65_536));
    const host = await startHost(tracker);
    await (await host.swarm.fetch(blob.metainfo)).finished;
    // What the sockets of both ends buffer, and two blocks; not the 64 MiB that were asked for.
    const forHost = blob.bytes.length;
    expect(origin.swarm.statistics().sentBytes - forHost).toBeLessThan(12 * MIB);
  });

  it('that dials without a handshake is closed', { timeout: 20_000 }, async () => {
    const host = await startHost(new LocalTracker());
    const { connect } = await import('node:net');
    const socket = connect({ port: host.swarm.port, host: '127.0.0.1' });
    await new Promise<void>((resolve) => socket.once('close', () => resolve()));
  });
});

describe('a foreign client', () => {
  it('fetches a blob under its v1 info hash in blocks of 16 KiB', async () => {
    const blob = await makeBlob(100_000);
    const host = await startHost(new LocalTracker());
    await seedOn(host, blob);
    const peer = await RawPeer.dial(host.swarm.port, infoHashOf(blob.metainfo));
    await peer.expect(messages.haveAll);
    peer.send(messages.interested);
    await peer.expect(messages.unchoke);
    const blocks = new Map<number, Buffer>();
    peer.onMessage = (id, payload) => {
      if (id !== messages.piece) return;
      blocks.set(payload.readUInt32BE(0) * 65_536 + payload.readUInt32BE(4), payload.subarray(8));
    };
    for (let offset = 0; offset < 100_000; offset += 16_384) {
      const inPiece = offset % 65_536;
      const length = Math.min(16_384, 100_000 - offset);
      peer.send(messages.request, numbers(Math.floor(offset / 65_536), inPiece, length));
    }
    await expect.poll(() => blocks.size).toBe(7);
    const sorted = [...blocks].sort(([a], [b]) => a - b).map(([, block]) => block);
    expect(Buffer.concat(sorted).equals(blob.bytes)).toBe(true);
  });

  it('is turned away when the config says so', async () => {
    const blob = await makeBlob(100_000);
    const host = await startHost(new LocalTracker(), { config: { foreignClients: false } });
    await seedOn(host, blob);
    const peer = await RawPeer.dial(host.swarm.port, infoHashOf(blob.metainfo));
    await peer.expectClose();
  });

  it('fetches a blob again after the disk has failed under it', async () => {
    const tracker = new LocalTracker();
    const blob = await makeBlob(10 * 64 * 1024);
    await seedOn(await startHost(tracker), blob);
    let broken = true;
    const files = filesWith((operation, path) => {
      if (broken && operation === 'write' && path.endsWith('data')) throw fileError('EIO');
    });
    const host = await startHost(tracker, { files });
    await expect((await host.swarm.fetch(blob.metainfo)).finished).rejects.toThrow('EIO');
    broken = false;
    await expect.poll(() => host.swarm.find(blob.digest)).toBeUndefined();
    await (await host.swarm.fetch(blob.metainfo)).finished;
    expect(await readBlob(host, blob.digest)).toEqual(blob.bytes);
  });
});
