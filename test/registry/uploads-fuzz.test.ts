import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type Digest, hashBytes } from '../../src/core/index.ts';
import type { StorageDriver } from '../../src/driver/index.ts';
import { makeTempDir } from '../helpers/temp-dir.ts';
import { bytesOf } from './client.ts';
import { expectWellFormed } from './fuzz-oracle.ts';
import { fuzzDigests, fuzzHeaders, rawRequest } from './fuzz-requests.ts';
import { type RawAnswer, RawConnection } from './raw-connection.ts';
import { folderDriver, memoryDriver } from './running-registry.ts';
import { startServedRegistry } from './served-registry.ts';

const RUNS_IN_MEMORY = 1_000;
/** Each of its requests waits for the disk. */
const RUNS_ON_DISK = 40;

/** Longer than what an upload may have by chance: a single byte is sooner or later the whole of another one. */
const NEVER_SENT = Buffer.from('bytes that are in no upload');

/** What a client does with an upload that it has begun; numbers are taken modulo what is possible. */
type Step =
  | { readonly kind: 'append'; readonly length: number }
  | { readonly kind: 'chunk'; readonly shift: number; readonly length: number; readonly says: number }
  | { readonly kind: 'odd'; readonly headers: readonly (readonly [string, string])[]; readonly length: number }
  | { readonly kind: 'finish badly'; readonly digest: string }
  | { readonly kind: 'ask' };

const length = fc.oneof(fc.nat(300), fc.constantFrom(0, 1));
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant('append' as const), length }),
  fc.record({
    kind: fc.constant('chunk' as const),
    shift: fc.oneof({ weight: 2, arbitrary: fc.constant(0) }, fc.integer({ min: -5, max: 5 })),
    length,
    says: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.integer({ min: -3, max: 3 })),
  }),
  fc.record({ kind: fc.constant('odd' as const), headers: fuzzHeaders, length }),
  fc.record({ kind: fc.constant('finish badly' as const), digest: fuzzDigests }),
  fc.constant({ kind: 'ask' as const }),
);
const ending = fc.constantFrom('finish', 'cancel', 'wrong digest');

describe('an upload to which anything is done', () => {
  it('says truly where it stands, and ends well', { timeout: 120_000 }, async () => {
    const driver = await memoryDriver();
    await doAnything(driver, RUNS_IN_MEMORY);
    const left: string[] = [];
    for await (const { path, isDirectory } of driver.walk('/')) {
      if (!isDirectory && path.includes('/_uploads/')) left.push(path);
    }
    expect(left).toEqual([]);
  });

  it('leaves no file and no connection behind', { timeout: 120_000 }, async () => {
    const folder = await makeTempDir();
    await doAnything(await folderDriver(folder), RUNS_ON_DISK);
    expect((await readdir(folder, { recursive: true })).filter((path) => /_uploads\/./.test(path))).toEqual([]);
  });
});

/** Runs that many uploads over one connection; as many files and sockets are open after it as before. */
async function doAnything(driver: StorageDriver, runs: number): Promise<void> {
  const registry = await startServedRegistry(driver);
  onTestFinished(() => registry.close());
  const connection = await RawConnection.open(registry.port);
  onTestFinished(() => connection.destroy());
  const send: Send = async (method, path, headers, body) => {
    connection.write(rawRequest({ method, path, headers, body }));
    const answer = (await connection.answer(method))!;
    expectWellFormed(method, answer);
    return answer;
  };
  await send('GET', '/v2/', []);
  const filesBefore = await openFiles();
  let seed = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 8 }), ending, async (steps, end) => {
      const upload = new ModelUpload(send, bytesOf(`upload ${seed++}`, 4096));
      await upload.begin();
      for (const one of steps) await upload.take(one);
      await upload.end(end);
    }),
    { numRuns: runs },
  );
  expect(await openFiles()).toBe(filesBefore);
  expect(registry.sockets.size).toBe(1);
  connection.destroy();
  await expect.poll(() => registry.sockets.size).toBe(0);
}

