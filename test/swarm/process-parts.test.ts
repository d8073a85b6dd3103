import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BlobNotFoundError, DigestMismatchError, UnavailableError } from '../../src/core/index.ts';
import type { SwarmLimits, SwarmStatistics } from '../../src/swarm/index.ts';
import { Channel, type ChannelMessage, type Handlers } from '../../src/swarm/process/channel.ts';
import { shareOut } from '../../src/swarm/process/limit-shares.ts';
import { LimitSharing } from '../../src/swarm/process/limit-sharing.ts';
import { MeasuredBusyness } from '../../src/swarm/process/loop-busyness.ts';
import { packError, unpackError } from '../../src/swarm/process/packed-error.ts';
import { countsOf, NO_STATISTICS, sumOf } from '../../src/swarm/process/summed-statistics.ts';

interface Numbers {
  double: { params: number; answer: number };
  fail: { params: undefined; answer: undefined };
  /** Never answers by itself. */
  wait: { params: undefined; answer: undefined };
}

const waitForEver: Handlers<Numbers>['wait'] = (_, signal) =>
  new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });

/** Two channels that send copies to each other, as two processes do. */
function connect(onFailure: (error: unknown, name: string) => void = () => {}) {
  const handlers: Handlers<Numbers> = {
    double: (number) => 2 * number,
    fail: () => {
      throw new BlobNotFoundError('there is none', { digest: 'sha256:…' });
    },
    wait: waitForEver,
  };
  const sent: ChannelMessage[] = [];
  const left = new Channel<Numbers, Numbers>({ post: (message) => deliver(message, () => right), handlers, onFailure });
  const right = new Channel<Numbers, Numbers>({ post: (message) => deliver(message, () => left), handlers, onFailure });
  const deliver = (message: ChannelMessage, to: () => Channel<Numbers, Numbers>) => {
    sent.push(message);
    setImmediate(() => to().receive(structuredClone(message)));
  };
  return { left, right, sent };
}

describe('Channel', () => {
  it('carries calls and answers both ways at once', async () => {
    const { left, right } = connect();
    const numbers = Array.from({ length: 100 }, (_, index) => index);
    const answers = await Promise.all(
      numbers.flatMap((number) => [left.call('double', number), right.call('double', -number)]),
    );
    expect(answers).toEqual(numbers.flatMap((number) => [2 * number, -2 * number]));
  });

  it('throws what the other side throws, with its class', async () => {
    const { left } = connect();
    await expect(left.call('fail', undefined)).rejects.toThrow(BlobNotFoundError);
    await expect(left.call('fail', undefined)).rejects.toThrow('there is none');
  });

  it('ends a call with its signal, on the other side too', async () => {
    const { left, sent } = connect();
    const controller = new AbortController();
    const waiting = expect(left.call('wait', undefined, controller.signal)).rejects.toThrow('enough');
    controller.abort(new Error('enough'));
    await waiting;
    // The other side ends its call as well; nobody waits for its answer.
    await expect.poll(() => sent.map(({ kind }) => kind)).toEqual(['call', 'abort', 'answer']);
    await expect(left.call('double', 1, AbortSignal.abort(new Error('too late')))).rejects.toThrow('too late');
    expect(sent).toHaveLength(3);
  });

  it('rejects all that wait when it is closed, and all that come later', async () => {
    const { left, right, sent } = connect();
    const waiting = expect(left.call('wait', undefined)).rejects.toThrow('it has died');
    left.close(new UnavailableError('it has died'));
    await waiting;
    await expect(left.call('double', 1)).rejects.toThrow('it has died');
    left.tell('double', 1);
    expect(sent).toHaveLength(1);
    right.close(new UnavailableError('closed'));
  });

  it('tells of what failed without anybody waiting', async () => {
    const failures: string[] = [];
    const { left } = connect((error, name) => failures.push(`${name}: ${(error as Error).message}`));
    left.tell('fail', undefined);
    left.tell('double', 1);
    await expect.poll(() => failures).toEqual(['fail: there is none']);
  });
});

describe('a packed error', () => {
  it('keeps class, message and details of ours, and name and code of others', () => {
    const mismatch = new DigestMismatchError('not the same', { expected: 'a', actual: 'b' });
    const unpacked = unpackError(structuredClone(packError(mismatch)));
    expect(unpacked).toBeInstanceOf(DigestMismatchError);
    expect(unpacked).toMatchObject({ message: 'not the same', details: { expected: 'a', actual: 'b' } });
    const missing = Object.assign(new Error('no such file'), { code: 'ENOENT' });
    expect(unpackError(structuredClone(packError(missing)))).toMatchObject({ message: 'no such file', code: 'ENOENT' });
    expect(unpackError(packError('thrown')).message).toBe('thrown');
  });
});

