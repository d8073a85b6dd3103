import { describe, expect, it } from 'vitest';
import { hashBytes, parseRepository } from '../../src/core/index.ts';
import { formatPath, QUARANTINE_PATH } from '../../src/pathparser/index.ts';
import { memoryDriver } from '../registry/running-registry.ts';
import { wrapDriver } from '../registry/wrapped-driver.ts';
import { DAY_MS, digestsOf, linesOf, Scene } from './scene.ts';

async function openScene(): Promise<Scene> {
  return new Scene(await memoryDriver());
}

/** Runs until nothing changes any more. */
async function collectAll(scene: Scene, options = {}): Promise<void> {
  for (let run = 0; run < 4; run += 1) await scene.collectLater(options);
  expect(linesOf(await scene.collectLater(options))).toEqual([]);
}

async function inQuarantine(scene: Scene): Promise<string[]> {
  return [...(await scene.snapshot()).keys()].filter((path) => path.startsWith(QUARANTINE_PATH));
}

describe('a collection', () => {
  it('puts what nobody links in quarantine, and deletes it a day later', async () => {
    const scene = await openScene();
    const kept = await scene.layer('a', 'kept');
    await scene.image('a', { layers: [kept], tags: ['v1'] });
    const lost = await scene.blob('lost');
    const first = await scene.collectLater();
    expect(linesOf(first)).toEqual([`quarantine blob ${lost} unlinked`]);
    expect(first.totals.quarantine).toEqual({ objects: 1, bytes: 4 });
    expect(await scene.hasBlob(lost)).toBe(false);
    expect(await inQuarantine(scene)).toHaveLength(1);
    expect(linesOf(await scene.collect())).toEqual([]);
    const second = await scene.collectLater();
    expect(linesOf(second)).toEqual([`delete blob ${lost} expired`]);
    expect(second.reclaimedBytes).toBe(4);
    expect(await inQuarantine(scene)).toEqual([]);
    expect(await scene.hasBlob(kept)).toBe(true);
  });

  it('leaves alone what is younger than the grace', async () => {
    const scene = await openScene();
    const blob = await scene.blob('young');
    const layer = await scene.layer('a', 'young layer');
    const manifest = await scene.image('a');
    expect(linesOf(await scene.collect({ untagged: true }))).toEqual([]);
    scene.aheadMs = DAY_MS - 60_000;
    expect(linesOf(await scene.collect({ untagged: true }))).toEqual([]);
    scene.aheadMs = DAY_MS + 60_000;
    const report = await scene.collect({ untagged: true });
    expect(digestsOf(report, { action: 'quarantine' })).toContain(blob);
    expect(digestsOf(report, { action: 'quarantine' })).toContain(layer);
    expect(digestsOf(report, { action: 'quarantine', object: 'manifest' })).toEqual(new Set([manifest]));
  });

  it('puts links of layers aside that no manifest of the repository names, with their blobs', async () => {
    const scene = await openScene();
    const shared = await scene.layer('a', 'shared');
    await scene.link('b', 'layer', shared);
    const used = await scene.layer('b', 'used');
    const unused = await scene.layer('b', 'unused');
    await scene.image('a', { layers: [shared], tags: ['v1'] });
    await scene.image('b', { layers: [used], tags: ['v1'] });
    expect(linesOf(await scene.collectLater())).toEqual(
      [
        `quarantine blob ${unused} unlinked`,
        `quarantine layer-link ${shared} unused`,
        `quarantine layer-link ${unused} unused`,
      ].sort(),
    );
    expect(await scene.hasBlob(shared)).toBe(true);
    expect(await scene.hasLink('a', 'layer', shared)).toBe(true);
    await collectAll(scene);
    expect(await scene.hasBlob(shared)).toBe(true);
    expect(await inQuarantine(scene)).toEqual([]);
  });

  it('keeps manifests without a tag unless it is told otherwise', async () => {
    const scene = await openScene();
    const layer = await scene.layer('a', 'layer');
    const image = await scene.image('a', { layers: [layer] });
    await collectAll(scene);
    expect(await scene.hasLink('a', 'revision', image)).toBe(true);
    const report = await scene.collectLater({ untagged: true });
    expect(digestsOf(report, { object: 'manifest', reason: 'untagged' })).toEqual(new Set([image]));
    await collectAll(scene, { untagged: true });
    expect([...(await scene.snapshot()).keys()]).toEqual([]);
  });

  it('keeps the children of indexes, to any depth, and layers that an index lists', async () => {
    const scene = await openScene();
    const layer = await scene.layer('a', 'layer');
    const cached = await scene.layer('a', 'cached');
    const image = await scene.image('a', { layers: [layer] });
    const inner = await scene.index('a', [image, cached]);
    const outer = await scene.index('a', [inner], { tags: ['multi'] });
    const other = await scene.index('a', [image]);
    const report = await scene.collectLater({ untagged: true });
    expect(linesOf(report)).toEqual(
      [`quarantine manifest ${other} untagged`, `quarantine blob ${other} unlinked`].sort(),
    );
    await collectAll(scene, { untagged: true });
    for (const digest of [image, inner, outer]) expect(await scene.hasLink('a', 'revision', digest)).toBe(true);
    for (const digest of [image, inner, outer, layer, cached]) expect(await scene.hasBlob(digest)).toBe(true);
  });

  it('keeps referrers of what it keeps, referrers of those too, and lets the others go with untagged', async () => {
    const scene = await openScene();
    const image = await scene.image('a', { tags: ['v1'] });
    const signature = await scene.image('a', { subject: image });
    const attestation = await scene.image('a', { subject: signature });
    const orphan = await scene.image('a', { subject: hashBytes(Buffer.from('never there')) });
    expect(linesOf(await scene.collectLater())).toEqual([]);
    await collectAll(scene, { untagged: true });
    expect(await scene.hasLink('a', 'revision', signature)).toBe(true);
    expect(await scene.hasLink('a', 'revision', attestation)).toBe(true);
    expect(await scene.hasLink('a', 'revision', orphan)).toBe(false);
    await scene.untag('a', 'v1');
    await collectAll(scene, { untagged: true });
    // Nothing is left but what no collection may judge.
    expect([...(await scene.snapshot()).keys()]).toEqual([]);
  });

  it('keeps what fallback tags list', async () => {
    const scene = await openScene();
    const image = await scene.image('a', { tags: ['v1'] });
    const signature = await scene.image('a', {});
    await scene.index('a', [signature], { tags: [`sha256-${image.slice(7)}`] });
    await collectAll(scene, { untagged: true });
    expect(await scene.hasLink('a', 'revision', signature)).toBe(true);
  });

  it('keeps layers that need not be there, when they are', async () => {
    const scene = await openScene();
    const foreign = await scene.layer('a', 'foreign');
    await scene.image('a', { foreignLayers: [foreign], tags: ['v1'] });
    await collectAll(scene, { untagged: true });
    expect(await scene.hasBlob(foreign)).toBe(true);
    expect(await scene.hasLink('a', 'layer', foreign)).toBe(true);
  });

  it('keeps the bytes of a layer whose link somebody has deleted, as long as a manifest names it', async () => {
    const scene = await openScene();
    const layer = await scene.layer('a', 'layer');
    const image = await scene.image('a', { layers: [layer], tags: ['v1'] });
    const link = { repository: parseRepository('a'), digest: layer };
    await scene.driver.delete(formatPath({ kind: 'layer', ...link }));
    await collectAll(scene, { untagged: true });
    expect([await scene.hasBlob(layer), await scene.hasBlob(image)]).toEqual([true, true]);
  });

  it('collects sha512 as sha256', async () => {
    const scene = await openScene();
    const layer = await scene.layer('a', 'layer', 'sha512');
    const image = await scene.image('a', { layers: [layer], tags: ['v1'], algorithm: 'sha512' });
    const lost = await scene.blob('lost', 'sha512');
    const unused = await scene.layer('a', 'unused', 'sha512');
    const untagged = await scene.image('a', { algorithm: 'sha512' });
    const report = await scene.collectLater({ untagged: true });
    const blobs = digestsOf(report, { action: 'quarantine', object: 'blob' });
    for (const digest of [lost, unused, untagged]) expect(blobs).toContain(digest);
    await collectAll(scene, { untagged: true });
    expect(await scene.hasBlob(layer)).toBe(true);
    expect(await scene.hasLink('a', 'revision', image)).toBe(true);
  });

  it('follows the sha512 links of distribution, which lead to sha256', async () => {
    const scene = await openScene();
    const bytes = Buffer.from('by sha512');
    const stored = await scene.blob('by sha512');
    const named = hashBytes(bytes, 'sha512');
    await scene.link('a', 'layer', named, stored);
    await scene.link('a', 'layer', stored);
    await scene.image('a', { layers: [named], tags: ['v1'] });
    await collectAll(scene, { untagged: true });
    expect(await scene.hasBlob(stored)).toBe(true);
    // Distribution reads the one through the other.
    for (const digest of [named, stored]) expect(await scene.hasLink('a', 'layer', digest)).toBe(true);
  });

  it('leaves uploads, empty repositories and what is beside the layout as they are', async () => {
    const scene = await openScene();
    const repository = parseRepository('a/b');
    const upload = { repository, uploadId: 'u1' };
    await scene.driver.putContent(formatPath({ kind: 'upload-started-at', ...upload }), Buffer.from('2026'));
    const writer = await scene.driver.writer(formatPath({ kind: 'upload-data', ...upload }), { append: false });
    await writer.write(Buffer.from('half'));
    await writer.close();
    await scene.driver.putContent('/scheduler-state.json', Buffer.from('{}'));
    await collectAll(scene, { untagged: true });
    const again = await scene.driver.writer(formatPath({ kind: 'upload-data', ...upload }), { append: true });
    expect(again.size).toBe(4);
    await again.cancel();
    await again.close();
    expect(await scene.has('/scheduler-state.json')).toBe(true);
    expect(await scene.has(formatPath({ kind: 'upload-started-at', ...upload }))).toBe(true);
  });

  it('finds repositories within repositories, and takes no directory between for one', async () => {
    const scene = await openScene();
    const layers = await Promise.all(['a', 'a/b', 'a/b/c/d'].map((name) => scene.layer(name, name)));
    const report = await scene.collectLater();
    expect(digestsOf(report, { object: 'layer-link' })).toEqual(new Set(layers));
    expect(report.seen.repositories).toBe(3);
    expect(report.repositories.map(({ repository }) => repository)).toEqual(['a', 'a/b', 'a/b/c/d']);
  });

  it('collects on an empty storage', async () => {
    const report = await (await openScene()).collect();
    expect([report.items, report.problems, report.seen.repositories]).toEqual([[], [], 0]);
  });
});

