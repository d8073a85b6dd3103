import { utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseDuration } from '../../src/cli/gc-command.ts';
import { renderGcReport } from '../../src/cli/gc-report.ts';
import type { Digest } from '../../src/core/index.ts';
import type { GcReport } from '../../src/gc/index.ts';
import { Scene } from '../gc/scene.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import { folderDriver } from '../registry/running-registry.ts';
import { runShoal } from './run-shoal.ts';

/** A folder with an image, and a blob that nobody needs; all of it is three days old. */
async function furnishFolder(): Promise<{ folder: string; scene: Scene; lost: Digest; image: Digest }> {
  const folder = await makeTempDir();
  const scene = new Scene(await folderDriver(folder));
  const layer = await scene.layer('team/app', 'layer');
  const image = await scene.image('team/app', { layers: [layer], tags: ['v1'] });
  await scene.image('team/app');
  const lost = await scene.blob('lost');
  const old = new Date(Date.now() - 3 * 24 * 60 * 60 * 1000);
  for (const path of (await scene.snapshot()).keys()) await utimes(join(folder, path), old, old);
  return { folder, scene, lost, image };
}

describe('shoal gc', { timeout: 60_000 }, () => {
  it('tells what it would do, and does it in two runs', async () => {
    const { folder, scene, lost, image } = await furnishFolder();
    const gc = (...args: string[]) => runShoal(['gc', '--params', `rootdirectory=${folder}`, ...args]);

    const dry = await gc('--dry-run');
    expect([dry.status, dry.err]).toEqual([0, '']);
    expect(dry.out).toContain('1 object would be put in quarantine (4 B)');
    expect(dry.out).toMatch(new RegExp(`quarantine +blob +${lost} +4 B +no repository links it`));
    expect(await scene.hasBlob(lost)).toBe(true);

    const first = await gc('--json');
    const report = JSON.parse(first.out) as GcReport;
    expect([first.status, report.dryRun, report.totals.quarantine]).toEqual([0, false, { objects: 1, bytes: 4 }]);
    expect(await scene.hasBlob(lost)).toBe(false);

    const second = await gc('--quarantine', '0s', '--untagged');
    expect(second.status).toBe(0);
    expect(second.err).toContain('safe only while nobody pushes');
    expect(second.out).toContain('1 object deleted (4 B)');
    expect(second.out).toMatch(/quarantine +manifest +sha256:\S+ +team\/app +no tag leads to it/);
    expect(await scene.hasLink('team/app', 'revision', image)).toBe(true);
  });

  it('fails on a storage that holds no registry, instead of calling it clean', async () => {
    const { status, out, err } = await runShoal(['gc', '--params', `rootdirectory=${await makeTempDir()}`]);
    expect([status, out]).toEqual([1, '']);
    expect(err).toMatch(/^shoal: the storage \(filesystem\) holds no registry/);
  });

  it('fails with words on a driver or parameter that there is not', async () => {
    const driver = await runShoal(['gc', '--driver', 'tape']);
    expect([driver.status, driver.err]).toEqual([1, expect.stringContaining('tape')]);
    const parameter = await runShoal(['gc']);
    expect([parameter.status, parameter.err]).toEqual([1, expect.stringContaining('rootdirectory')]);
  });

  it('explains itself', async () => {
    const { status, out } = await runShoal(['gc', '--help']);
    expect(status).toBe(0);
    expect(out).toContain('shoal gc --params rootdirectory=/var/lib/registry --dry-run');
  });

  it.each([
    { args: ['--grace', 'soon'], says: /expected a duration such as 24h, 90m or 7d, got "soon"/ },
    { args: ['--max-operations', '0'], says: /expected a number from 1 to 1000000, got "0"/ },
  ])('refuses $args with status 2', async ({ args, says }) => {
    const { status, err } = await runShoal(['gc', ...args]);
    expect(status).toBe(2);
    expect(err).toMatch(says);
  });
});

describe('parseDuration', () => {
  it.each([
    ['0s', 0],
    ['30s', 30_000],
    ['90m', 5_400_000],
    ['24h', 86_400_000],
    ['1.5h', 5_400_000],
    ['7d', 604_800_000],
  ])('reads %s', (text, durationMs) => {
    expect(parseDuration(text)).toBe(durationMs);
  });

  it.each(['', '24', 'h', '-1h', '1w', '1 h', '24hours', '999999999d', 'NaNh'])('refuses %j', (text) => {
    expect(() => parseDuration(text)).toThrow(/expected a duration/);
  });
});

describe('the report for people', () => {
  it('shows a bounded number of lines, and says how many there are', async () => {
    const scene = new Scene(await folderDriver());
    for (let number = 0; number < 60; number += 1) await scene.layer('a', `unused ${number}`);
    await scene.manifest('b', { not: 'a manifest' });
    const text = renderGcReport(await scene.collectLater());
    expect(text).toContain('120 objects put in quarantine');
    expect(text).toContain('… and 70 more; --json has them all');
    expect(text).toMatch(/^a +60 +0 +0$/m);
    expect(text).toContain('  manifest-unknown: what sha256:');
  });
});
