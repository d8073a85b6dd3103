import { PassThrough } from 'node:stream';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { writeBody } from '../../src/registry/body-intake.ts';
import { bytesOf } from './client.ts';

const PART = 256 * 1024;
const IDLE_MS = 10_000;
const turn = () => new Promise((resolve) => setImmediate(resolve));

/** Keeps copies of what it is given, because the memory is used again, and takes its time when `gate` says so. */
function sinkOf(gate: () => Promise<unknown> = turn) {
  const parts: Buffer[] = [];
  const write = async (bytes: Buffer) => {
    parts.push(Buffer.from(bytes));
    await gate();
    expect(parts.at(-1)!.equals(bytes)).toBe(true);
  };
  return { parts, sink: { onChunk: () => undefined, write }, bytes: () => Buffer.concat(parts) };
}

describe('writeBody', () => {
  it('writes all bytes in order, in parts of 256 KiB, however they come', async () => {
    const all = bytesOf('body', 30 * 200_000);
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 200_000 }), { maxLength: 30 }),
        fc.boolean(),
        async (lengths, isSlow) => {
          const body = new PassThrough({ highWaterMark: 1 });
          const { parts, sink, bytes } = sinkOf(isSlow ? () => turn().then(turn) : () => Promise.resolve());
          const done = writeBody(body, IDLE_MS, sink);
          let offset = 0;
          for (const length of lengths) {
            body.write(all.subarray(offset, offset + length));
            offset += length;
          }
          body.end();
          await done;
          expect(bytes().equals(all.subarray(0, offset))).toBe(true);
          for (const { length } of parts) expect(length).toBeLessThanOrEqual(PART);
        },
      ),
      { numRuns: 100 },
    );
  });

  it('writes what came when nothing more comes for now', async () => {
    const body = new PassThrough();
    const { sink, bytes } = sinkOf();
    const done = writeBody(body, IDLE_MS, sink);
    for (const text of ['one', 'two', 'three']) {
      const before = bytes().toString();
      body.write(text);
      await expect.poll(() => bytes().toString()).toBe(before + text);
    }
    body.end();
    await done;
  });

  it('holds the body back while two parts wait, and goes on after that', async () => {
    const gates: (() => void)[] = [];
    const { parts, sink, bytes } = sinkOf(() => new Promise<void>((resolve) => gates.push(resolve)));
    const body = new PassThrough();
    const done = writeBody(body, IDLE_MS, sink);
    const all = bytesOf('held', 4 * PART);
    for (let offset = 0; offset < all.length; offset += 60_000) body.write(all.subarray(offset, offset + 60_000));
    body.end();
    await expect.poll(() => body.isPaused()).toBe(true);
    expect(parts).toHaveLength(1);
    const isDone = done.then(() => true);
    while (!(await Promise.race([isDone, turn()]))) gates.shift()?.();
    expect(bytes().equals(all)).toBe(true);
  });

  it('fails with a write at once, also when the client says no more, and leaves the body to live', async () => {
    const body = new PassThrough();
    let writes = 0;
    const write = async () => {
      writes += 1;
      throw new Error('disk full');
    };
    const done = writeBody(body, IDLE_MS, { onChunk: () => undefined, write });
    body.write('the first chunk of many');
    await expect(done).rejects.toThrow('disk full');
    body.write('another one');
    await turn();
    expect([writes, body.destroyed, body.listenerCount('data')]).toEqual([1, false, 0]);
  });

  it('ends with what the sink makes of a chunk, and writes what came before it', async () => {
    const body = new PassThrough();
    const { sink, bytes } = sinkOf();
    const onChunk = (chunk: Buffer) => {
      if (chunk.includes('bad')) throw new Error('no such chunk');
    };
    const done = writeBody(body, IDLE_MS, { ...sink, onChunk });
    body.write('good');
    await turn();
    body.write('bad');
    await expect(done).rejects.toThrow('no such chunk');
    expect(bytes().toString()).toBe('good');
    expect(body.destroyed).toBe(false);
  });

  it('writes what came of a body that breaks off, and says why it did', async () => {
    const body = new PassThrough();
    const { sink, bytes } = sinkOf();
    const done = writeBody(body, IDLE_MS, sink);
    body.write('as far as it came');
    setImmediate(() => body.destroy(new Error('aborted')));
    await expect(done).rejects.toThrow('aborted');
    expect(bytes().toString()).toBe('as far as it came');
  });

  it('takes a body that is over already', async () => {
    const whole = new PassThrough();
    whole.end('small');
    const { sink, bytes } = sinkOf();
    await writeBody(whole, IDLE_MS, sink);
    expect(bytes().toString()).toBe('small');
    const broken = new PassThrough().on('error', () => undefined);
    broken.destroy(new Error('gone'));
    await expect(writeBody(broken, IDLE_MS, sink)).rejects.toThrow('gone');
  });

  it('ends a body of which nothing comes, but not one that it holds back itself', async () => {
    const idleMs = 60;
    const body = new PassThrough().on('error', () => undefined);
    await expect(writeBody(body, idleMs, sinkOf().sink)).rejects.toThrow('no byte of the body came for 60 ms');
    expect(body.destroyed).toBe(true);
    const held = new PassThrough();
    const gate = Promise.withResolvers<void>();
    const { sink, bytes } = sinkOf(() => gate.promise);
    const done = writeBody(held, idleMs, sink);
    held.end(Buffer.alloc(3 * PART));
    await new Promise((resolve) => setTimeout(resolve, 4 * idleMs));
    gate.resolve();
    await done;
    expect(bytes().length).toBe(3 * PART);
  });
});
