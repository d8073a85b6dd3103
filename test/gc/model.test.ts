import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Digest, hashBytes, mediaTypes } from '../../src/core/index.ts';
import { findPath, findQuarantinePath } from '../../src/pathparser/index.ts';
import { descriptorOf, type TestClient } from '../registry/client.ts';
import { memoryDriver, serveRegistry } from '../registry/running-registry.ts';
import { DAY_MS, HOUR_MS, Scene } from './scene.ts';

const NAMES = ['a', 'a/b'] as const;
type Name = (typeof NAMES)[number];

/** What somebody does; numbers choose among what is there at that moment. */
type Step =
  | { readonly kind: 'image'; readonly name: Name; readonly layers: readonly number[]; readonly tag?: number }
  | { readonly kind: 'referrer'; readonly name: Name; readonly of: number }
  | { readonly kind: 'index'; readonly name: Name; readonly of: readonly number[]; readonly tag?: number }
  | { readonly kind: 'tag'; readonly name: Name; readonly of: number; readonly tag: number }
  | { readonly kind: 'untag' | 'delete' | 'read'; readonly name: Name; readonly of: number }
  | { readonly kind: 'upload'; readonly name: Name; readonly layer: number }
  | { readonly kind: 'collect'; readonly hours: number };

interface Known {
  readonly bytes: Buffer;
  readonly blobs: readonly Buffer[];
  readonly children: readonly Digest[];
  readonly subject: Digest | undefined;
}

const anyName = fc.constantFrom(...NAMES);
const few = fc.array(fc.nat(5), { maxLength: 3 });
const maybeTag = { tag: fc.option(fc.nat(2), { nil: undefined }) };
const anyStep: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('image'), name: anyName, layers: few, ...maybeTag }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('referrer'), name: anyName, of: fc.nat(20) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('index'), name: anyName, of: few, ...maybeTag }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('tag'), name: anyName, of: fc.nat(20), tag: fc.nat(2) }) },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constantFrom('untag', 'delete', 'read'), name: anyName, of: fc.nat(20) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('upload'), name: anyName, layer: fc.nat(5) }) },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('collect'), hours: fc.constantFrom(0, 13, 26) }) },
) as fc.Arbitrary<Step>;

/** What a registry of sets would hold: the least that has to be there, and in the end all that may. */
class Model {
  readonly manifests = new Map<Name, Map<Digest, Known>>(NAMES.map((name) => [name, new Map()]));
  readonly tags = new Map<Name, Map<string, Digest>>(NAMES.map((name) => [name, new Map()]));
  readonly untagged: boolean;

  constructor(untagged: boolean) {
    this.untagged = untagged;
  }

  /** What has to stay of a repository. */
  kept(name: Name): Map<Digest, Known> {
    const all = this.manifests.get(name)!;
    if (!this.untagged) return all;
    const kept = new Map<Digest, Known>();
    const waiting = [...this.tags.get(name)!.values()];
    for (let digest = waiting.pop(); digest !== undefined; digest = waiting.pop()) {
      const known = all.get(digest);
      if (known === undefined || kept.has(digest)) continue;
      kept.set(digest, known);
      waiting.push(...known.children);
      for (const [other, { subject }] of all) if (subject === digest) waiting.push(other);
    }
    return kept;
  }
}

function layerBytes(number: number): Buffer {
  return Buffer.from(`layer ${number}`);
}

async function pushBlob(client: TestClient, name: Name, bytes: Buffer): Promise<void> {
  const digest = hashBytes(bytes);
  // As clients do: what is there is not sent again.
  if ((await client.call('HEAD', `/v2/${name}/blobs/${digest}`)).status !== 200) await client.putBlob(name, bytes);
}

async function pushManifest(
  client: TestClient,
  model: Model,
  name: Name,
  document: object,
  known: Omit<Known, 'bytes'> & { readonly tag?: number | undefined },
): Promise<void> {
  for (const blob of known.blobs) await pushBlob(client, name, blob);
  const bytes = Buffer.from(JSON.stringify(document));
  const digest = hashBytes(bytes);
  const tag = known.tag === undefined ? undefined : `t${known.tag}`;
  const answer = await client.putManifest(name, tag ?? digest, document);
  expect(answer.status, answer.body.toString()).toBe(201);
  model.manifests.get(name)!.set(digest, { ...known, bytes });
  if (tag !== undefined) model.tags.get(name)!.set(tag, digest);
}

function imageOf(blobs: readonly Buffer[], subject?: Digest): object {
  const [config, ...layers] = blobs as readonly [Buffer, ...Buffer[]];
  return {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: descriptorOf(mediaTypes.ociConfig, config),
    layers: layers.map((layer) => descriptorOf(mediaTypes.ociLayerTar, layer)),
    ...(subject === undefined ? {} : { subject: { mediaType: mediaTypes.ociManifest, digest: subject, size: 1 } }),
  };
}

/** The n-th of the manifests that are certain to be there. */
function pick(model: Model, name: Name, number: number): readonly [Digest, Known] | undefined {
  const all = [...model.kept(name)];
  return all[number % Math.max(1, all.length)];
}

