import { once } from 'node:events';
import { type AddressInfo, connect } from 'node:net';
import { Readable } from 'node:stream';
import fastify from 'fastify';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { LentBytes, LentRuns } from '../../src/core/index.ts';
import { sendLent } from '../../src/registry/lent-answer.ts';

const PART = 64 * 1024;

/** A lender that counts what is out. */
class Lender {
  lent = 0;
  out = 0;
  mostOut = 0;
  ended = false;

  lend(bytes: Buffer): LentBytes {
    this.lent++;
    this.mostOut = Math.max(this.mostOut, ++this.out);
    let released = false;
    return {
      bytes,
      release: () => {
        if (released) throw new Error('released twice');
        released = true;
        this.out--;
      },
    };
  }

  /** Runs of two parts each; part `i` is filled with `i`. Fails after the last when told so. */
  async *runs(count: number, failure?: Error): LentRuns {
    try {
      for (let run = 0; run < count; run++) {
        yield [0, 1].map((part) => this.lend(Buffer.alloc(PART, (run * 2 + part) % 256)));
      }
      if (failure !== undefined) throw failure;
    } finally {
      this.ended = true;
    }
  }
}

/** Serves one lent body at `/`. */
async function serve(lender: Lender, runs: LentRuns, lengthBytes: number) {
  const app = fastify();
  const stream = new Readable({ read() {} });
  const errors: unknown[] = [];
  app.get('/', async (_request, reply) => {
    const head = {
      status: 200,
      headers: { 'content-length': lengthBytes, 'content-type': 'application/octet-stream' },
    };
    errors.push(await sendLent(reply, head, { stream, runs, lengthBytes }));
    return reply;
  });
  onTestFinished(() => app.close());
  await app.listen({ host: '127.0.0.1', port: 0 });
  const { port } = app.server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}/`, port, stream, errors, lender };
}

describe('sendLent', () => {
  it('sends all bytes in order, and gives all of them back', async () => {
    const lender = new Lender();
    const { url, errors, stream } = await serve(lender, lender.runs(40), 80 * PART);
    const bytes = Buffer.from(await (await fetch(url)).arrayBuffer());
    expect(bytes).toEqual(Buffer.concat(Array.from({ length: 80 }, (_, part) => Buffer.alloc(PART, part % 256))));
    await expect.poll(() => errors).toEqual([undefined]);
    expect(lender).toMatchObject({ out: 0, lent: 80, ended: true });
    expect(stream.destroyed).toBe(true);
  });

  it('borrows no more than two runs for a client that reads nothing', async () => {
    const lender = new Lender();
    const { port, errors } = await serve(lender, lender.runs(4_000), 8_000 * PART);
    const client = connect(port, '127.0.0.1');
    onTestFinished(() => void client.destroy());
    client.pause();
    client.write('GET / HTTP/1.1\r\nhost: test\r\n\r\n');
    await expect.poll(() => lender.lent).toBeGreaterThan(4);
    let before = -1;
    // The kernel takes some megabytes; then nothing moves.
    await expect
      .poll(() => {
        const stood = before === lender.lent;
        before = lender.lent;
        return stood;
      })
      .toBe(true);
    expect(lender.mostOut).toBeLessThanOrEqual(6);
    client.destroy();
    await expect.poll(() => lender.out).toBe(0);
    await expect.poll(() => errors.length).toBe(1);
    expect(lender.ended).toBe(true);
  });

  it.each([
    { what: 'too few bytes', runs: (lender: Lender) => lender.runs(3), lengthBytes: 8 * PART },
    { what: 'too many bytes', runs: (lender: Lender) => lender.runs(5), lengthBytes: 8 * PART },
    { what: 'a failure', runs: (lender: Lender) => lender.runs(3, new Error('disk')), lengthBytes: 8 * PART },
  ])('breaks off after $what, and gives all bytes back', async ({ runs, lengthBytes }) => {
    const lender = new Lender();
    const { port, errors } = await serve(lender, runs(lender), lengthBytes);
    const client = connect(port, '127.0.0.1');
    client.on('error', () => {});
    client.write('GET / HTTP/1.1\r\nhost: test\r\n\r\n');
    let received = 0;
    client.on('data', (chunk: Buffer) => {
      received += chunk.length;
    });
    await once(client, 'close');
    expect(received).toBeLessThan(lengthBytes);
    await expect.poll(() => lender.out).toBe(0);
    expect(errors).toEqual([expect.any(Error)]);
  });
});
