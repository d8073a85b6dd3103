import { mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { stringify } from 'yaml';
import type { UpSummary } from '../../src/cli/up/report.ts';
import { hasSwift, SwiftServer } from '../helpers/swift-s3/swift.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import { freePortRange, freePorts, runShoal, startShoal } from './run-shoal.ts';

/** Nine processes start on a machine that others use too. */
const LIMIT_MS = 180_000;

interface Ports {
  readonly args: readonly string[];
  readonly proxy: number;
  readonly agent: number;
}

async function portArgs(agents: number): Promise<Ports> {
  const agent = await freePortRange(agents);
  const origin = await freePortRange(2, 10);
  const [proxy, tracker, buildIndex] = await freePorts(3);
  const options = {
    '--agent-port': agent,
    '--origin-port': origin,
    '--proxy-port': proxy,
    '--tracker-port': tracker,
    '--build-index-port': buildIndex,
  };
  return { args: Object.entries(options).flatMap(([name, port]) => [name, String(port)]), proxy: proxy!, agent };
}

/** Process ids of all programs that `shoal up` started with this data. */
async function programIds(data: string): Promise<number[]> {
  const ids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(
    ids.map(async (id) => {
      const line = await readFile(`/proc/${id}/cmdline`, 'utf8').catch(() => ''); // It ended meanwhile.
      return line.includes(`${data}/config/`) ? [Number(id)] : [];
    }),
  );
  return found.flat();
}

async function untilNoneRuns(data: string): Promise<void> {
  await expect.poll(() => programIds(data), { timeout: 20_000, interval: 50 }).toEqual([]);
}

const swift = SwiftServer.forThisFile();

describe('shoal up', () => {
  it('takes another storage for origins and build-index', { timeout: LIMIT_MS }, async () => {
    const folder = await makeTempDir();
    const root = join(folder, 'elsewhere');
    const ports = await portArgs(2);
    const sizes = ['--agents', '2', '--image-size', '8MiB', '--data', join(folder, 'data')];
    const backend = ['--backend', 'filesystem', '--backend-params', `rootdirectory=${root}`];
    const run = await runShoal(['up', '--once', '--json', ...sizes, ...backend, ...ports.args]);
    checkSummary(run, ports);
    expect(await readdir(join(root, 'docker/registry/v2'))).toEqual(expect.arrayContaining(['blobs', 'repositories']));
    expect(await readdir(join(folder, 'data/backend'))).toEqual([]);
  });

  // Skipped only where the program is missing; never in CI.
  it.skipIf(!hasSwift())('does its job on a bucket', { timeout: LIMIT_MS }, async () => {
    const folder = await makeTempDir();
    const file = join(folder, 's3.yaml');
    await writeFile(file, stringify(await swift.makeBucket()));
    const ports = await portArgs(2);
    const sizes = ['--agents', '2', '--image-size', '8MiB', '--data', join(folder, 'data')];
    const run = await runShoal([
      'up',
      '--once',
      '--json',
      ...sizes,
      '--backend',
      's3',
      '--backend-params',
      file,
      ...ports.args,
    ]);
    checkSummary(run, ports);
  });

  it('does its job on a driver in a program of its own, found by its name', { timeout: LIMIT_MS }, async () => {
    const folder = await makeTempDir();
    const programs = join(folder, 'bin');
    await mkdir(programs);
    const example = join(import.meta.dirname, '../../examples/drivers/registry-storage-folder.py');
    await symlink(example, join(programs, 'registry-storage-folder'));
    const ports = await portArgs(2);
    const sizes = ['--agents', '2', '--image-size', '8MiB', '--data', join(folder, 'data')];
    const backend = ['--backend', 'ipc:folder', '--backend-params', `rootdirectory=${join(folder, 'root')}`];
    const environment = { PATH: `${programs}:${process.env['PATH']}` };
    const run = await runShoal(['up', '--once', '--json', ...sizes, ...backend, ...ports.args], environment);
    checkSummary(run, ports);
    expect(await readdir(join(folder, 'root'))).not.toEqual([]);
  });

  it('wants to know which storage its parameters are for', async () => {
    const run = await runShoal(['up', '--backend-params', 'rootdirectory=x', '--data', await makeTempDir()]);
    expect(run.status).toBe(1);
    expect(run.err).toContain('--backend-params says how to open a storage, and --backend which one');
  });

  it('sends an image to all agents at once, twice with the same data, and leaves nothing running', {
    timeout: LIMIT_MS,
  }, async () => {
    const data = join(await makeTempDir(), 'data');
    const ports = await portArgs(2);
    const args = ['up', '--once', '--json', '--agents', '2', '--image-size', '8MiB', '--data', data, ...ports.args];
    const first = await runShoal(args);
    expect(first.err).toContain(`Keeping all data in ${data}`);
    checkSummary(first, ports);
    await untilNoneRuns(data);
    expect((await stat(join(data, 'cluster/token'))).mode & 0o777).toBe(0o600);
    const token = await readFile(join(data, 'cluster/token'), 'utf8');

    const second = await runShoal(args);
    expect(second.err).toContain(`Using the data of an earlier start in ${data}`);
    expect(checkSummary(second, ports).digest).not.toBe(checkSummary(first, ports).digest);
    expect(await readFile(join(data, 'cluster/token'), 'utf8')).toBe(token);
    await untilNoneRuns(data);
  });

  it('stays, shows commands to paste, names a program that dies, and ends all on SIGINT', {
    timeout: LIMIT_MS,
  }, async () => {
    const data = join(await makeTempDir(), 'data');
    const ports = await portArgs(2);
    const up = startShoal(['up', '--agents', '2', '--image-size', '1MiB', '--data', data, ...ports.args]);
    await up.untilSays(/Running until Ctrl-C/);
    await up.untilPrints(/^agent-1 .* match$/m);
    const [, image] = await up.untilSays(/docker pull (localhost:\d+\/shoal\/demo:[0-9a-f]+)/);
    expect(image?.startsWith(`localhost:${ports.agent}/`)).toBe(true);
    const answer = await fetch(
      `http://${image
        ?.replace('/', '/v2/')
        .replace(':', ':')
        .replace(/:([0-9a-f]+)$/, '/manifests/$1')}`,
    );
    expect(answer.status).toBe(200);

    const victim = (await programIds(data)).find(Boolean)!;
    process.kill(victim, 'SIGKILL');
    await up.untilSays(/ended \(signal SIGKILL\); the others go on\. Its log is .*\.log/);
    up.child.kill('SIGINT');
    expect(await up.ended).toBe(0);
    await untilNoneRuns(data);
  });

  it('leaves no program behind when it is killed itself', { timeout: LIMIT_MS }, async () => {
    const data = join(await makeTempDir(), 'data');
    const { args } = await portArgs(1);
    const up = startShoal(['up', '--agents', '1', '--image-size', '1MiB', '--data', data, ...args]);
    await up.untilSays(/Running until Ctrl-C/);
    expect((await programIds(data)).length).toBe(6);
    up.child.kill('SIGKILL');
    await untilNoneRuns(data);
  });

  it('names each port that is taken with its program and option, before it starts anything', async () => {
    const data = join(await makeTempDir(), 'data');
    const { args, proxy, agent } = await portArgs(2);
    for (const port of [proxy, agent + 1]) {
      const taken = createServer();
      await new Promise<void>((resolve) => taken.listen(port, '127.0.0.1', resolve));
      onTestFinished(() => void taken.close());
    }
    const { status, out, err } = await runShoal(['up', '--once', '--agents', '2', '--data', data, ...args]);
    expect({ status, out, lines: err.split('\n') }).toEqual({
      status: 1,
      out: '',
      lines: [
        'shoal: 2 faults',
        `  port ${proxy} for the proxy is taken by another program; choose another with --proxy-port`,
        `  port ${agent + 1} for the agent-2 is taken by another program; choose another with --agent-port`,
        '',
      ],
    });
  });

  it('says how much room an image needs and how much there is', async () => {
    const data = join(await makeTempDir(), 'data');
    const { args } = await portArgs(3);
    const { status, err } = await runShoal(['up', '--once', '--image-size', '900000GiB', '--data', data, ...args]);
    expect(status).toBe(1);
    expect(err).toMatch(/has [\d.]+ .iB free, but an image of 878\.9 TiB needs 6152\.3 TiB: 7 copies/);
  });
});

function checkSummary(result: { status: number | string; out: string; err: string }, ports: Ports): UpSummary {
  expect(result.status, result.err).toBe(0);
  const summary = JSON.parse(result.out) as UpSummary;
  expect(summary.image).toMatch(new RegExp(`^localhost:${ports.proxy}/shoal/demo:[0-9a-f]{16}$`));
  expect(summary.agents.map(({ name, url, digestOk }) => ({ name, url, digestOk }))).toEqual([
    { name: 'agent-1', url: `http://localhost:${ports.agent}`, digestOk: true },
    { name: 'agent-2', url: `http://localhost:${ports.agent + 1}`, digestOk: true },
  ]);
  for (const agent of summary.agents) {
    const fetched = agent.fromPeersBytes + agent.fromOriginsBytes;
    // Layers come whole; config and manifest may come inside other answers.
    expect(fetched).toBeGreaterThanOrEqual(8 * 1024 ** 2);
    expect(agent.sharePeers).toBeCloseTo(agent.fromPeersBytes / fetched);
    expect(agent.bytesPerSecond).toBeCloseTo(summary.bytes / agent.seconds, 0);
  }
  return summary;
}