describe('a collection that finds damage', () => {
  const damages: readonly (readonly [string, string, (scene: Scene, image: string) => Promise<void>])[] = [
    ['other bytes', 'manifest-damaged', async (scene, path) => scene.driver.putContent(path, Buffer.from('{}'))],
    ['no bytes', 'manifest-missing', async (scene, path) => scene.driver.delete(path)],
  ];

  it.each(damages)('touches nothing of a repository with a manifest of %s', async (_what, kind, damage) => {
    const scene = await openScene();
    const layer = await scene.layer('a', 'layer');
    const image = await scene.image('a', { layers: [layer], tags: ['v1'] });
    const untagged = await scene.image('a');
    const unused = await scene.layer('a', 'unused');
    const lost = await scene.blob('lost');
    await damage(scene, formatPath({ kind: 'blob-data', digest: image }));
    const report = await scene.collectLater({ untagged: true });
    expect(linesOf(report)).toEqual([`quarantine blob ${lost} unlinked`]);
    expect(report.problems).toEqual([expect.objectContaining({ kind, repository: 'a', digest: image })]);
    for (const digest of [layer, unused, untagged]) expect(await scene.hasBlob(digest)).toBe(true);
  });

  it('deletes nothing of such a repository from quarantine either', async () => {
    const scene = await openScene();
    const image = await scene.image('a', { tags: ['v1'] });
    const unused = await scene.layer('a', 'unused');
    const untagged = await scene.image('a');
    await scene.collectLater({ untagged: true });
    expect(await scene.hasLink('a', 'layer', unused)).toBe(false);
    expect(await scene.hasLink('a', 'revision', untagged)).toBe(false);
    const aside = await inQuarantine(scene);
    // Three links and what they lead to.
    expect(aside).toHaveLength(6);
    await scene.driver.putContent(formatPath({ kind: 'blob-data', digest: image }), Buffer.from('{}'));
    await scene.collectLater({ untagged: true });
    await scene.collectLater({ untagged: true });
    expect(await inQuarantine(scene)).toEqual(aside);
  });

  it('touches nothing of a repository with a manifest that it does not understand', async () => {
    const scene = await openScene();
    const unused = await scene.layer('a', 'unused');
    await scene.manifest('a', { schemaVersion: 1, fsLayers: [{ blobSum: unused }] });
    const report = await scene.collectLater({ untagged: true });
    expect(linesOf(report)).toEqual([]);
    expect(report.problems).toEqual([expect.objectContaining({ kind: 'manifest-unknown', repository: 'a' })]);
  });

  it('reports links that lead nowhere, and tags, and leaves them', async () => {
    const scene = await openScene();
    const layer = await scene.layer('a', 'layer');
    await scene.image('a', { layers: [layer], tags: ['v1'] });
    const nowhere = hashBytes(Buffer.from('nowhere'));
    await scene.tag('a', 'dangling', nowhere);
    await scene.driver.delete(formatPath({ kind: 'blob-data', digest: layer }));
    const before = await scene.snapshot();
    const report = await scene.collectLater({ untagged: true });
    expect(report.problems.map(({ kind, digest }) => [kind, digest]).sort()).toEqual(
      [
        ['blob-missing', layer],
        ['tag-dangling', nowhere],
      ].sort(),
    );
    // The history of the tag goes, the tag itself never.
    expect(linesOf(report)).toEqual([`delete tag-history ${nowhere} manifest-gone`]);
    expect(await scene.hasLink('a', 'layer', layer)).toBe(true);
    const left = [...before.keys()].filter((path) => !path.includes('/index/'));
    for (const path of left) expect(await scene.has(path), path).toBe(true);
  });

  it('touches no blob when a directory may hold links that it cannot read', async () => {
    const scene = await openScene();
    const lost = await scene.blob('lost');
    await scene.driver.putContent('/docker/registry/v2/repositories/Team/_layers/sha256/x/link', Buffer.from(lost));
    const report = await scene.collectLater();
    expect([linesOf(report), report.problems.map(({ kind }) => kind)]).toEqual([[], ['foreign-entry']]);
  });

  it('ends with the error of a storage that fails, before any blob is touched', async () => {
    const scene = await openScene();
    const image = await scene.image('a', { tags: ['v1'] });
    await scene.blob('lost');
    const path = formatPath({ kind: 'revision-link', repository: parseRepository('a'), digest: image });
    const before = await scene.snapshot();
    const driver = wrapDriver(scene.driver, {
      getContent: async (asked, context) => {
        if (asked === path) throw new Error('the storage is away');
        return scene.driver.getContent(asked, context);
      },
    });
    scene.aheadMs = 2 * DAY_MS;
    await expect(scene.collect({ driver })).rejects.toThrow('the storage is away');
    expect(await scene.snapshot()).toEqual(before);
  });
});