type Send = (
  method: string,
  path: string,
  headers: readonly (readonly [string, string])[],
  body?: Buffer,
) => Promise<RawAnswer>;

/** An upload with what it has to hold. */
class ModelUpload {
  readonly #send: Send;
  readonly #source: Buffer;
  #location = '';
  #held = Buffer.alloc(0);

  constructor(send: Send, source: Buffer) {
    this.#send = send;
    this.#source = source;
  }

  async begin(): Promise<void> {
    const begun = await this.#send('POST', '/v2/fuzz/blobs/uploads/', []);
    expect(begun.status).toBe(202);
    this.#location = begun.headers.get('location')!;
  }

  async take(step: Step): Promise<void> {
    if (step.kind === 'append') await this.#append(step.length);
    else if (step.kind === 'chunk') await this.#chunk(step);
    else if (step.kind === 'odd') await this.#odd(step.headers, step.length);
    else if (step.kind === 'finish badly') await this.#finishBadly(step.digest);
    await this.#ask();
  }

  async end(how: string): Promise<void> {
    const digest = hashBytes(how === 'finish' ? this.#held : Buffer.concat([this.#held, NEVER_SENT]));
    if (how === 'cancel') expect((await this.#send('DELETE', this.#location, [])).status).toBe(204);
    else expect((await this.#put(digest)).status).toBe(how === 'finish' ? 201 : 400);
    expect((await this.#send('GET', this.#location, [])).status).toBe(404);
    const got = await this.#send('GET', `/v2/fuzz/blobs/${digest}`, []);
    if (how === 'finish') expect(got.body.equals(this.#held)).toBe(true);
    else expect(got.status).toBe(404);
  }

  async #append(length: number): Promise<void> {
    const bytes = this.#next(length);
    expect((await this.#send('PATCH', this.#location, [], bytes)).status).toBe(202);
    this.#hold(bytes);
  }

  async #chunk({ shift, length, says }: Extract<Step, { kind: 'chunk' }>): Promise<void> {
    const bytes = this.#next(length);
    const first = Math.max(0, this.#held.length + shift);
    const last = first + bytes.length + says - 1;
    const sent = await this.#send('PATCH', this.#location, [['Content-Range', `${first}-${last}`]], bytes);
    if (last < first || says !== 0) expect(sent.status).toBe(400);
    else if (first !== this.#held.length) expect(sent.status).toBe(416);
    else {
      expect(sent.status).toBe(202);
      this.#hold(bytes);
    }
  }

  /** Whatever the headers make of it: the bytes are taken as they are, or not at all. */
  async #odd(headers: readonly (readonly [string, string])[], length: number): Promise<void> {
    const bytes = this.#next(length);
    const { status } = await this.#send('PATCH', this.#location, headers, bytes);
    expect([202, 400, 415, 416]).toContain(status);
    if (status === 202) this.#hold(bytes);
  }

  /** A digest that is one would end the upload, which is for the end. */
  async #finishBadly(digest: string): Promise<void> {
    if (/^sha(256|512)(:|%3A)/i.test(digest)) return;
    expect((await this.#put(encodeURIComponent(digest))).status).toBe(400);
  }

  async #ask(): Promise<void> {
    const { status, headers } = await this.#send('GET', this.#location, []);
    expect([status, headers.get('range')]).toEqual([204, `0-${Math.max(0, this.#held.length - 1)}`]);
  }

  #put(digest: Digest | string): Promise<RawAnswer> {
    return this.#send('PUT', `${this.#location}?digest=${digest}`, []);
  }

  #next(length: number): Buffer {
    return this.#source.subarray(this.#held.length, this.#held.length + length);
  }

  #hold(bytes: Buffer): void {
    this.#held = Buffer.concat([this.#held, bytes]);
  }
}

/** How many files this process has open, sockets and all. */
async function openFiles(): Promise<number> {
  return (await readdir(join('/proc', 'self', 'fd'))).length;
}
