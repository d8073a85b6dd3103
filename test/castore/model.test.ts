import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type CaStore, openCaStore } from '../../src/castore/index.ts';
import { type Digest, DigestMismatchError, NoSpaceError, parseDigest } from '../../src/core/index.ts';
import { collect, TestClock } from './fixtures.ts';
import { MemoryDisk } from './memory-disk.ts';
import { PIECE, pieceOf, type Sample, sampleOf } from './samples.ts';

const CAPACITY_BYTES = 6 * PIECE;

/** Of different lengths, one of them empty, one with a sha512; the largest fits only alone. */
const samples: readonly Sample[] = [
  sampleOf(0, 'm0'),
  sampleOf(PIECE, 'm1'),
  sampleOf(PIECE + 1, 'm2', 'sha512'),
  sampleOf(2 * PIECE, 'm3'),
  sampleOf(3 * PIECE, 'm4'),
  sampleOf(6 * PIECE, 'm5'),
];

/** What the store has to be like: blobs in the order of their use, oldest first. */
class Model {
  readonly blobs = new Map<Digest, { sizeBytes: number; pins: Set<string> }>();
  readonly uploads = new Map<string, Sample | undefined>();
  readonly downloads = new Map<Digest, { sizeBytes: number; pieces: Set<number> }>();
  /** Blobs, and downloads (as `download <digest>`), which nobody has open here and which are evicted in their turn. */
  order: string[] = [];

  get blobBytes(): number {
    return sum([...this.blobs.values()].map(({ sizeBytes }) => sizeBytes));
  }

  get unfinishedBytes(): number {
    const uploaded = sum([...this.uploads.values()].map((sample) => sample?.bytes.length ?? 0));
    return uploaded + sum([...this.downloads.values()].map(({ sizeBytes }) => sizeBytes));
  }