async function take(step: Exclude<Step, { kind: 'collect' }>, client: TestClient, model: Model, count: number) {
  const { name } = step;
  switch (step.kind) {
    case 'image': {
      const blobs = [Buffer.from(`{"n":${count}}`), ...[...new Set(step.layers)].map(layerBytes)];
      return pushManifest(client, model, name, imageOf(blobs), {
        blobs,
        children: [],
        subject: undefined,
        tag: step.tag,
      });
    }
    case 'referrer': {
      const subject = pick(model, name, step.of)?.[0];
      if (subject === undefined) return undefined;
      const blobs = [Buffer.from(`{"r":${count}}`)];
      return pushManifest(client, model, name, imageOf(blobs, subject), { blobs, children: [], subject });
    }
    case 'index': {
      // Also those that no tag leads to any more: a client asks first, and what is there may be named.
      const all = [...model.manifests.get(name)!.keys()];
      const asked = [...new Set(step.of.map((number) => all[number % Math.max(1, all.length)]))];
      const children: Digest[] = [];
      for (const digest of asked) {
        if (digest === undefined) continue;
        if ((await client.call('HEAD', `/v2/${name}/manifests/${digest}`)).status === 200) children.push(digest);
      }
      const manifests = children.map((digest) => ({ mediaType: mediaTypes.ociManifest, digest, size: 1 }));
      const document = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests, annotations: { n: `${count}` } };
      return pushManifest(client, model, name, document, { blobs: [], children, subject: undefined, tag: step.tag });
    }
    case 'tag': {
      const [, known] = pick(model, name, step.of) ?? [];
      if (known === undefined) return undefined;
      return pushManifest(client, model, name, JSON.parse(known.bytes.toString()) as object, {
        ...known,
        tag: step.tag,
      });
    }
    case 'untag': {
      const tags = model.tags.get(name)!;
      const tag = [...tags.keys()][step.of % Math.max(1, tags.size)];
      if (tag === undefined) return undefined;
      expect((await client.call('DELETE', `/v2/${name}/manifests/${tag}`)).status).toBe(202);
      tags.delete(tag);
      return undefined;
    }
    case 'delete': {
      const [digest] = pick(model, name, step.of) ?? [];
      if (digest === undefined) return undefined;
      // A child that is taken away makes its index useless; that is the wish of whoever does it, and nothing to test here.
      if ([...model.manifests.get(name)!.values()].some(({ children }) => children.includes(digest))) return undefined;
      expect((await client.call('DELETE', `/v2/${name}/manifests/${digest}`)).status).toBe(202);
      model.manifests.get(name)!.delete(digest);
      const tags = model.tags.get(name)!;
      for (const [tag, to] of [...tags]) if (to === digest) tags.delete(tag);
      return undefined;
    }
    case 'read': {
      const all = [...model.manifests.get(name)!.keys()];
      const digest = all[step.of % Math.max(1, all.length)];
      if (digest !== undefined) await client.call('GET', `/v2/${name}/manifests/${digest}`);
      return undefined;
    }
    case 'upload':
      return pushBlob(client, name, layerBytes(step.layer));
  }
}

async function expectAll(client: TestClient, model: Model): Promise<void> {
  for (const name of NAMES) {
    for (const [tag, digest] of model.tags.get(name)!) {
      const answer = await client.call('HEAD', `/v2/${name}/manifests/${tag}`);
      expect([tag, answer.headers.get('docker-content-digest')]).toEqual([tag, digest]);
    }
    for (const [digest, { bytes, blobs }] of model.kept(name)) {
      const answer = await client.call('GET', `/v2/${name}/manifests/${digest}`);
      expect([answer.status, answer.body.equals(bytes)], `${name} ${digest}`).toEqual([200, true]);
      for (const blob of blobs) {
        const got = await client.call('GET', `/v2/${name}/blobs/${hashBytes(blob)}`);
        expect([got.status, got.body.equals(blob)], `${name} ${digest}`).toEqual([200, true]);
      }
    }
  }
}

/** SHOAL_GC_SEQUENCES=500 tries more of them. */
describe('any sequence of pushes, deletions, reads and collections', { timeout: 600_000 }, () => {
  it.each([true, false])('keeps all that has to stay, and in the end nothing else (untagged: %s)', async (untagged) => {
    const inner = await memoryDriver();
    const registry = await serveRegistry(inner);
    await fc.assert(
      fc.asyncProperty(fc.array(anyStep, { minLength: 4, maxLength: 25 }), async (steps) => {
        for await (const path of inner.list('/')) await inner.delete(path);
        const scene = new Scene(inner);
        const model = new Model(untagged);
        for (const [count, step] of steps.entries()) {
          if (step.kind === 'collect') {
            scene.aheadMs += step.hours * HOUR_MS;
            const report = await scene.collect({ untagged, graceMs: -1, quarantineMs: DAY_MS });
            expect(report.problems).toEqual([]);
          } else await take(step, registry.client, model, count);
          await expectAll(registry.client, model);
        }
        for (let run = 0; run < 4; run += 1) await scene.collectLater({ untagged, graceMs: -1 });
        await expectExactly(scene, model);
      }),
      { numRuns: Number(process.env['SHOAL_GC_SEQUENCES'] ?? '12') },
    );
  });
});

async function expectExactly(scene: Scene, model: Model): Promise<void> {
  const blobs = new Set<Digest>();
  const links = new Set<string>();
  for (const name of NAMES) {
    for (const [digest, known] of model.kept(name)) {
      blobs.add(digest);
      links.add(`revision-link ${name} ${digest}`);
      for (const blob of known.blobs) {
        blobs.add(hashBytes(blob));
        links.add(`layer-link ${name} ${hashBytes(blob)}`);
      }
    }
  }
  const foundBlobs = new Set<Digest>();
  const foundLinks = new Set<string>();
  for (const text of (await scene.snapshot()).keys()) {
    expect(findQuarantinePath(text), text).toBeUndefined();
    const path = findPath(text);
    if (path?.kind === 'blob-data') foundBlobs.add(path.digest);
    if (path?.kind === 'layer-link' || path?.kind === 'revision-link') {
      foundLinks.add(`${path.kind} ${path.repository} ${path.digest}`);
    }
  }
  expect(foundLinks).toEqual(links);
  expect(foundBlobs).toEqual(blobs);
}
