import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { makeTempDir } from '../helpers/temp-dir.ts';
import { startShoal } from './run-shoal.ts';

describe('shoal driver', () => {
  it('lists the drivers that there are', async () => {
    const shoal = startShoal(['driver', 'list']);
    expect(await shoal.ended).toBe(0);
    expect(shoal.out().trim().split('\n')).toEqual(expect.arrayContaining(['filesystem', 'inmemory']));
  });

  it('verifies a driver with parameters of a file, a line for each case, and leaves nothing', {
    timeout: 180_000,
  }, async () => {
    const folder = await makeTempDir();
    const file = join(folder, 'parameters.yaml');
    await writeFile(file, `rootdirectory: ${join(folder, 'root')}\nmaxconcurrency: 1\n`);
    const shoal = startShoal(['driver', 'verify', 'filesystem', '--params', file, '--params', 'maxconcurrency=20']);
    expect(await shoal.ended, shoal.err()).toBe(0);
    const passed = shoal.out().match(/^ {2}passed /gm)?.length;
    expect(shoal.out()).toContain(`filesystem, full profile: ${passed} passed, 0 failed, 0 skipped`);
    expect(passed).toBeGreaterThan(80);
  });

  it('says as JSON what it found, for a driver that does not outlive a restart', { timeout: 180_000 }, async () => {
    const shoal = startShoal(['driver', 'verify', 'inmemory', '--json', '--large-size', '1MiB']);
    expect(await shoal.ended, shoal.err()).toBe(0);
    const report = JSON.parse(shoal.out()) as { outlivesRestart: boolean; cases: { passed: boolean }[] };
    expect(report).toMatchObject({ driverName: 'inmemory', profile: 'full', outlivesRestart: false });
    expect(report.cases.every(({ passed }) => passed)).toBe(true);
  });

  it('begins only where nothing is stored', async () => {
    const root = await makeTempDir();
    await mkdir(join(root, 'docker'));
    await writeFile(join(root, 'docker', 'precious'), 'bytes');
    const shoal = startShoal(['driver', 'verify', 'filesystem', '--params', `rootdirectory=${root}`]);
    expect(await shoal.ended).toBe(1);
    expect(shoal.err()).toContain('something is stored there already; the suite writes and deletes everything');
  });

  it.each([
    [['driver', 'verify', 'nosuch'], 'storage driver "nosuch" is not known; expected one of'],
    [['driver', 'verify', 'filesystem'], 'parameter "rootdirectory" is missing'],
    [['driver', 'verify', 'filesystem', '--params', '/no/such.yaml'], 'are neither key=value nor a YAML file'],
    [['driver', 'verify', 'inmemory', '--params', 'maxbytes=no'], 'parameter "maxbytes"'],
    [['driver', 'verify', 'azure', '--params', 'account key=hidden'], 'parameters "account key=…" are neither'],
    [['driver', 'verify', 'p2p', '--params', 'constructor=ro'], 'parameter "config" is missing'],
    [['driver', 'verify', 'p2p', '--params', 'constructor=ro', '--params', 'config=/no/such.yaml'], '/no/such.yaml'],
  ])('%j fails with "%s"', async (args, message) => {
    const shoal = startShoal(args);
    expect(await shoal.ended).toBe(1);
    expect(shoal.err()).toContain(message);
    expect(shoal.err()).not.toContain('hidden');
  });
});