  /** Makes room; `false` when it cannot. */
  take(bytes: number): boolean {
    const excess = () => this.blobBytes + this.unfinishedBytes + bytes - CAPACITY_BYTES;
    const evictable = this.order.filter((key) => this.#evictable(key));
    if (excess() > 0 && excess() > sum(evictable.map((key) => this.#sizeOf(key)))) return false;
    for (const key of evictable) {
      if (excess() <= 0) break;
      this.forget(key);
    }
    return true;
  }

  use(key: string): void {
    if (this.order.includes(key)) this.order = [...this.order.filter((other) => other !== key), key];
  }

  addBlob(digest: Digest, sizeBytes: number, pin: string | null): void {
    const blob = this.blobs.get(digest) ?? { sizeBytes, pins: new Set() };
    if (pin !== null) blob.pins.add(pin);
    this.blobs.set(digest, blob);
    this.#order(digest);
  }

  addDownload(digest: Digest, sizeBytes: number): void {
    this.downloads.set(digest, { sizeBytes, pieces: new Set() });
    this.#order(`download ${digest}`);
  }

  forget(key: string): void {
    this.order = this.order.filter((other) => other !== key);
    if (key.startsWith('download ')) this.downloads.delete(digestIn(key));
    else this.blobs.delete(digestIn(key));
  }

  #order(key: string): void {
    if (!this.order.includes(key)) this.order.push(key);
    this.use(key);
  }

  #evictable(key: string): boolean {
    return key.startsWith('download ') || this.blobs.get(digestIn(key))?.pins.size === 0;
  }

  #sizeOf(key: string): number {
    const things = key.startsWith('download ') ? this.downloads : this.blobs;
    return things.get(digestIn(key))?.sizeBytes ?? 0;
  }
}

function digestIn(key: string): Digest {
  return parseDigest(key.replace('download ', ''));
}

interface World {
  readonly disk: MemoryDisk;
  readonly clock: TestClock;
  readonly model: Model;
  store: CaStore;
}

const anySample = fc.constantFrom(...samples);
const anyId = fc.constantFrom('u1', 'u2');
const anyReason = fc.constantFrom('write-back', 'held');

type Step = (world: World) => Promise<void>;

/** A step does one thing to the store and to the model, and checks what the store answered. */
const anyStep: fc.Arbitrary<Step> = fc.oneof(
  fc.tuple(anySample, fc.option(anyReason)).map(([sample, pin]) => put(sample, pin)),
  fc.tuple(anyId, anySample).map(([id, sample]) => uploadStep(id, sample)),
  fc.tuple(anyId, anySample, fc.option(anyReason)).map(([id, sample, pin]) => commit(id, sample, pin)),
  anySample.map(readBlob),
  anySample.map(deleteBlob),
  fc.tuple(anySample, anyReason).map(([sample, reason]) => pinStep(sample, reason)),
  fc.tuple(anySample, anyReason).map(([sample, reason]) => unpin(sample, reason)),
  fc.tuple(anySample, fc.array(fc.nat(6), { maxLength: 6 })).map(([sample, pieces]) => download(sample, pieces)),
  fc.constant(restart),
);

function put({ digest, bytes }: Sample, pin: string | null): Step {
  return async ({ store, model }) => {
    const answer = store.blobs.put(digest, bytes, pin === null ? {} : { pin });
    if (!model.take(bytes.length)) return expect(answer).rejects.toThrow(NoSpaceError);
    await answer;
    model.addBlob(digest, bytes.length, pin);
  };
}

function uploadStep(id: string, sample: Sample): Step {
  return async ({ store, model }) => {
    model.uploads.set(id, undefined);
    await using writer = await store.uploads.create(id);
    const answer = writer.write(sample.bytes);
    if (!model.take(sample.bytes.length)) return expect(answer).rejects.toThrow(NoSpaceError);
    await answer;
    model.uploads.set(id, sample);
  };
}

function commit(id: string, { digest }: Sample, pin: string | null): Step {
  return async ({ store, model }) => {
    const answer = store.uploads.commit(id, digest, pin === null ? {} : { pin });
    const uploaded = model.uploads.get(id) ?? samples[0]!;
    if (!model.uploads.has(id)) return expect(answer).rejects.toMatchObject({ code: 'UPLOAD_NOT_FOUND' });
    model.uploads.delete(id);
    if (uploaded.digest !== digest) return expect(answer).rejects.toThrow(DigestMismatchError);
    await answer;
    model.addBlob(digest, uploaded.bytes.length, pin);
  };
}

function readBlob({ digest, bytes }: Sample): Step {
  return async ({ store, model }) => {
    const answer = store.blobs.openFile(digest);
    if (!model.blobs.has(digest)) return expect(answer).rejects.toMatchObject({ code: 'BLOB_NOT_FOUND' });
    await using file = await answer;
    expect(bytes.equals(await file.read(0, bytes.length))).toBe(true);
    model.use(digest);
  };
}

function deleteBlob({ digest }: Sample): Step {
  return async ({ store, model }) => {
    await store.blobs.delete(digest);
    if (model.blobs.has(digest)) model.forget(digest);
  };
}

function pinStep({ digest }: Sample, reason: string): Step {
  return async ({ store, model }) => {
    const answer = store.blobs.pin(digest, reason);
    if (!model.blobs.has(digest)) return expect(answer).rejects.toMatchObject({ code: 'BLOB_NOT_FOUND' });
    await answer;
    model.blobs.get(digest)?.pins.add(reason);
  };
}

function unpin({ digest }: Sample, reason: string): Step {
  return async ({ store, model }) => {
    await store.blobs.unpin(digest, reason);
    model.blobs.get(digest)?.pins.delete(reason);
  };
}

/** Opens a download of a blob that is not there, brings some pieces, and commits it when it is whole, else closes it. */
function download({ digest, bytes, metainfo }: Sample, pieces: readonly number[]): Step {
  return async ({ store, model }) => {
    if (model.blobs.has(digest)) return;
    const answer = store.downloads.open(metainfo);
    if (!model.downloads.has(digest)) {
      if (!model.take(bytes.length)) return expect(answer).rejects.toThrow(NoSpaceError);
      model.addDownload(digest, bytes.length);
    }
    await using partial = await answer;
    model.use(`download ${digest}`);
    const there = model.downloads.get(digest)!.pieces;
    const count = metainfo.sha256.length / 32;
    for (let index = 0; index < count; index += 1) expect(partial.has(index)).toBe(there.has(index));
    for (const index of pieces.filter((piece) => piece < count)) {
      expect(await partial.writePiece(index, pieceOf(bytes, index))).toBe(true);
      there.add(index);
    }
    if (there.size === 0) model.forget(`download ${digest}`);
    if (there.size < count) return;
    await partial.commit();
    model.forget(`download ${digest}`);
    model.addBlob(digest, bytes.length, null);
  };
}

async function restart(world: World): Promise<void> {
  await world.store.close();
  world.store = await openOn(world);
  // What has become a blob in another way is no download any more.
  for (const digest of world.model.blobs.keys()) world.model.forget(`download ${digest}`);
}

function openOn({ disk, clock }: Pick<World, 'disk' | 'clock'>): Promise<CaStore> {
  return openCaStore({ directory: '/store', capacityBytes: CAPACITY_BYTES, files: disk, clock });
}

async function checkSame({ store, model }: World): Promise<void> {
  const { blobBytes, unfinishedBytes } = model;
  expect(store.usage()).toEqual({ blobBytes, unfinishedBytes, capacityBytes: CAPACITY_BYTES });
  const digests = (await collect(store.blobs.list())).map(({ digest }) => digest);
  expect(digests.sort()).toEqual([...model.blobs.keys()].sort());
  for (const [digest, { pins }] of model.blobs) expect(await store.blobs.pins(digest)).toEqual([...pins].sort());
  const uploads = (await collect(store.uploads.list())).map(({ id }) => id);
  expect(uploads.sort()).toEqual([...model.uploads.keys()].sort());
  expect((await collect(store.downloads.list())).sort()).toEqual([...model.downloads.keys()].sort());
}

describe('a store in any sequence of operations', () => {
  it('does what the model does', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(anyStep, { maxLength: 40, size: 'max' }), async (steps) => {
        const parts = { disk: new MemoryDisk(), clock: new TestClock(), model: new Model() };
        const world: World = { ...parts, store: await openOn(parts) };
        for (const step of steps) {
          // Each use at a moment of its own, so that a restart knows the order.
          world.clock.advance(1);
          await step(world);
          await checkSame(world);
        }
        await restart(world);
        await checkSame(world);
        await world.store.close();
      }),
      { numRuns: 150 },
    );
  }, 60_000);
});

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, next) => total + next, 0);
}
