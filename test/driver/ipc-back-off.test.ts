import { chmod, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { validated } from '../../src/driver/index.ts';
import { BackOff } from '../../src/driver/ipc/back-off.ts';
import { createIpcDriver } from '../../src/driver/ipc/index.ts';
import { supervisorTimes } from '../../src/driver/ipc/supervisor.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';

const python = join(import.meta.dirname, '../../examples/drivers/registry-storage-folder.py');
const seconds = 1000;

describe('the pause before a driver program is started again', () => {
  it('grows from 100 ms to 30 s while the program keeps ending', () => {
    const backOff = new BackOff(supervisorTimes);
    const pauses = Array.from({ length: 12 }, () => backOff.next(0));
    expect(pauses).toEqual([100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000, 30_000]);
  });

  it('grows too when the program ends a while after it was ready', () => {
    const backOff = new BackOff(supervisorTimes);
    expect([0, 59.9 * seconds, 30 * seconds].map((ranMs) => backOff.next(ranMs))).toEqual([100, 200, 400]);
  });

  it('is short again after a minute of steady running', () => {
    const backOff = new BackOff(supervisorTimes);
    for (let ended = 0; ended < 20; ended++) backOff.next(0);
    expect([60 * seconds, 0, 0, 3600 * seconds, 0].map((ranMs) => backOff.next(ranMs))).toEqual([
      100, 200, 400, 100, 200,
    ]);
  });
});

describe('a driver program that dies as soon as it is started again', () => {
  it('is started less and less often, calls fail meanwhile, and it serves again once it can', async () => {
    const folder = await makeTempDir();
    const starts = join(folder, 'starts');
    const broken = join(folder, 'broken');
    const program = join(folder, 'program');
    // Notes when it was started and as which process, which Python then is.
    const words = [
      '#!/bin/sh',
      `echo "$(date +%s%3N) $$" >> '${starts}'`,
      `if [ -e '${broken}' ]; then echo 'the disk is gone' >&2; exit 7; fi`,
      `exec python3 '${python}'`,
    ];
    await writeFile(program, `${words.join('\n')}\n`);
    await chmod(program, 0o755);
    const readStarts = async () => {
      const lines = (await readFile(starts, 'utf8')).trim().split('\n');
      return lines.map((line) => line.split(' ').map(Number) as [atMs: number, pid: number]);
    };
    const times = { ...supervisorTimes, firstDelayMs: 150, longestDelayMs: 600, patienceMs: 50 };
    const parameters = { exec: program, rootdirectory: join(folder, 'root') };
    const driver = validated(await createIpcDriver(parameters, { times, log: () => undefined }));
    onTestFinished(() => driver.close());
    await driver.putContent('/object', Buffer.from('kept'));
    const [first] = await readStarts();
    expect(first).toBeDefined();

    await writeFile(broken, '');
    const killedMs = Date.now();
    process.kill(first?.[1] ?? 0, 'SIGKILL');
    const refusals: string[] = [];
    const countStarts = async () => {
      await expect(driver.getContent('/object')).rejects.toSatisfy((error) => {
        refusals.push(String(error));
        return error.code === 'STORAGE_UNAVAILABLE' && error.retryable;
      });
      return (await readStarts()).length;
    };
    await expect.poll(countStarts, { timeout: 20_000, interval: 25 }).toBeGreaterThan(5);
    const ends = [killedMs, ...(await readStarts()).slice(1).map(([atMs]) => atMs)];
    const pauses = ends.slice(1).map((atMs, index) => atMs - (ends[index] ?? 0));
    // A program that has noted its start ends after it, so that no pause can look shorter than it was.
    for (const [index, pauseMs] of [150, 300, 600, 600, 600].entries()) {
      expect(pauses[index]).toBeGreaterThanOrEqual(pauseMs);
    }
    const said = refusals.join('\n');
    expect(said).toContain('is down, and started again in 1 s');
    expect(said).toContain(
      'ended (status 7) before it was ready; the last it wrote to standard error: the disk is gone',
    );

    await rm(broken);
    const again = () => driver.getContent('/object').then(String, () => undefined);
    await expect.poll(again, { timeout: 10_000 }).toBe('kept');
  });
});
