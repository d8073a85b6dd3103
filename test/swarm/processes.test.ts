import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { CaStore } from '../../src/castore/index.ts';
import { DigestMismatchError, NoSpaceError, swarmIdOf } from '../../src/core/index.ts';
import type { DelegatedDownload } from '../../src/swarm/process/delegated-download.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import {
  fetchElsewhere,
  isAlive,
  startProcessHost,
  startWithBlobElsewhere,
  untilProcesses,
} from './process-fixture.ts';
import { RawPeer } from './raw-peer.ts';
import { clusterSecret, LocalTracker, makeBlob, readBlob, seedOn, startHost } from './swarm-fixture.ts';

const MIB = 1024 * 1024;

/** A store that names files which are not there. */
function withoutPaths(castore: CaStore): CaStore {
  const open: CaStore['downloads']['open'] = async (metainfo) => {
    const partial = await castore.downloads.open(metainfo);
    return new Proxy(partial, {
      get: (target, name: keyof typeof partial) => {
        const value = target[name];
        if (name === 'path') return '/nowhere/data';
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
  };
  const downloads = new Proxy(castore.downloads, {
    get: (target, name) => (name === 'open' ? open : Reflect.get(target, name)),
  });
  return new Proxy(castore, {
    get: (target, name) => (name === 'downloads' ? downloads : Reflect.get(target, name, target)),
  });
}

function hashesFor(pieces: number) {
  return { sha1: Buffer.alloc(20 * pieces), sha256: Buffer.alloc(32 * pieces) };
}

describe('SwarmOfProcesses', { timeout: 90_000 }, () => {
  it('hands a fetch to another process, streams and commits it here, and serves it from there', async () => {
    const tracker = new LocalTracker();
    const blob = await makeBlob(8 * MIB + 123);
    const origin = await startHost(tracker, { origin: true, config: { egressBytesPerSecond: 4 * MIB } });
    await seedOn(origin, blob);
    const host = await startProcessHost(tracker);
    await untilProcesses(host);
    const [process] = host.swarm.processes();
    const download = await fetchElsewhere(host, blob.metainfo);
    expect(host.swarm.find(blob.digest)).toBe(download);
    expect(await host.swarm.fetch(blob.metainfo)).toBe(download);
    const range = { offset: 5 * MIB, length: 100_000 };
    const reader = download.openReader(range);
    await download.waitFor(range);
    expect(download.progress().verifiedBytes).toBeLessThan(blob.bytes.length);
    const bytes = await download.read(range.offset, range.length);
    expect(bytes.equals(blob.bytes.subarray(range.offset, range.offset + range.length))).toBe(true);
    reader.close();
    await download.verified;
    const { verifiedBytes, fromOriginsBytes, fromPeersBytes, wastedBytes } = download.progress();
    expect(verifiedBytes).toBe(blob.bytes.length);
    expect(fromOriginsBytes + fromPeersBytes - wastedBytes).toBe(blob.bytes.length);
    await download.finished;
    expect((await readBlob(host, blob.digest)).equals(blob.bytes)).toBe(true);
    expect(host.swarm.find(blob.digest)).toBeUndefined();
    // The other process offers it, under its own name and at its own port.
    const id = swarmIdOf(blob.metainfo, clusterSecret);
    await expect.poll(() => tracker.swarms.get(id)?.get(process!.peerId!)?.complete).toBe(true);
    expect(tracker.swarms.get(id)?.has(host.swarm.peerId)).toBe(false);
    expect(process!.port).not.toBe(host.swarm.port);
    await origin.stop();
    const late = await startHost(tracker);
    await (await late.swarm.fetch(blob.metainfo)).finished;
    expect(late.swarm.statistics().receivedFromPeersBytes).toBe(blob.bytes.length);
    // Statistics are told once a second.
    await expect.poll(() => host.swarm.statistics().sentBytes, { timeout: 5_000 }).toBe(blob.bytes.length);
    const { receivedFromOriginsBytes, processes, seeding } = host.swarm.statistics();
    expect({ receivedFromOriginsBytes, processes, seeding }).toEqual({
      receivedFromOriginsBytes: blob.bytes.length,
      processes: 1,
      seeding: 1,
    });
  });

  it('goes on here with the pieces that are there when the process is killed in the middle', async () => {
    const tracker = new LocalTracker();
    const blob = await makeBlob(8 * MIB);
    const origin = await startHost(tracker, { origin: true, config: { egressBytesPerSecond: 4 * MIB } });
    await seedOn(origin, blob);
    const host = await startProcessHost(tracker);
    await untilProcesses(host);
    const download = await fetchElsewhere(host, blob.metainfo);
    const chunks: Buffer[] = [];
    const reader = download.openReader({ offset: 0, length: blob.bytes.length });
    for (let offset = 0; offset < blob.bytes.length; offset += 65_536) {
      await download.waitFor({ offset, length: 65_536 });
      chunks.push(await download.read(offset, 65_536));
      reader.moveTo(offset + 65_536);
      if (offset !== 32 * 65_536) continue;
      expect(download.progress().verifiedBytes).toBeLessThan(blob.bytes.length);
      process.kill(host.swarm.processes()[0]!.pid!, 'SIGKILL');
    }
    reader.close();
    expect(Buffer.concat(chunks).equals(blob.bytes)).toBe(true);
    await download.finished;
    expect((await readBlob(host, blob.digest)).equals(blob.bytes)).toBe(true);
    const { verifiedBytes, fromOriginsBytes, fromPeersBytes } = download.progress();
    expect(verifiedBytes).toBe(blob.bytes.length);
    // What the process had told of was not fetched again; what it was about to tell of was lost with it.
    expect(fromOriginsBytes + fromPeersBytes).toBeLessThan(blob.bytes.length + 2 * MIB);
    expect(host.swarm.statistics()).toMatchObject({ processes: 0, downloads: 0 });
    // It is offered here now.
    await origin.stop();
    const late = await startHost(tracker);
    await (await late.swarm.fetch(blob.metainfo)).finished;
    expect(host.swarm.statistics().sentBytes).toBeGreaterThanOrEqual(blob.bytes.length);
  });

  it('takes pieces from elsewhere for a download in another process', async () => {
    const tracker = new LocalTracker();
    const blob = await makeBlob(200_000);
    const host = await startProcessHost(tracker);
    await untilProcesses(host);
    const download = await fetchElsewhere(host, blob.metainfo);
    const range = { offset: 0, length: 200_000 };
    const reader = download.openReader(range);
    await expect.poll(() => download.nextMissing(range)).toBe(0);
    expect(download.nextMissing({ offset: 65_536, length: 10 })).toBe(1);
    expect(await download.supply(0, Buffer.alloc(65_536))).toBe(false);
    expect(download.verifiedEnd(range)).toBe(0);
    for (let piece = 0; piece < 4; piece++) {
      const start = piece * 65_536;
      expect(await download.supply(piece, blob.bytes.subarray(start, start + 65_536))).toBe(true);
      expect(download.verifiedEnd(range)).toBe(Math.min(start + 65_536, 200_000));
    }
    reader.close();
    await download.finished;
    expect(download.progress()).toMatchObject({ suppliedBytes: 200_000, verifiedBytes: 200_000, fromPeersBytes: 0 });
    expect((await readBlob(host, blob.digest)).equals(blob.bytes)).toBe(true);
  });

  it('fetches blobs of no bytes, of one byte, and of one byte more than a piece', async () => {
    const tracker = new LocalTracker();
    const origin = await startHost(tracker, { origin: true });
    const host = await startProcessHost(tracker);
    await untilProcesses(host);
    for (const length of [0, 1, 65_537]) {
      const blob = await makeBlob(length);
      await seedOn(origin, blob);
      await (await fetchElsewhere(host, blob.metainfo)).finished;
      expect((await readBlob(host, blob.digest)).equals(blob.bytes)).toBe(true);
    }
  });

  it('begins anew at once, and elsewhere, when a download was cancelled', async () => {
    const blob = await makeBlob(200_000);
    const host = await startProcessHost(new LocalTracker());
    await untilProcesses(host);
    let download = await fetchElsewhere(host, blob.metainfo);
    for (let attempt = 0; attempt < 10; attempt++) {
      expect(download.progress().suppliedBytes).toBe(0);
      expect(await download.supply(0, blob.bytes.subarray(0, 65_536))).toBe(true);
      await download.cancel(new Error('enough'));
      const next = await fetchElsewhere(host, blob.metainfo);
      expect(next).not.toBe(download);
      download = next;
    }
    for (let piece = 0; piece < 4; piece++) {
      await download.supply(piece, blob.bytes.subarray(piece * 65_536, (piece + 1) * 65_536));
    }
    await download.finished;
    expect((download as DelegatedDownload).isHere).toBe(false);
  });

  it('keeps the pieces of a download that is cancelled', async () => {
    const tracker = new LocalTracker();
    const blob = await makeBlob(8 * MIB);
    const origin = await startHost(tracker, { origin: true, config: { egressBytesPerSecond: 4 * MIB } });
    await seedOn(origin, blob);
    const host = await startProcessHost(tracker);
    await untilProcesses(host);
    const first = await fetchElsewhere(host, blob.metainfo);
    await first.waitFor({ offset: 0, length: 2 * MIB });
    const waiting = expect(first.waitFor({ offset: 0, length: 8 * MIB })).rejects.toThrow('no more of it');
    await first.cancel(new Error('no more of it'));
    await waiting;
    await expect(first.finished).rejects.toThrow('no more of it');
    const second = await fetchElsewhere(host, blob.metainfo);
    expect(second).not.toBe(first);
    await second.finished;
    // What had come is not fetched again.
    const { fromOriginsBytes, fromPeersBytes } = second.progress();
    expect(fromOriginsBytes + fromPeersBytes).toBeLessThanOrEqual(6 * MIB);
    expect((await readBlob(host, blob.digest)).equals(blob.bytes)).toBe(true);
  });

  it('rejects a blob whose pieces match but whose digest does not', async () => {
    const tracker = new LocalTracker();
    const [blob, other] = [await makeBlob(100_000), await makeBlob(100_000)];
    const lie = { ...blob.metainfo, digest: other.digest };
    const host = await startProcessHost(tracker);
    await untilProcesses(host);
    const download = await fetchElsewhere(host, lie);
    await download.supply(0, blob.bytes.subarray(0, 65_536));
    await download.supply(1, blob.bytes.subarray(65_536));
    await expect(download.verified).rejects.toThrow(DigestMismatchError);
    await expect(download.finished).rejects.toThrow(DigestMismatchError);
    expect(await host.castore.blobs.find(other.digest)).toBeUndefined();
    // Nothing is left that would be in the way of the next one.
    await (await fetchElsewhere(host, lie)).cancel(new Error('enough'));
  });

  it('says that there is no room, and goes on here with what a process cannot open', async () => {
    const tracker = new LocalTracker();
    const origin = await startHost(tracker, { origin: true });
    const blob = await makeBlob(MIB);
    await seedOn(origin, blob);
    const host = await startProcessHost(tracker, { wrap: withoutPaths });
    await untilProcesses(host);
    const tooLarge = { ...blob.metainfo, length: 100 * 2 ** 30, pieceLength: 4 * MIB, ...hashesFor(25_600) };
    await expect(host.swarm.fetch(tooLarge)).rejects.toThrow(NoSpaceError);
    const download = await fetchElsewhere(host, blob.metainfo);
    await download.finished;
    expect((await readBlob(host, blob.digest)).equals(blob.bytes)).toBe(true);
    expect(host.swarm.processes()).toHaveLength(1);
  });
});

describe('seeds of a SwarmOfProcesses', { timeout: 90_000 }, () => {
  it('move to another process with half of the wires, and are taken back when nobody asks for them', async () => {
    const tracker = new LocalTracker();
    const host = await startProcessHost(tracker, {
      origin: true,
      config: { egressBytesPerSecond: MIB, idleSeconds: 1 },
    });
    const blobs = [await makeBlob(4 * MIB), await makeBlob(4 * MIB), await makeBlob(100_000)];
    for (const blob of blobs) await seedOn(host, blob, { index: 1, of: 2 });
    const agent = await startHost(tracker);
    const downloads = await Promise.all(blobs.slice(0, 2).map(({ metainfo }) => agent.swarm.fetch(metainfo)));
    await Promise.all(downloads.map((download) => download.waitFor({ offset: 0, length: 1 })));
    const ids = blobs.map(({ metainfo }) => swarmIdOf(metainfo, clusterSecret));
    const peersOf = (index: number) => [...(tracker.swarms.get(ids[index]!)?.keys() ?? [])];
    host.busyness.busyMs = 10_000;
    await expect.poll(() => host.swarm.processes().length, { timeout: 20_000 }).toBe(1);
    const [process] = host.swarm.processes();
    const isThere = (index: number) => peersOf(index).includes(process!.peerId!);
    const isHere = (index: number) => peersOf(index).includes(host.swarm.peerId);
    // One of the two that are asked for moves; the one that nobody asks for does not.
    await expect.poll(() => [0, 1, 2].filter(isThere).length, { timeout: 10_000 }).toBe(1);
    const moved = isThere(0) ? 0 : 1;
    await expect.poll(() => isHere(moved)).toBe(false);
    expect(isHere(1 - moved) && isHere(2)).toBe(true);
    host.busyness.busyMs = 0;
    host.swarm.setLimits({ egressBytesPerSecond: 0 });
    await Promise.all(downloads.map((download) => download.finished));
    await expect.poll(() => process!.sums?.sentBytes, { timeout: 5_000 }).toBeGreaterThan(0);
    // Nobody asks any more: it comes back, and the process would be ended in time.
    await agent.stop();
    await expect.poll(() => isHere(moved), { timeout: 15_000 }).toBe(true);
    await expect.poll(() => isThere(moved)).toBe(false);
    expect(host.swarm.statistics()).toMatchObject({ processes: 1 });
  });

  it('come back when their process dies', async () => {
    const tracker = new LocalTracker();
    const { host, blob, process: there } = await startWithBlobElsewhere(tracker);
    const id = swarmIdOf(blob.metainfo, clusterSecret);
    process.kill(there.pid!, 'SIGKILL');
    await expect.poll(() => tracker.swarms.get(id)?.has(host.swarm.peerId), { timeout: 10_000 }).toBe(true);
    const agent = await startHost(tracker, { config: { wantedPeers: 2 } });
    await (await agent.swarm.fetch(blob.metainfo)).finished;
    expect(agent.swarm.statistics().receivedFromPeersBytes).toBe(blob.bytes.length);
  });

  it('are offered no more once they are held back', async () => {
    const tracker = new LocalTracker();
    const { host, blob, process: there } = await startWithBlobElsewhere(tracker);
    const id = swarmIdOf(blob.metainfo, clusterSecret);
    const port = there.port!;
    host.swarm.unseed(blob.digest);
    await expect.poll(() => tracker.swarms.get(id)?.size).toBe(0);
    await (await RawPeer.dial(port, id)).expectClose();
    // Offered again, it is this process that does it.
    host.swarm.seed(blob.metainfo);
    await expect.poll(() => [...(tracker.swarms.get(id)?.keys() ?? [])]).toEqual([host.swarm.peerId]);
  });

  it('are offered again where they are, also when they were evicted and fetched once more', async () => {
    const tracker = new LocalTracker();
    const { host, blob, process: there } = await startWithBlobElsewhere(tracker);
    const id = swarmIdOf(blob.metainfo, clusterSecret);
    host.swarm.seed(blob.metainfo);
    host.swarm.used(blob.digest);
    await host.castore.blobs.delete(blob.digest);
    const config = { egressBytesPerSecond: MIB / 4 };
    await seedOn(await startHost(tracker, { origin: true, config }), blob);
    const again = await fetchElsewhere(host, blob.metainfo);
    await expect.poll(() => tracker.swarms.get(id)?.get(there.peerId!)?.complete).toBe(false);
    await again.finished;
    await expect.poll(() => tracker.swarms.get(id)?.get(there.peerId!)?.complete).toBe(true);
    expect((await readBlob(host, blob.digest)).equals(blob.bytes)).toBe(true);
  });
});

describe('the processes of a SwarmOfProcesses', { timeout: 90_000 }, () => {
  it('are gone after it is closed, those that hang too', async () => {
    const host = await startProcessHost(new LocalTracker());
    await untilProcesses(host);
    const pids = host.swarm.processes().map(({ pid }) => pid!);
    process.kill(pids[0]!, 'SIGSTOP');
    await host.stop();
    expect(pids.filter(isAlive)).toEqual([]);
  });

  it('end when they have had nothing to do for a while', async () => {
    const host = await startProcessHost(new LocalTracker(), { emptyMs: 1_500 });
    await untilProcesses(host);
    const pid = host.swarm.processes()[0]!.pid!;
    await expect.poll(() => host.swarm.statistics().processes, { timeout: 15_000 }).toBe(0);
    expect(isAlive(pid)).toBe(false);
  });

  it('end when the process that started them is killed', async () => {
    const owner = fork(fileURLToPath(new URL('./process-owner.ts', import.meta.url)), [await makeTempDir()], {
      execArgv: [],
    });
    onTestFinished(() => void owner.kill('SIGKILL'));
    const [pid] = (await once(owner, 'message')) as [number];
    expect(isAlive(pid)).toBe(true);
    owner.kill('SIGKILL');
    await expect.poll(() => isAlive(pid), { timeout: 10_000 }).toBe(false);
  });

  it('are not there when their port is taken, which harms nobody', async () => {
    const tracker = new LocalTracker();
    const origin = await startHost(tracker, { origin: true });
    const blob = await makeBlob(100_000);
    await seedOn(origin, blob);
    const host = await startProcessHost(tracker, { config: { processPort: origin.swarm.port } });
    await (await host.swarm.fetch(blob.metainfo)).finished;
    await host.stop();
    expect(host.swarm.statistics().processes).toBe(0);
  });

  it('are not started while the event loop has time', async () => {
    const tracker = new LocalTracker();
    const origin = await startHost(tracker, { origin: true });
    const blob = await makeBlob(100_000);
    await seedOn(origin, blob);
    const host = await startProcessHost(tracker);
    host.busyness.utilisation = 0.8;
    await (await host.swarm.fetch(blob.metainfo)).finished;
    await host.stop();
    expect(host.swarm.statistics().processes).toBe(0);
  });
});