describe('what manifests leave behind', () => {
  it('goes when the manifest is gone for good: referrer entries and histories of tags', async () => {
    const scene = await openScene();
    const repository = parseRepository('a');
    const subject = await scene.image('a', { tags: ['v1'] });
    const old = await scene.image('a', { subject: hashBytes(Buffer.from('gone')), tags: ['v2'] });
    await scene.tag('a', 'v2', subject);
    const entry = formatPath({
      kind: 'referrer-link',
      repository,
      subject: hashBytes(Buffer.from('gone')),
      digest: old,
    });
    const history = formatPath({ kind: 'tag-index-link', repository, tag: 'v2' as never, digest: old });
    await scene.collectLater({ untagged: true });
    // In quarantine it may come back, and then needs both.
    expect([await scene.has(entry), await scene.has(history)]).toEqual([true, true]);
    await collectAll(scene, { untagged: true });
    expect([await scene.has(entry), await scene.has(history)]).toEqual([false, false]);
  });

  it('is written again for a manifest that is missing among the referrers of its subject', async () => {
    const scene = await openScene();
    const subject = await scene.image('a', { tags: ['v1'] });
    const digest = await scene.image('a', { subject });
    const path = formatPath({ kind: 'referrer-link', repository: parseRepository('a'), subject, digest });
    await scene.driver.delete(path);
    expect(linesOf(await scene.collectLater({ dryRun: true }))).toEqual([`restore referrer ${digest} not-listed`]);
    expect(await scene.has(path)).toBe(false);
    await scene.collectLater();
    expect((await scene.driver.getContent(path)).toString()).toBe(digest);
  });
});

