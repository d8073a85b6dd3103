import { describe, expect, it } from 'vitest';
import type { LentBytes } from '../../src/castore/index.ts';
import { TokenBucket } from '../../src/swarm/wire/rate-limit.ts';
import { MAX_QUEUED_BLOCKS } from '../../src/swarm/wire/serve-queue.ts';
import { ServeScheduler } from '../../src/swarm/wire/serve-scheduler.ts';

const BLOCK = 128 * 1024;

/** A socket that takes blocks when it is told to, and bytes that are counted. */
class TestSink {
  readonly sent: number[] = [];
  unsentBytes = 0;
  #open: { bytes: number; done: (sent: boolean) => void }[] = [];

  sendBlock(piece: number, _offset: number, bytes: Buffer, done: (sent: boolean) => void): void {
    this.sent.push(piece);
    this.unsentBytes += bytes.length;
    this.#open.push({ bytes: bytes.length, done });
  }

  /** The kernel takes what is waiting, or the socket dies with it. */
  drain(count = this.#open.length, sent = true): void {
    for (const { bytes, done } of this.#open.splice(0, count)) {
      this.unsentBytes -= bytes;
      done(sent);
    }
  }
}

function setUp(options: { maxLentBytes?: number } = {}) {
  const clock = { nowMs: 0 };
  const nowMs = () => clock.nowMs;
  const egress = new TokenBucket(nowMs);
  const seeding = new TokenBucket(nowMs);
  const scheduler = new ServeScheduler({ egress, seeding, nowMs, ...options });
  let lent = 0;
  const order: string[] = [];
  const lend = (_piece: number, _offset: number, length: number): LentBytes => {
    lent += length;
    const release = () => {
      lent -= length;
    };
    return { bytes: Buffer.alloc(length), release };
  };
  const open = (
    name: string,
    hooks: { lend?: typeof lend | (() => Promise<LentBytes>); background?: boolean; share?: number } = {},
  ) => {
    const sink = new TestSink();
    const unreadable: number[] = [];
    const send = sink.sendBlock.bind(sink);
    sink.sendBlock = (piece, ...rest) => {
      order.push(`${name}${piece}`);
      send(piece, ...rest);
    };
    const queue = scheduler.open({
      sink,
      lend: hooks.lend ?? lend,
      background: () => hooks.background ?? false,
      peerShare: () => hooks.share ?? 0,
      onSent: () => {},
      onUnreadable: (piece) => unreadable.push(piece),
    });
    return { sink, queue, unreadable };
  };
  return { clock, scheduler, egress, seeding, open, lend, order, lent: () => lent };
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

describe('ServeScheduler', () => {
  it('serves a block a wire in turn', async () => {
    const { open, order } = setUp();
    const [a, b] = [open('a'), open('b')];
    for (let piece = 0; piece < 4; piece++) a.queue.push(piece, 0, 16_384);
    for (let piece = 0; piece < 2; piece++) b.queue.push(piece, 0, 16_384);
    await turn();
    expect(order).toEqual(['a0', 'b0', 'a1', 'b1', 'a2', 'a3']);
  });

  it('serves the peer that is furthest behind in every second turn', async () => {
    const { open, order } = setUp();
    const peers = [open('a', { share: 0.9 }), open('b', { share: 0.1 }), open('c', { share: 0.5 })];
    for (const { queue } of peers) for (let piece = 0; piece < 4; piece++) queue.push(piece, 0, 16_384);
    await turn();
    expect(order.slice(0, 8)).toEqual(['a0', 'b0', 'c0', 'b1', 'a1', 'b2', 'c1', 'b3']);
    expect(order).toHaveLength(12);
  });

  it('reads two blocks ahead of a socket, and the next when it drains', async () => {
    const { open, lent } = setUp();
    const { sink, queue } = open('a');
    for (let piece = 0; piece < 100; piece++) queue.push(piece, 0, BLOCK);
    await turn();
    expect([sink.sent.length, lent()]).toEqual([2, 2 * BLOCK]);
    sink.drain(1);
    await turn();
    expect([sink.sent.length, lent(), queue.length]).toEqual([3, 2 * BLOCK, 97]);
  });

  it('keeps the bound of the process, and goes on as bytes come back', async () => {
    const { open, lent, scheduler } = setUp({ maxLentBytes: 3 * BLOCK });
    const wires = ['a', 'b', 'c', 'd'].map((name) => open(name));
    for (const { queue } of wires) for (let piece = 0; piece < 5; piece++) queue.push(piece, 0, BLOCK);
    await turn();
    expect([lent(), scheduler.lentBytes]).toEqual([3 * BLOCK, 3 * BLOCK]);
    expect(wires.map(({ sink }) => sink.sent.length)).toEqual([1, 1, 1, 0]);
    wires[0]!.sink.drain();
    await turn();
    expect(wires.map(({ sink }) => sink.sent.length)).toEqual([1, 1, 1, 1]);
    while (wires.some(({ queue }) => queue.length > 0)) {
      for (const { sink } of wires) sink.drain();
      await turn();
      expect(lent()).toBeLessThanOrEqual(3 * BLOCK);
    }
    for (const { sink } of wires) sink.drain();
    expect([lent(), scheduler.lentBytes]).toEqual([0, 0]);
  });

  it('reads one block at a time for a wire while the disk is slow, in order, whatever is asked for', async () => {
    const { open, lend, scheduler } = setUp();
    const reads: (() => void)[] = [];
    const slow = () => new Promise<LentBytes>((resolve) => reads.push(() => resolve(lend(0, 0, BLOCK))));
    const { queue, sink } = open('a', { lend: slow });
    for (let piece = 0; piece < 1_000; piece++) queue.push(piece, 0, BLOCK);
    await turn();
    await turn();
    expect([reads.length, scheduler.lentBytes]).toEqual([1, BLOCK]);
    for (let read = 0; read < 3; read++) {
      reads.shift()!();
      await turn();
      await turn();
      sink.drain();
      await turn();
    }
    expect(sink.sent).toEqual([0, 1, 2]);
  });

  it('gives bytes back once, also of wires that die while they are lent or read', async () => {
    const { open, lent, lend, scheduler } = setUp();
    const dying = open('a');
    for (let piece = 0; piece < 3; piece++) dying.queue.push(piece, 0, BLOCK);
    await turn();
    dying.queue.close();
    // The socket lets go of its bytes a moment later; until then they are in use.
    expect(lent()).toBe(2 * BLOCK);
    dying.sink.drain(2, false);
    expect([lent(), scheduler.lentBytes, dying.queue.push(9, 0, BLOCK), dying.queue.ready]).toEqual([
      0,
      0,
      true,
      false,
    ]);
    const disk = Promise.withResolvers<LentBytes>();
    const reading = open('b', { lend: () => disk.promise });
    reading.queue.push(0, 0, BLOCK);
    await turn();
    reading.queue.close();
    disk.resolve(lend(0, 0, BLOCK));
    await turn();
    expect([lent(), scheduler.lentBytes, reading.sink.sent]).toEqual([0, 0, []]);
  });

  it('tells what cannot be read, and goes on with the rest', async () => {
    const { open, lend, scheduler } = setUp();
    const { queue, sink, unreadable } = open('a', {
      lend: (piece, offset, length) => {
        if (piece === 1) throw new Error('disk');
        return lend(piece, offset, length);
      },
    });
    for (let piece = 0; piece < 3; piece++) queue.push(piece, 0, 16_384);
    await turn();
    expect([sink.sent, unreadable, scheduler.lentBytes]).toEqual([[0, 2], [1], 2 * 16_384]);
  });

  it('sends nothing over the egress limit, and goes on by itself', async () => {
    const { open, clock, egress, scheduler } = setUp();
    egress.setRate(1_000_000);
    const { queue, sink } = open('a');
    const send = sink.sendBlock.bind(sink);
    sink.sendBlock = (piece, offset, bytes, done) => {
      egress.take(bytes.length);
      send(piece, offset, bytes, done);
    };
    for (let piece = 0; piece < 3; piece++) queue.push(piece, 0, 20_000);
    await turn();
    expect(sink.sent).toEqual([]);
    clock.nowMs = 1;
    await expect.poll(() => sink.sent).toEqual([0]);
    clock.nowMs = 30;
    await expect.poll(() => sink.sent).toEqual([0, 1]);
    expect(scheduler.takeHeldMs()).toBeGreaterThan(0);
    egress.setRate(0);
    scheduler.limitsChanged();
    await turn();
    expect(sink.sent).toEqual([0, 1, 2]);
  });

  it('lets others go before background seeding that waits for its own limit', async () => {
    const { open, clock, seeding, order } = setUp();
    seeding.setRate(1_000_000);
    clock.nowMs = 1;
    const [slow, fast] = [open('s', { background: true }), open('f')];
    for (let piece = 0; piece < 3; piece++) slow.queue.push(piece, 0, 20_000);
    for (let piece = 0; piece < 3; piece++) fast.queue.push(piece, 0, 20_000);
    await turn();
    expect(order).toEqual(['s0', 'f0', 'f1', 'f2']);
    clock.nowMs = 25;
    await expect.poll(() => order.length).toBe(5);
    expect(order.at(-1)).toBe('s1');
  });

  it('takes no more than 1,024 requests of a wire, and drops what is cancelled', async () => {
    const { open } = setUp();
    const { queue, sink } = open('a');
    for (let piece = 0; piece < MAX_QUEUED_BLOCKS; piece++) expect(queue.push(piece, 0, 16)).toBe(true);
    expect(queue.push(5_000, 0, 16)).toBe(false);
    for (let piece = 0; piece < MAX_QUEUED_BLOCKS; piece++) if (piece % 2 === 0) queue.cancel(piece, 0);
    expect(queue.cancel(0, 0)).toBe(false);
    expect(queue.length).toBe(MAX_QUEUED_BLOCKS / 2);
    await turn();
    await turn();
    expect(sink.sent).toEqual([...Array(MAX_QUEUED_BLOCKS / 2).keys()].map((index) => 2 * index + 1));
    queue.push(7, 0, 16);
    queue.push(8, 16, 16);
    expect(queue.clear()).toEqual([
      { piece: 7, offset: 0, length: 16 },
      { piece: 8, offset: 16, length: 16 },
    ]);
  });
});
