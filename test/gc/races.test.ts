import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hashBytes, mediaTypes, parseRepository } from '../../src/core/index.ts';
import type { StorageDriver } from '../../src/driver/index.ts';
import { formatPath } from '../../src/pathparser/index.ts';
import { bytesOf, descriptorOf, type TestClient } from '../registry/client.ts';
import { memoryDriver, serveRegistry } from '../registry/running-registry.ts';
import { type DriverCall, watchedDriver } from './counting-driver.ts';
import { DAY_MS, HOUR_MS, Scene } from './scene.ts';

const config = Buffer.from('{"of":"races"}');
const layer = bytesOf('raced', 2000);

function imageWith(blob: Buffer): object {
  return {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: descriptorOf(mediaTypes.ociConfig, config),
    layers: [descriptorOf(mediaTypes.ociLayerTar, blob)],
  };
}

/** Pushes as clients do: what the registry says it has is not sent again. @returns the status of the manifest */
async function pushSparing(client: TestClient, name: string, blob: Buffer, tag: string): Promise<number> {
  for (const bytes of [config, blob]) {
    const digest = hashBytes(bytes);
    if ((await client.call('HEAD', `/v2/${name}/blobs/${digest}`)).status !== 200) await client.putBlob(name, bytes);
  }
  return (await client.putManifest(name, tag, imageWith(blob))).status;
}

async function expectImage(client: TestClient, name: string, reference: string, blob: Buffer): Promise<void> {
  expect((await client.call('GET', `/v2/${name}/manifests/${reference}`)).status).toBe(200);
  for (const bytes of [config, blob]) {
    const answer = await client.call('GET', `/v2/${name}/blobs/${hashBytes(bytes)}`);
    expect([answer.status, answer.body.equals(bytes)]).toEqual([200, true]);
  }
}

/** Runs until everything that goes has gone. */
async function settle(scene: Scene): Promise<void> {
  for (let run = 0; run < 4; run += 1) await scene.collectLater({ untagged: true });
}

/** What a registry and a collector do on one storage, one call at a time, in any order that a seed gives. */
class Interleaving {
  readonly #random: () => number;
  readonly #waiting: (() => void)[] = [];

  constructor(random: () => number) {
    this.#random = random;
  }

  /** A driver whose calls take turns with those of the other drivers of this interleaving. */
  driver(inner: StorageDriver): StorageDriver {
    return watchedDriver(inner, () => this.#turn());
  }

  /** Runs tasks side by side. */
  async all<T>(tasks: readonly (() => Promise<T>)[]): Promise<T[]> {
    return Promise.all(
      tasks.map(async (task) => {
        try {
          return await task();
        } finally {
          this.#go();
        }
      }),
    );
  }

  /** Each call waits until one is chosen among all that wait. */
  #turn(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      // Others get the time to come to their next call; over HTTP that takes some turns of the loop.
      setTimeout(() => this.#go(), 0);
    });
  }

  #go(): void {
    const [next] = this.#waiting.splice(Math.floor(this.#random() * this.#waiting.length), 1);
    next?.();
  }
}

describe('a push beside a collection', () => {
  /** Each step of the push, with a whole collection in its middle. */
  const moments: readonly (readonly [string, (call: DriverCall, path: string) => boolean])[] = [
    [
      'after its blobs were found, before the manifest is written',
      (call, path) => call === 'putContent' && path.endsWith('/data'),
    ],
    ['before the revision is linked', (call, path) => call === 'putContent' && path.includes('/revisions/')],
    ['before the tag is set', (call, path) => call === 'putContent' && path.includes('/current/')],
    ['while its blobs are looked for', (call, path) => call === 'stat' && path.includes('/blobs/')],
  ];

  it.each(moments)('is whole when things are put aside %s', async (_moment, matches) => {
    const inner = await memoryDriver();
    const scene = new Scene(inner);
    const plain = await serveRegistry(inner);
    for (const bytes of [config, layer]) await plain.client.putBlob('a', bytes);
    let armed = true;
    const driver = watchedDriver(inner, async (call, path) => {
      if (!armed || !matches(call, path)) return;
      armed = false;
      await scene.collectLater({ untagged: true });
    });
    const { client } = await serveRegistry(driver);
    expect((await client.putManifest('a', 'v1', imageWith(layer))).status).toBe(201);
    expect(armed).toBe(false);
    await settle(scene);
    await expectImage(plain.client, 'a', 'v1', layer);
  });

  it('is whole when a link and its blob were put aside between HEAD and the manifest', async () => {
    const inner = await memoryDriver();
    const scene = new Scene(inner);
    const { client } = await serveRegistry(inner);
    for (const bytes of [config, layer]) await client.putBlob('a', bytes);
    expect((await client.call('HEAD', `/v2/a/blobs/${hashBytes(layer)}`)).status).toBe(200);
    await scene.collectLater();
    expect((await client.putManifest('a', 'v1', imageWith(layer))).status).toBe(201);
    await settle(scene);
    await expectImage(client, 'a', 'v1', layer);
  });
});

