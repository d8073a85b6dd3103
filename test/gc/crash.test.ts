import { describe, expect, it } from 'vitest';
import { type Digest, hashBytes } from '../../src/core/index.ts';
import type { StorageDriver } from '../../src/driver/index.ts';
import { QUARANTINE_PATH } from '../../src/pathparser/index.ts';
import type { TestClient } from '../registry/client.ts';
import { memoryDriver, serveRegistry } from '../registry/running-registry.ts';
import { wrapDriver } from '../registry/wrapped-driver.ts';
import { HOUR_MS, Scene } from './scene.ts';

/** What a driver throws from the moment on at which the process is gone. */
class ProcessGone extends Error {}

/** A driver that does so many writes and then nothing any more, like a process that is killed between two calls. */
function dyingDriver(driver: StorageDriver, writesLeft: number): { driver: StorageDriver; died: () => boolean } {
  let left = writesLeft;
  const write = async (call: () => Promise<void>) => {
    if (left <= 0) throw new ProcessGone('killed');
    left -= 1;
    await call();
  };
  const dying = wrapDriver(driver, {
    putContent: (path, content, context) => write(() => driver.putContent(path, content, context)),
    move: (source, destination, context) => write(() => driver.move(source, destination, context)),
    delete: (path, context) => write(() => driver.delete(path, context)),
  });
  return { driver: dying, died: () => left <= 0 };
}

/** A driver that moves as object stores do: a copy, then a deletion, with time to die between. */
function copyingDriver(driver: StorageDriver): StorageDriver {
  const copying: StorageDriver = wrapDriver(driver, {
    move: async (source, destination, context) => {
      await driver.putContent(destination, await driver.getContent(source, context), context);
      await driver.delete(source, context);
    },
  });
  return copying;
}

/** A bit of everything: kept, unused, untagged, a child, referrers, history, something to be moved back. */
async function furnish(driver: StorageDriver) {
  const scene = new Scene(driver);
  const shared = await scene.layer('a', 'shared');
  await scene.link('b', 'layer', shared);
  const child = await scene.image('a', { layers: [shared] });
  const multi = await scene.index('a', [child], { tags: ['multi'] });
  const signature = await scene.image('a', { subject: multi });
  const again = await scene.image('a', { layers: [await scene.layer('a', 'again')] });
  await scene.image('b', { layers: [await scene.layer('b', 'untagged')], tags: ['old'] });
  await scene.untag('b', 'old');
  const image = await scene.image('b', { layers: [shared], tags: ['v1'] });
  await scene.image('b', { subject: hashBytes(Buffer.from('gone')) });
  await scene.layer('b', 'unused');
  await scene.blob('lost');
  return { scene, again, kept: { a: [child, multi, signature], b: [image] } };
}

type Kept = Readonly<Record<string, readonly Digest[]>>;

/** Everything that was acknowledged and has to stay can be read through a registry. */
async function expectReadable(client: TestClient, kept: Kept): Promise<void> {
  for (const [name, digests] of Object.entries(kept)) {
    for (const digest of digests) {
      const answer = await client.call('GET', `/v2/${name}/manifests/${digest}`);
      expect(answer.status, `${name} ${digest}`).toBe(200);
      const document = JSON.parse(answer.body.toString()) as {
        config?: { digest: string };
        layers?: { digest: string }[];
      };
      for (const part of [...(document.config ? [document.config] : []), ...(document.layers ?? [])]) {
        expect((await client.call('GET', `/v2/${name}/blobs/${part.digest}`)).status, part.digest).toBe(200);
      }
    }
  }
}

async function finish(scene: Scene): Promise<string[]> {
  for (let run = 0; run < 3; run += 1) await scene.collectLater({ untagged: true });
  expect((await scene.collectLater({ untagged: true })).items).toEqual([]);
  return [...(await scene.snapshot()).keys()];
}

/** Runs the story of the second run with a process that dies at the n-th write. @returns whether it died */
async function dieAt(
  writes: number,
  { run, layOut, clean }: { run: 1 | 2; layOut: (driver: StorageDriver) => StorageDriver; clean: readonly string[] },
): Promise<boolean> {
  const driver = await memoryDriver();
  const { scene, kept, again } = await furnish(driver);
  if (run === 2) {
    await scene.collectLater({ untagged: true });
    await scene.tag('a', 'again', again);
    kept.a.push(again);
  }
  scene.aheadMs += 25 * HOUR_MS;
  const { driver: dying, died } = dyingDriver(driver, writes);
  const collection = scene.collect({ driver: layOut(dying), untagged: true, concurrency: 1 });
  const outcome = await collection.then(
    () => 'done',
    (error: unknown) => error,
  );
  if (died() && outcome !== 'done') expect(outcome).toBeInstanceOf(ProcessGone);
  const { client } = await serveRegistry(driver);
  await expectReadable(client, kept);
  if (run === 1) await scene.untag('a', 'again').catch(() => undefined);
  const left = await finish(scene);
  expect(left.filter((path) => path.startsWith(QUARANTINE_PATH))).toEqual([]);
  expect(left.sort()).toEqual(clean);
  return outcome !== 'done';
}

/** What runs without an accident leave. */
async function leftByCleanRuns(run: 1 | 2): Promise<string[]> {
  const { scene, again } = await furnish(await memoryDriver());
  if (run === 2) await scene.tag('a', 'again', again);
  return (await finish(scene)).sort();
}

describe('a collection that is killed at any point', () => {
  it.each([
    ['in its first run', 1, (driver: StorageDriver) => driver],
    ['in its second run', 2, (driver: StorageDriver) => driver],
    ['in its first run, between copy and deletion too', 1, copyingDriver],
    ['in its second run, between copy and deletion too', 2, copyingDriver],
  ] as const)(
    '%s, leaves everything that has to stay readable, and the next run finishes',
    async (_when, run, layOut) => {
      let writes = 0;
      const clean = await leftByCleanRuns(run);
      while (await dieAt(writes, { run, layOut, clean })) writes += 1;
      // It has died at each of them.
      expect(writes).toBeGreaterThan(run === 1 ? 10 : 15);
    },
  );
});