describe('what is in quarantine', () => {
  it('comes back when it is needed again, with everything that it needs', async () => {
    const scene = await openScene();
    const layer = await scene.layer('a', 'layer');
    const image = await scene.image('a', { layers: [layer] });
    await scene.image('a', { tags: ['other'] });
    await scene.collectLater({ untagged: true });
    expect(await scene.hasBlob(layer)).toBe(false);
    await scene.tag('a', 'again', image);
    const report = await scene.collectLater({ untagged: true });
    expect(digestsOf(report, { action: 'restore', object: 'manifest' })).toEqual(new Set([image]));
    expect(digestsOf(report, { action: 'restore', object: 'layer-link' })).toContain(layer);
    expect(digestsOf(report, { action: 'delete', object: 'blob' })).toEqual(new Set());
    for (const digest of [layer, image]) expect(await scene.hasBlob(digest)).toBe(true);
    expect(await scene.hasLink('a', 'revision', image)).toBe(true);
    await collectAll(scene, { untagged: true });
    expect(await scene.hasBlob(layer)).toBe(true);
  });

  it('comes back for a repository that is not there any more', async () => {
    const scene = await openScene();
    const layer = await scene.layer('a', 'layer');
    await scene.collectLater();
    expect((await inQuarantine(scene)).length).toBe(2);
    const report = await scene.collectLater();
    expect(linesOf(report)).toEqual([`delete blob ${layer} expired`, `delete layer-link ${layer} expired`]);
    expect(await inQuarantine(scene)).toEqual([]);
  });

  it('goes with its metainfo, and without it when the bytes have come anew', async () => {
    const scene = await openScene();
    const gone = await scene.blob('gone');
    const anew = await scene.blob('anew');
    for (const digest of [gone, anew]) {
      await scene.driver.putContent(formatPath({ kind: 'blob-metainfo', digest }), Buffer.from('pieces'));
    }
    await scene.collectLater();
    await scene.layer('a', 'anew');
    await scene.image('a', { layers: [anew], tags: ['v1'] });
    const report = await scene.collectLater();
    expect(linesOf(report)).toEqual([`delete blob ${gone} expired`, `delete blob ${anew} superfluous`].sort());
    expect(await scene.has(formatPath({ kind: 'blob-metainfo', digest: gone }))).toBe(false);
    expect(await scene.has(formatPath({ kind: 'blob-metainfo', digest: anew }))).toBe(true);
    expect(await scene.hasBlob(anew)).toBe(true);
  });

  it('outlasts a manifest that may come back and needs it', async () => {
    const scene = await openScene();
    const layer = await scene.layer('a', 'layer');
    const image = await scene.image('a', { layers: [layer] });
    await scene.collectLater({ untagged: true });
    // The manifest alone is asked for, and so comes back without its layer.
    const names = await inQuarantine(scene);
    const entry = names.find((path) => path.includes('/revision-'))!;
    await scene.driver.move(
      entry,
      formatPath({ kind: 'revision-link', repository: parseRepository('a'), digest: image }),
    );
    await scene.driver.move(
      names.find((path) => path.includes(`/blobs/sha256/${image.slice(7, 9)}/${image.slice(7)}/`))!,
      formatPath({ kind: 'blob-data', digest: image }),
    );
    scene.aheadMs += DAY_MS;
    const report = await scene.collectLater({ untagged: true });
    expect(digestsOf(report, { action: 'quarantine', object: 'manifest' })).toEqual(new Set([image]));
    // The layer has been there long enough, but whoever brings the manifest back needs it.
    expect(digestsOf(report, { action: 'delete' })).not.toContain(layer);
    await collectAll(scene, { untagged: true });
    expect(await inQuarantine(scene)).toEqual([]);
  });
});

