import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { hashBytes, hexOf } from '../../src/core/index.ts';
import { hasPrograms } from '../helpers/command.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import { makeBlob } from './blobs.ts';
import { rawGet } from './foreign-client.ts';
import { freePort } from './redis-server.ts';
import { OriginStandIn, startTracker, TOKEN } from './running-tracker.ts';

const ARIA2 = '/usr/bin/aria2c';

/** Starts aria2 on a .torrent file; what it knows of peers, it knows from the tracker. */
async function startAria2(torrent: string, directory: string, options: readonly string[]) {
  const port = await freePort();
  const process = spawn(
    ARIA2,
    [
      `--dir=${directory}`,
      `--listen-port=${port}`,
      '--no-conf',
      '--enable-dht=false',
      '--enable-dht6=false',
      '--enable-peer-exchange=false',
      '--bt-enable-lpd=false',
      '--file-allocation=none',
      '--console-log-level=warn',
      '--summary-interval=0',
      ...options,
      torrent,
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let output = '';
  for (const stream of [process.stdout, process.stderr]) stream.on('data', (text: Buffer) => (output += text));
  onTestFinished(() => end(process));
  return { process, port, output: () => output };
}

async function end(process: ChildProcess): Promise<void> {
  if (process.exitCode !== null || process.signalCode !== null) return;
  const gone = once(process, 'exit');
  process.kill('SIGKILL');
  await gone;
}

// Skipped only where the program is missing; never in CI.
describe.skipIf(!hasPrograms(ARIA2))('aria2 as a foreign client', () => {
  it('finds its peer through the tracker and downloads the blob', { timeout: 60_000 }, async () => {
    const blob = makeBlob('for aria2', 400_000);
    const origin = await OriginStandIn.start([blob]);
    const { url, port } = await startTracker({ originUrls: [origin.url] });
    const directory = await makeTempDir();
    const torrent = join(directory, 'blob.torrent');
    const response = await fetch(`${url}/v1/blobs/${blob.digest}/torrent`, {
      headers: { authorization: `Bearer ${TOKEN}` },
    });
    await writeFile(torrent, Buffer.from(await response.arrayBuffer()));
    const [seeding, leeching] = [join(directory, 'seed'), join(directory, 'leech')];
    await mkdir(seeding);
    await mkdir(leeching);
    await writeFile(join(seeding, hexOf(blob.digest)), blob.bytes);

    await startAria2(torrent, seeding, ['--check-integrity=true', '--seed-ratio=0.0']);
    await vi.waitFor(async () => {
      expect((await rawGet(port, '/metrics')).body.toString()).toMatch(/^shoal_tracker_peers 1$/m);
    }, 20_000);
    const leecher = await startAria2(torrent, leeching, ['--seed-time=0']);
    const [code] = (await once(leecher.process, 'exit')) as [number | null];
    expect(code, leecher.output()).toBe(0);
    expect(hashBytes(await readFile(join(leeching, hexOf(blob.digest))))).toBe(blob.digest);
    // It said goodbye, and the tracker took it out.
    await vi.waitFor(async () => {
      expect((await rawGet(port, '/metrics')).body.toString()).toMatch(/^shoal_tracker_peers 1$/m);
    }, 10_000);
  });
});
