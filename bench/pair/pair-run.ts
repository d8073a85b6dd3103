import { mkdir, writeFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { encodeMetainfo, torrentFile } from '../../src/core/index.ts';
import { monotonicMs } from '../lib/monotonic.ts';
import { busyShare, machineUsage, usageOf } from '../lib/process-usage.ts';
import type { RandomBlob } from '../lib/random-file.ts';
import type { StockCalls } from '../lib/stock-calls.ts';
import { stockCommand } from '../lib/stock-clients.ts';
import { Workbench } from '../lib/workbench.ts';
import type { PairEngine, PairLink } from './options.ts';
import type { PairCalls } from './pair-calls.ts';

/** What one pair did with one blob. */
export interface PairRun {
  readonly engine: string;
  readonly link: PairLink;
  readonly round: number;
  readonly pieceLength: number;
  /** Until all bytes were checked: with Shoal against every SHA-256, the blob's too; with libtorrent every SHA-1. */
  readonly seconds: number;
  readonly megabytesPerSecond: number;
  /** Until the blob was synced to disk, too; libtorrent does not sync. */
  readonly committedSeconds?: number;
  readonly receiver: EndUsage;
  readonly sender: EndUsage;
  readonly machineCpu: number;
}

/** What one end used. */
export interface EndUsage {
  readonly cpuSecondsPerGib: number;
  readonly peakMemoryBytes: number;
}

/** Both ends, warm. */
interface Pair {
  readonly senderPid: number;
  readonly receiverPid: number;
  fetch(atMs: number): Promise<{ readonly verifiedMs: number; readonly committedMs?: number }>;
}

interface Place {
  readonly workbench: Workbench;
  readonly blob: RandomBlob;
  readonly sender: End;
  readonly receiver: End;
}

interface End {
  readonly host: string;
  /** The command that runs `command` where this end is. */
  on(command: readonly [string, ...string[]]): [string, ...string[]];
}

const here = fileURLToPath(new URL('../..', import.meta.url));
const START_DELAY_MS = 200;
const PROCESSES_BYTES = 512 * 2 ** 20;
const PORTS = { sender: 46_881, receiver: 46_882 } as const;

/** The name of an engine in results. */
export function labelOf(engine: PairEngine): string {
  if (engine.kind === 'libtorrent') return 'libtorrent';
  return engine.checkout === undefined ? 'shoal' : `shoal:${basename(resolve(engine.checkout))}`;
}

/** One pair from nothing to nothing. */
export async function runPair(options: {
  readonly engine: PairEngine;
  readonly link: PairLink;
  readonly blob: RandomBlob;
  readonly round: number;
  readonly signal: AbortSignal;
  readonly parent?: string;
}): Promise<PairRun> {
  const { engine, link, blob, round, signal } = options;
  const workbench = await Workbench.open(signal, options.parent);
  try {
    const place = { workbench, blob, ...(await endsOn(link, workbench)) };
    const pair = engine.kind === 'libtorrent' ? await libtorrentPair(place) : await shoalPair(place, engine.checkout);
    // The blob in the page cache, and what both processes take besides.
    await workbench.takeMemory(1.5 * blob.sizeBytes + PROCESSES_BYTES);
    const measured = await measure(pair, blob.sizeBytes, () => workbench.giveMemory());
    return { engine: labelOf(engine), link, round, pieceLength: blob.metainfo.pieceLength, ...measured };
  } finally {
    await workbench.close();
  }
}

async function endsOn(link: PairLink, workbench: Workbench): Promise<{ sender: End; receiver: End }> {
  if (link === 'loopback') {
    const end: End = { host: '127.0.0.1', on: (command) => [...command] };
    return { sender: end, receiver: end };
  }
  const hosts = [
    { name: 'sender', address: '10.77.0.1' },
    { name: 'receiver', address: '10.77.0.2' },
  ];
  const network = await workbench.openNetwork(hosts);
  const [sender, receiver] = hosts.map(({ name, address }): End => {
    return { host: address, on: (command) => network.commandOn(name, command) };
  });
  return { sender: sender!, receiver: receiver! };
}

async function shoalPair(place: Place, checkout: string = here): Promise<Pair> {
  const { workbench, blob } = place;
  const metainfoFile = join(workbench.directory, 'metainfo');
  await writeFile(metainfoFile, encodeMetainfo(blob.metainfo));
  const script = fileURLToPath(new URL('shoal-peer.ts', import.meta.url));
  const [sender, receiver] = (['sender', 'receiver'] as const).map((name) => {
    return workbench.startRemote<PairCalls>(name, place[name].on([process.execPath, script]));
  });
  const paramsOf = (name: 'sender' | 'receiver') => {
    const directory = join(workbench.directory, name);
    return { checkout: resolve(checkout), directory, host: place[name].host, metainfoFile };
  };
  const [address] = await Promise.all([
    sender!.call('seed', { ...paramsOf('sender'), file: blob.file }),
    receiver!.call('open', paramsOf('receiver')),
  ]);
  const { host } = place.sender;
  const fetch = (atMs: number) => receiver!.call('fetch', { atMs, ...address, host });
  return { senderPid: sender!.pid, receiverPid: receiver!.pid, fetch };
}

async function libtorrentPair(place: Place): Promise<Pair> {
  const { workbench, blob } = place;
  const torrent = join(workbench.directory, 'blob.torrent');
  await writeFile(torrent, torrentFile(blob.metainfo, 'http://127.0.0.1:9/announce'));
  const received = join(workbench.directory, 'received');
  await mkdir(received);
  const command = await stockCommand('libtorrent');
  const [sender, receiver] = (['sender', 'receiver'] as const).map((name) => {
    return workbench.startRemote<StockCalls>(name, place[name].on(command));
  });
  const common = { torrent };
  await Promise.all([
    sender!.call('load', { ...common, directory: blob.directory, seed: true, ...endOf(place, 'sender') }),
    receiver!.call('load', { ...common, directory: received, seed: false, ...endOf(place, 'receiver') }),
  ]);
  const fetch = async (atMs: number) => {
    const { lastByteMs } = await receiver!.call('start', { atMs, peers: [endOf(place, 'sender')] });
    return { verifiedMs: lastByteMs };
  };
  return { senderPid: sender!.pid, receiverPid: receiver!.pid, fetch };
}

function endOf(place: Place, name: 'sender' | 'receiver'): { host: string; port: number } {
  return { host: place[name].host, port: PORTS[name] };
}

async function measure(pair: Pair, sizeBytes: number, onStart: () => void) {
  const pids = [pair.senderPid, pair.receiverPid];
  const [usageBefore, machineBefore] = await Promise.all([usageOf(pids), machineUsage()]);
  onStart();
  const { verifiedMs, committedMs } = await pair.fetch(monotonicMs() + START_DELAY_MS);
  const [usageAfter, machineAfter] = await Promise.all([usageOf(pids), machineUsage()]);
  const usedBy = (pid: number): EndUsage => {
    const cpuSeconds = (usageAfter.get(pid)?.cpuSeconds ?? 0) - (usageBefore.get(pid)?.cpuSeconds ?? 0);
    const peakMemoryBytes = usageAfter.get(pid)?.peakMemoryBytes ?? 0;
    return { cpuSecondsPerGib: (cpuSeconds * 2 ** 30) / sizeBytes, peakMemoryBytes };
  };
  return {
    seconds: verifiedMs / 1000,
    megabytesPerSecond: sizeBytes / 1000 / verifiedMs,
    ...(committedMs === undefined ? {} : { committedSeconds: committedMs / 1000 }),
    receiver: usedBy(pair.receiverPid),
    sender: usedBy(pair.senderPid),
    machineCpu: busyShare(machineBefore, machineAfter),
  };
}
