import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Digest } from '../../src/core/index.ts';
import { collectGarbage, type GcReport } from '../../src/gc/index.ts';
import { findPath, findQuarantinePath } from '../../src/pathparser/index.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import { folderDriver, serveRegistry } from '../registry/running-registry.ts';
import { PushingClient } from './pushing-client.ts';

/** SHOAL_GC_MINUTES=2 runs it for two minutes. */
const runMs = Number(process.env['SHOAL_GC_MINUTES'] ?? '0.13') * 60_000;
/** Far longer than a request takes, also on a machine that has other things to do. */
const QUARANTINE_MS = 2000;
const GRACE_MS = 5;
const LONGER_MS = 60_000;
const CLIENTS = 8;
const REPLICAS = 2;
const COLLECTORS = 2;

/** Numbers that are the same for the same seed (mulberry32). */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** In memory where there is such a place: a sync of a busy disk takes so long that little else would happen. */
async function makeFastDir(): Promise<string> {
  if (!existsSync('/dev/shm')) return makeTempDir();
  const folder = await mkdtemp('/dev/shm/shoal-test-');
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

describe('collection in a loop while eight clients push, delete and pull', () => {
  it('loses nothing that was acknowledged, and leaves nothing else', {
    timeout: runMs + LONGER_MS + 120_000,
  }, async () => {
    const folder = await makeFastDir();
    const seed = Number(process.env['SHOAL_GC_SEED'] ?? Date.now() % 1_000_000);
    const urls: string[] = [];
    for (let number = 0; number < REPLICAS; number += 1) {
      urls.push((await serveRegistry(await folderDriver(folder))).url);
    }
    const clients = Array.from({ length: CLIENTS }, (_, number) => {
      return new PushingClient(`c${number}`, { urls, random: randomOf(seed + number), quarantineMs: QUARANTINE_MS });
    });

    const startedMs = performance.now();
    let failed = false;
    const reports: GcReport[] = [];
    // On a busy machine it takes longer until enough has happened.
    const isEnough = () =>
      reports.some(({ totals }) => totals.delete.objects > 0) &&
      clients.every(({ pushes, pulls }) => Math.min(pushes, pulls) > 0);
    const stopped = () => {
      const elapsedMs = performance.now() - startedMs;
      return failed || (elapsedMs >= runMs && isEnough()) || elapsedMs >= runMs + LONGER_MS;
    };
    const collector = async () => {
      await using driver = await folderDriver(folder);
      while (!stopped()) {
        const options = { driver, graceMs: GRACE_MS, quarantineMs: QUARANTINE_MS, untagged: true, reportLimit: 200 };
        reports.push(await collectGarbage(options));
      }
    };
    const tasks = [
      ...clients.map((client) => client.runUntil(stopped)),
      ...Array.from({ length: COLLECTORS }, collector),
    ];
    for (const task of tasks) {
      task.catch(() => {
        failed = true;
      });
    }
    const outcomes = await Promise.allSettled(tasks);
    const errors = outcomes.filter((outcome) => outcome.status === 'rejected').map(({ reason }) => String(reason));
    expect(errors, `seed ${seed}`).toEqual([]);

    const totals = { quarantine: 0, restore: 0, delete: 0 };
    for (const report of reports) {
      for (const action of ['quarantine', 'restore', 'delete'] as const)
        totals[action] += report.totals[action].objects;
    }
    const damages = reports.flatMap(({ problems }) => problems).filter(({ kind }) => kind.startsWith('manifest-'));
    expect(damages).toEqual([]);
    expect(isEnough(), `seed ${seed}`).toBe(true);

    for (const client of clients) await client.pullAll();
    await using driver = await folderDriver(folder);
    let aheadMs = 0;
    const clock = { nowMs: () => Date.now() + aheadMs, monotonicMs: () => performance.now() };
    for (let run = 0; run < 5; run += 1) {
      aheadMs += 10 * QUARANTINE_MS;
      await collectGarbage({ driver, graceMs: 0, quarantineMs: QUARANTINE_MS, untagged: true, clock });
    }
    const blobs = new Set<Digest>();
    for await (const { path, isDirectory } of driver.walk('/')) {
      if (isDirectory) continue;
      expect(findQuarantinePath(path)).toBeUndefined();
      const parsed = findPath(path);
      if (parsed?.kind === 'blob-data') blobs.add(parsed.digest);
    }
    const wanted = new Set(clients.flatMap((client) => [...client.blobs()]));
    const doubtful = new Set(clients.flatMap((client) => [...client.doubtfulBlobs()]));
    expect(
      [...wanted].filter((digest) => !blobs.has(digest)),
      `seed ${seed}`,
    ).toEqual([]);
    expect(
      [...blobs].filter((digest) => !wanted.has(digest) && !doubtful.has(digest)),
      `seed ${seed}`,
    ).toEqual([]);
    for (const client of clients) await client.pullAll();
    if (process.env['SHOAL_GC_MINUTES'] !== undefined) {
      const pushes = clients.reduce((sum, client) => sum + client.pushes, 0);
      const pulls = clients.reduce((sum, client) => sum + client.pulls, 0);
      const refused = clients.reduce((sum, client) => sum + client.refused, 0);
      console.log({
        seed,
        runs: reports.length,
        pushes,
        pulls,
        refused,
        ...totals,
        blobs: blobs.size,
        doubtful: doubtful.size,
      });
    }
  });
});