describe('a deletion from quarantine', () => {
  /** Everything in quarantine for long enough, and the calls of the run that deletes it stopped at one of them. */
  async function stopAt(
    matches: (call: DriverCall, path: string) => boolean,
    meanwhile: (client: TestClient, scene: Scene) => unknown,
  ) {
    const inner = await memoryDriver();
    const scene = new Scene(inner);
    const { client } = await serveRegistry(inner);
    for (const bytes of [config, layer]) await client.putBlob('a', bytes);
    await client.putManifest('a', 'old', imageWith(layer));
    await client.call('DELETE', '/v2/a/manifests/old');
    await scene.collectLater({ untagged: true });
    let armed = true;
    const driver = watchedDriver(inner, async (call, path) => {
      if (!armed || !matches(call, path)) return;
      armed = false;
      await meanwhile(client, scene);
    });
    scene.aheadMs += DAY_MS + HOUR_MS;
    await scene.collect({ driver, untagged: true, concurrency: 1 });
    expect(armed).toBe(false);
    return { scene, client };
  }

  it.each([
    ['of a manifest', (call: DriverCall, path: string) => call === 'delete' && path.includes('/revision-')],
    ['of a link', (call: DriverCall, path: string) => call === 'delete' && path.includes('/layer-')],
    ['of bytes', (call: DriverCall, path: string) => call === 'delete' && path.includes('/data-')],
  ])('%s leaves a push whole that comes just before it', async (_what, matches) => {
    const { scene, client } = await stopAt(matches, async (client) => {
      expect(await pushSparing(client, 'a', layer, 'v1')).toBe(201);
    });
    await expectImage(client, 'a', 'v1', layer);
    await settle(scene);
    await expectImage(client, 'a', 'v1', layer);
  });

  it.each(['/revision-', '/layer-', '/data-'])(
    'leaves an index whole whose child was brought back just before the deletion of %s',
    async (kind) => {
      const child = hashBytes(Buffer.from(JSON.stringify(imageWith(layer))));
      let status = 0;
      const { scene, client } = await stopAt(
        (call, path) => call === 'delete' && path.includes(kind),
        async (client) => {
          const index = {
            schemaVersion: 2,
            mediaType: mediaTypes.ociIndex,
            manifests: [{ mediaType: mediaTypes.ociManifest, digest: child, size: 1 }],
          };
          // Only the child is asked for, not its layers.
          status = (await client.putManifest('a', 'multi', index)).status;
        },
      );
      await settle(scene);
      // Taken and whole, or refused: never taken and broken.
      if (status === 201) await expectImage(client, 'a', child, layer);
      else expect(status).toBe(404);
      if (kind === '/revision-') expect(status).toBe(201);
    },
  );

  it('leaves the bytes of a manifest whose link was brought back just before, and that are to follow', async () => {
    const digest = hashBytes(Buffer.from(JSON.stringify(imageWith(layer))));
    const repository = parseRepository('a');
    // A registry between its two steps: the link is back, the bytes are not yet.
    const { client } = await stopAt(
      (call, path) => call === 'delete' && path.includes('/revision-'),
      async (_client, scene) => {
        const entry = [...(await scene.snapshot()).keys()].find((path) => path.includes('/revision-'))!;
        await scene.driver.move(entry, formatPath({ kind: 'revision-link', repository, digest }));
      },
    );
    await expectImage(client, 'a', digest, layer);
  });

  it('takes an index before its children, so that an index that is brought back just then has them', async () => {
    const scene = new Scene(await memoryDriver());
    const { client } = await serveRegistry(scene.driver);
    const child = await scene.image('a', { layers: [await scene.layer('a', 'of the child')] });
    const inner = await scene.index('a', [child]);
    await scene.collectLater({ untagged: true });
    const outer = {
      schemaVersion: 2,
      mediaType: mediaTypes.ociIndex,
      manifests: [{ mediaType: mediaTypes.ociIndex, digest: inner, size: 1 }],
    };
    let status = 0;
    const driver = watchedDriver(scene.driver, async (call, path) => {
      if (status !== 0 || call !== 'delete' || !path.includes(`${inner.slice(7)}/revision-`)) return;
      status = (await client.putManifest('a', 'multi', outer)).status;
    });
    await scene.collectLater({ driver, untagged: true, concurrency: 1 });
    expect(status).toBe(201);
    await settle(scene);
    const { body } = await client.call('GET', `/v2/a/manifests/${child}`);
    const { layers } = JSON.parse(body.toString()) as { layers: { digest: string }[] };
    expect((await client.call('GET', `/v2/a/blobs/${layers[0]!.digest}`)).body.toString()).toBe('of the child');
  });
});