describe('a dry run', () => {
  it('writes nothing at all, and tells what a run would do', async () => {
    const scene = await openScene();
    const layer = await scene.layer('a', 'layer');
    await scene.image('a', { layers: [layer], tags: ['v1'] });
    await scene.image('a', { subject: hashBytes(Buffer.from('gone')) });
    await scene.layer('b', 'unused');
    await scene.blob('lost');
    for (let run = 0; run < 4; run += 1) {
      scene.aheadMs += DAY_MS + 1;
      const before = await scene.snapshot();
      const refuse = async () => {
        throw new Error('a dry run wrote');
      };
      const driver = wrapDriver(scene.driver, { putContent: refuse, move: refuse, delete: refuse, writer: refuse });
      const dry = await scene.collect({ driver, dryRun: true, untagged: true });
      expect(await scene.snapshot()).toEqual(before);
      const wet = await scene.collect({ untagged: true });
      expect(linesOf(dry)).toEqual(linesOf(wet));
      expect(dry.totals).toEqual(wet.totals);
    }
  });
});

describe('the report', () => {
  it('is bounded, counts everything all the same, and tells each item on the way', async () => {
    const scene = await openScene();
    for (let number = 0; number < 10; number += 1) await scene.blob(`lost ${number}`);
    const items: string[] = [];
    const report = await scene.collectLater({ reportLimit: 3, onItem: ({ digest }) => items.push(digest) });
    expect([report.items.length, report.itemsLeftOut, report.totals.quarantine.objects]).toEqual([3, 7, 10]);
    expect(items).toHaveLength(10);
  });
});

