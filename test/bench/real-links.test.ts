import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { stockCommand } from '../../bench/lib/stock-clients.ts';
import type { PairResult } from '../../bench/pair/report.ts';
import type { SwarmResult } from '../../bench/swarm/report.ts';
import { hasPrograms, run } from '../helpers/command.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';

const MIB = 2 ** 20;
const swarmBench = fileURLToPath(new URL('../../bench/swarm/main.ts', import.meta.url));
const pairBench = fileURLToPath(new URL('../../bench/pair/main.ts', import.meta.url));

/** Namespaces need root. In CI this test runs as root, and fails where it does not. */
function canMakeNetworks(): boolean {
  const root = process.getuid?.() === 0 || process.env['CI'] === 'true';
  if (!root) console.warn('SKIPPED: tests of the swarm bench make network namespaces, which needs root');
  return root && hasPrograms('ip', 'tc');
}

async function hasLibtorrent(): Promise<boolean> {
  if (process.env['CI'] === 'true') return true;
  const found = await stockCommand('libtorrent').then(
    () => true,
    () => false,
  );
  if (!found) console.warn('SKIPPED: the test with libtorrent; npm run test:setup installs it');
  return found;
}

/** Runs a bench in a folder of its own. */
function start(script: string, directory: string, args: readonly string[]) {
  const child = spawn(process.execPath, [script, '--dir', directory, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  const said = { out: '', errors: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said.out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said.errors += text;
  });
  return { child, said, exited: once(child, 'close') as Promise<[number | null]> };
}

async function namespacesOf(child: ChildProcess): Promise<string[]> {
  const names = (await run('ip', ['netns', 'list'])).split('\n').map((line) => line.split(' ')[0]!);
  return names.filter((name) => name.startsWith(`shoal-bench-${child.pid}-`));
}

/** Processes that were told of this folder. */
function processesIn(directory: string): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(commandLineOf)
    .filter((command) => command.includes(directory) && !command.includes('main.ts'));
}

function commandLineOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return ''; // It has ended since.
  }
}

async function until(what: string, ask: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 1_500; tries++) {
    if (await ask()) return;
    await new Promise((resolve) => setTimeout(resolve, 40));
  }
  throw new Error(`waited in vain until ${what}`);
}

// Skipped only where a program, or root, is missing; in CI a skipped test counts as a failure.
describe.skipIf(!canMakeNetworks())('bench:swarm on real links', { timeout: 180_000 }, () => {
  it('reports two hosts that pull 1 MiB, with both engines, and leaves nothing behind', async () => {
    const directory = await makeTempDir();
    const out = join(directory, 'result.json');
    const work = join(directory, 'work');
    await mkdir(work);
    const swarm = ['--hosts', '2', '--rate', '20mbit', '--size', '1MiB', '--warm-up', '2x1MiB'];
    const settings = [...swarm, '--engine', 'shoal,webtorrent'];
    const { child, said, exited } = start(swarmBench, work, [...settings, '--json', '--out', out]);
    const [status] = await exited;
    expect(said.errors).toContain('written to');
    expect(status).toBe(0);
    const result = JSON.parse(said.out) as SwarmResult;
    expect(JSON.parse(await readFile(out, 'utf8'))).toEqual(result);
    expect(result.machine).toMatchObject({ node: process.version });
    expect(said.out).not.toContain(directory);
    expect(result.cases.map(({ engine }) => engine)).toEqual(['shoal', 'webtorrent']);
    for (const { hosts, copies, linkCopies } of result.runs) {
      expect(hosts.map(({ status: how }) => how)).toEqual(['finished', 'finished']);
      for (const host of hosts) {
        expect(host.bytes.received).toBeGreaterThanOrEqual(MIB);
        // Nothing is faster than the link, but for the burst that it lets through at once.
        expect(host.lineShare).toBeLessThan(1.15);
        expect(host.link.receivedBytes).toBeGreaterThan(MIB);
      }
      expect(copies).toBeGreaterThanOrEqual(0.99);
      expect(linkCopies).toBeGreaterThan(copies);
    }
    const shoal = result.runs[0]!;
    for (const { firstByteMs, lastByteMs, bytes } of shoal.hosts) {
      expect(firstByteMs).toBeLessThanOrEqual(lastByteMs!);
      expect(bytes.peers! + bytes.origins! + bytes.http!).toBe(bytes.received);
    }
    expect(shoal.processes.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['host0', 'origin0', 'tracker', 'client-host1']),
    );
    expect(await namespacesOf(child)).toEqual([]);
    expect(processesIn(work)).toEqual([]);
    expect(readdirSync(work)).toEqual([]);
  });

  it('cleans up after Ctrl-C', async () => {
    const work = await makeTempDir();
    const { child, exited } = start(swarmBench, work, ['--hosts', '2', '--size', '1MiB']);
    await until('a program runs', async () => processesIn(work).length > 3);
    child.kill('SIGINT');
    expect((await exited)[0]).toBe(130);
    expect(await namespacesOf(child)).toEqual([]);
    expect(processesIn(work)).toEqual([]);
    expect(readdirSync(work)).toEqual([]);
  });

  it('removes with --cleanup what a killed bench has left', async () => {
    const work = await makeTempDir();
    const { child, exited } = start(swarmBench, work, ['--hosts', '2', '--size', '1MiB']);
    await until('a program runs', async () => processesIn(work).length > 3);
    child.kill('SIGKILL');
    await exited;
    expect(await namespacesOf(child)).not.toEqual([]);
    const cleaning = start(swarmBench, work, ['--cleanup']);
    expect((await cleaning.exited)[0]).toBe(0);
    expect(cleaning.said.errors).toContain(`removed shoal-bench-${child.pid}-host0`);
    expect(await namespacesOf(child)).toEqual([]);
    expect(processesIn(work)).toEqual([]);
    expect(readdirSync(work)).toEqual([]);
  });

  it('says what is wrong with a command line', async () => {
    const { said, exited } = start(swarmBench, await makeTempDir(), ['--hosts', 'many']);
    expect((await exited)[0]).toBe(2);
    expect(said.errors).toContain('"many" is no count');
  });
});

// Skipped only where the program is missing; never in CI.
describe.skipIf(!(await hasLibtorrent()))('bench:pair on loopback', { timeout: 120_000 }, () => {
  it('reports both engines, and leaves nothing behind', async () => {
    const directory = await makeTempDir();
    const work = join(directory, 'work');
    await mkdir(work);
    const settings = ['--size', '4MiB', '--link', 'loopback', '--runs', '1', '--piece-length', '128KiB', '--json'];
    const { said, exited } = start(pairBench, work, [...settings, '--out', join(directory, 'pair.json')]);
    expect([(await exited)[0], said.errors]).toEqual([0, expect.stringContaining('written to')]);
    const result = JSON.parse(said.out) as PairResult;
    expect(result.runs.map(({ engine, pieceLength }) => [engine, pieceLength])).toEqual([
      ['shoal', 131_072],
      ['libtorrent', 131_072],
    ]);
    for (const { megabytesPerSecond } of result.runs) expect(megabytesPerSecond).toBeGreaterThan(0.1);
    expect(result.medians[0]!.speedToLastEngine).toBeGreaterThan(0);
    expect(processesIn(work)).toEqual([]);
    expect(readdirSync(work)).toEqual([]);
  });
});