describe('the removal of an entry among referrers', () => {
  it('leaves it to a manifest that is pushed anew just before', async () => {
    const scene = new Scene(await memoryDriver());
    const { client } = await serveRegistry(scene.driver);
    const subject = hashBytes(Buffer.from('the subject'));
    const document = { ...imageWith(layer), subject: { mediaType: mediaTypes.ociManifest, digest: subject, size: 1 } };
    const push = async () => {
      for (const bytes of [config, layer]) await client.putBlob('a', bytes);
      const digest = hashBytes(Buffer.from(JSON.stringify(document)));
      expect((await client.putManifest('a', digest, document)).status).toBe(201);
    };
    await push();
    // The manifest is put aside, then deleted; its entry is what the third run finds.
    await scene.collectLater({ untagged: true });
    await scene.collectLater({ untagged: true });
    let armed = true;
    const driver = watchedDriver(scene.driver, async (call, path) => {
      if (!armed || call !== 'delete' || !path.includes('/_referrers/')) return;
      armed = false;
      await push();
    });
    await scene.collectLater({ driver, untagged: true });
    expect(armed).toBe(false);
    const answer = await client.call('GET', `/v2/a/referrers/${subject}`);
    expect((JSON.parse(answer.body.toString()) as { manifests: unknown[] }).manifests).toHaveLength(1);
  });
});

/** SHOAL_GC_SEQUENCES=500 tries more of them. */
describe('collectors and pushes in any order of their calls', { timeout: 600_000 }, () => {
  it('leave everything whole that was acknowledged', async () => {
    await fc.assert(
      fc.asyncProperty(fc.infiniteStream(fc.double({ min: 0, max: 0.999, noNaN: true })), async (numbers) => {
        const inner = await memoryDriver();
        const scene = new Scene(inner);
        const plain = await serveRegistry(inner);
        for (const bytes of [config, layer]) await plain.client.putBlob('a', bytes);
        await plain.client.putManifest('a', 'old', imageWith(layer));
        await plain.client.call('DELETE', '/v2/a/manifests/old');
        await scene.collectLater({ untagged: true });
        scene.aheadMs += DAY_MS + HOUR_MS;
        const order = new Interleaving(() => numbers.next().value ?? 0);
        const { client } = await serveRegistry(order.driver(inner));
        const collect = () => scene.collect({ driver: order.driver(inner), untagged: true }).then(() => 0);
        const [, , first, second] = await order.all([
          collect,
          collect,
          () => pushSparing(client, 'a', layer, 'v1'),
          () => pushSparing(client, 'b', layer, 'v1'),
        ]);
        for (const [name, status] of [
          ['a', first],
          ['b', second],
        ] as const) {
          if (status === 201) await expectImage(plain.client, name, 'v1', layer);
        }
        await settle(scene);
        for (const [name, status] of [
          ['a', first],
          ['b', second],
        ] as const) {
          // A push may be refused when what HEAD has said is deleted before the manifest comes, as the run began a day later.
          if (status === 201) await expectImage(plain.client, name, 'v1', layer);
          else expect(status).toBe(404);
        }
      }),
      { numRuns: Number(process.env['SHOAL_GC_SEQUENCES'] ?? '8') },
    );
  });
});