describe('how a collection runs', () => {
  it('keeps to the operations a second, and to the operations at once', async () => {
    const scene = await openScene();
    for (let number = 0; number < 20; number += 1) await scene.blob(`lost ${number}`);
    let running = 0;
    let most = 0;
    const driver = wrapDriver(scene.driver, {
      stat: async (path, context) => {
        running += 1;
        most = Math.max(most, running);
        await new Promise((resolve) => setImmediate(resolve));
        running -= 1;
        return scene.driver.stat(path, context);
      },
    });
    const started = performance.now();
    const report = await scene.collect({ driver, graceMs: 0, concurrency: 3, maxOperationsPerSecond: 400 });
    expect((performance.now() - started) / 1000).toBeGreaterThan((report.operations - 1) / 400 - 0.01);
    expect(most).toBeLessThanOrEqual(3);
  });

  it('ends with the reason of the signal, and tells how far it is', async () => {
    const scene = await openScene();
    for (let number = 0; number < 20; number += 1) await scene.layer('a', `layer ${number}`);
    const controller = new AbortController();
    const reason = new Error('enough');
    const progress: number[] = [];
    const call = scene.collectLater({
      signal: controller.signal,
      onProgress: ({ operations }) => {
        progress.push(operations);
        if (operations > 30) controller.abort(reason);
      },
    });
    await expect(call).rejects.toBe(reason);
    expect(progress.length).toBeGreaterThan(1);
  });

  it('refuses a driver that knows only the layout of a registry', async () => {
    const scene = await openScene();
    const driver = wrapDriver(scene.driver, { capabilities: { ...scene.driver.capabilities, anyPath: false } });
    await expect(scene.collect({ driver })).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  });

  it('refuses a driver that only reads, but for a dry run', async () => {
    const scene = await openScene();
    const driver = wrapDriver(scene.driver, { capabilities: { ...scene.driver.capabilities, write: false } });
    await expect(scene.collect({ driver })).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
    expect((await scene.collect({ driver, dryRun: true })).items).toEqual([]);
  });
});