describe('shareOut', () => {
  const use = fc.record({ usedBytes: fc.nat(10_000_000), shareBytes: fc.nat(10_000_000) });

  it('never gives more than the limit, wastes next to nothing of it, and leaves nobody without', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 100, max: 10_000_000 }),
        fc.array(use, { minLength: 1, maxLength: 6 }),
        (limit, uses) => {
          const shares = shareOut(limit, uses);
          const sum = shares.reduce((a, b) => a + b, 0);
          expect(sum).toBeLessThanOrEqual(limit);
          expect(sum).toBeGreaterThan(limit - 2 * uses.length);
          for (const share of shares) expect(share).toBeGreaterThanOrEqual(Math.floor(limit / uses.length / 4));
        },
      ),
    );
  });

  it.each([
    ['all of it to the only one', 1000, [[0, 0]], [1000]],
    [
      'half each to two that want more',
      1000,
      [
        [500, 500],
        [100, 100],
      ],
      [500, 500],
    ],
    [
      'to one that wants more what the other does not use',
      1000,
      [
        [500, 500],
        [100, 500],
      ],
      [850, 150],
    ],
    [
      'room to show that it wants more to one that has just begun',
      1000,
      [
        [1000, 1000],
        [0, 0],
      ],
      [875, 125],
    ],
    [
      'equally what nobody wants',
      1000,
      [
        [100, 500],
        [100, 500],
      ],
      [500, 500],
    ],
    [
      'no limit to all',
      0,
      [
        [5, 5],
        [0, 0],
      ],
      [0, 0],
    ],
  ] as const)('gives %s', (_, limit, uses, expected) => {
    expect(
      shareOut(
        limit,
        uses.map(([usedBytes, shareBytes]) => ({ usedBytes, shareBytes })),
      ),
    ).toEqual(expected);
  });
});

describe('LimitSharing', () => {
  /** One that sends as much as it may, up to what it wants, each second. */
  class Sender {
    readonly wantedBytes: number;
    limit = 0;
    told = 0;
    sums: SwarmStatistics = NO_STATISTICS;

    constructor(wantedBytes: number) {
      this.wantedBytes = wantedBytes;
    }

    setLimits({ egressBytesPerSecond }: SwarmLimits): void {
      this.limit = egressBytesPerSecond;
      this.told += 1;
    }

    send(): void {
      const bytes = this.limit === 0 ? this.wantedBytes : Math.min(this.limit, this.wantedBytes);
      this.sums = { ...this.sums, sentBytes: this.sums.sentBytes + bytes };
    }
  }

  const egress = (egressBytesPerSecond: number): SwarmLimits => ({
    egressBytesPerSecond,
    ingressBytesPerSecond: 0,
    seedingEgressBytesPerSecond: 0,
  });

  it('lets the whole limit be used by whoever wants it, as that changes', () => {
    const sharing = new LimitSharing(egress(1_000_000));
    const [much, little, none] = [new Sender(10_000_000), new Sender(100_000), new Sender(0)];
    for (let second = 0; second < 10; second++) {
      sharing.divide([much, little, none]);
      for (const sender of [much, little, none]) sender.send();
    }
    expect(much.limit).toBeGreaterThan(700_000);
    expect(little.limit).toBeGreaterThanOrEqual(100_000);
    expect(much.limit + little.limit + none.limit).toBeLessThanOrEqual(1_000_000);
    sharing.divide([much]);
    expect(much.limit).toBe(1_000_000);
    sharing.change({ egressBytesPerSecond: 500_000 });
    sharing.divide([much]);
    expect(much.limit).toBe(500_000);
  });

  it('tells only what has changed, and nothing where there is no limit', () => {
    const sharing = new LimitSharing(egress(0));
    const sender = new Sender(10);
    for (let second = 0; second < 5; second++) {
      sharing.divide([sender]);
      sender.send();
    }
    expect(sender).toMatchObject({ limit: 0, told: 1 });
    expect(sharing.equalShare(3)).toEqual(egress(0));
    sharing.change({ egressBytesPerSecond: 10 });
    expect(sharing.equalShare(3)).toEqual(egress(3));
  });
});

describe('MeasuredBusyness', () => {
  it('tells an event loop that has no time from one that waits', async () => {
    const busyness = new MeasuredBusyness();
    expect(busyness).toMatchObject({ utilisation: 0, busyMs: 0 });
    // Until it is so: other work on this machine may take the core away.
    for (let attempt = 0; attempt < 20 && busyness.busyMs === 0; attempt++) {
      const untilMs = performance.now() + 100;
      while (performance.now() < untilMs) {
        // Takes time.
      }
      busyness.measure();
    }
    expect(busyness.busyMs).toBeGreaterThan(90);
    for (let step = 0; step < 2; step++) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      busyness.measure();
    }
    expect(busyness.busyMs).toBe(0);
    expect(busyness.utilisation).toBeLessThan(0.8);
  });
});

describe('statistics of several processes', () => {
  it('add up, and keep the counts of those that have ended', () => {
    const one = { ...NO_STATISTICS, sentBytes: 5, wires: 2, seeding: 3, processes: 1 };
    expect(sumOf(one, one)).toEqual({ ...NO_STATISTICS, sentBytes: 10, wires: 4, seeding: 6, processes: 2 });
    expect(countsOf(one)).toEqual({ ...NO_STATISTICS, sentBytes: 5 });
  });
});
