import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { AnnounceLedger } from '../../src/swarm/announce/announce-ledger.ts';
import { AnnounceLoop } from '../../src/swarm/announce/announce-loop.ts';
import type { Announcer } from '../../src/swarm/index.ts';
import { testLogger } from '../helpers/logger.ts';

type Request = Parameters<Announcer['announce']>[0];
type Answer = Awaited<ReturnType<Announcer['announce']>>;
type Report = Request['swarms'][number];

const swarmOf = (swarmId: string, part: Partial<Report> = {}): Report => {
  return { swarmId: swarmId as never, complete: true, eighths: 8, want: 0, ...part };
};

/** A tracker that keeps the protocol: what is said is taken in order, or everything is asked for. */
class StrictTracker {
  readonly swarms = new Map<string, Report>();
  sequence = 0;
  known = false;

  take({ sequence, since, full, swarms }: Request): Answer {
    if (sequence === undefined || since === undefined) throw new Error('the announce has no numbers');
    if (this.known && sequence < this.sequence) return { intervalMs: 1, swarms: {} };
    if (full !== true && (!this.known || this.sequence < since)) return { intervalMs: 1, full: true, swarms: {} };
    if (full === true) this.swarms.clear();
    for (const swarm of swarms) {
      if (swarm.event === 'stopped') this.swarms.delete(swarm.swarmId);
      else this.swarms.set(swarm.swarmId, swarm);
    }
    this.known = true;
    this.sequence = sequence;
    return { intervalMs: 1, swarms: {} };
  }

  forget(): void {
    this.swarms.clear();
    this.known = false;
    this.sequence = 0;
  }
}

interface Sent extends Request {
  readonly atMs: number;
}

/** A loop over the given swarms, and every request that it sends. */
function startLoop(swarms: Report[], answer: Announcer['announce'] = async () => ({ intervalMs: 50, swarms: {} })) {
  const requests: Sent[] = [];
  const peers: string[] = [];
  const loop = new AnnounceLoop({
    announcer: {
      announce: (request, signal) => {
        requests.push({ ...request, atMs: performance.now() });
        return answer(request, signal);
      },
    },
    logger: testLogger(),
    describe: () => ({ peerId: 'a'.repeat(40), port: 1, origin: false, swarms: [...swarms] }),
    onPeers: (swarmId) => peers.push(swarmId),
  });
  loop.start();
  onTestFinished(() => loop.stop());
  return { loop, requests, peers };
}

const never: Announcer['announce'] = async () => ({ intervalMs: 60_000, swarms: {} });
const idsOf = (request: Request | undefined) => request?.swarms.map(({ swarmId }) => swarmId as string);

describe('AnnounceLoop', () => {
  it('announces all swarms at first, and none again and again while nothing changes', async () => {
    const { requests } = startLoop([swarmOf('s1'), swarmOf('s2', { complete: false, eighths: 3 })]);
    await expect.poll(() => requests.length).toBeGreaterThanOrEqual(4);
    expect(requests.slice(0, 4).map(idsOf)).toEqual([['s1', 's2'], [], [], []]);
    expect(requests.slice(0, 4).map(({ full, sequence, since }) => [full, sequence, since])).toEqual([
      [true, 1, 0],
      [undefined, 2, 1],
      [undefined, 3, 2],
      [undefined, 4, 3],
    ]);
  });

  it('asks again for a swarm that wants peers', async () => {
    const { requests } = startLoop([swarmOf('s1'), swarmOf('s2', { complete: false, want: 4 })]);
    await expect.poll(() => requests.length).toBeGreaterThanOrEqual(3);
    expect(requests.slice(0, 3).map(idsOf)).toEqual([['s1', 's2'], ['s2'], ['s2']]);
  });

  it('announces the first change at once, and gathers those that come right after it', async () => {
    const swarms = [swarmOf('s1')];
    const { loop, requests } = startLoop(swarms, never);
    await expect.poll(() => requests.length).toBe(1);
    await expect.poll(() => performance.now() - requests[0]!.atMs).toBeGreaterThan(30);
    swarms.push(swarmOf('s2'));
    loop.soon();
    swarms.push(swarmOf('s3'));
    loop.soon();
    await turn();
    expect(idsOf(requests[1])).toEqual(['s2', 's3']);
    for (let change = 4; change < 20; change++) {
      swarms.push(swarmOf(`s${change}`));
      loop.soon();
    }
    await expect.poll(() => requests.length, { interval: 1 }).toBe(3);
    expect(requests[2]!.atMs - requests[1]!.atMs).toBeGreaterThan(18);
    expect(idsOf(requests[2])).toHaveLength(16);
  });

  it('announces a change that came while an announce was under way', async () => {
    const swarms = [swarmOf('s1')];
    const held = Promise.withResolvers<void>();
    const { loop, requests } = startLoop(swarms, async () => {
      await held.promise;
      return { intervalMs: 60_000, swarms: {} };
    });
    await expect.poll(() => requests.length).toBe(1);
    swarms.push(swarmOf('s2'));
    loop.soon();
    held.resolve();
    await expect.poll(() => requests.map(idsOf)).toEqual([['s1'], ['s2']]);
  });

  it('reports a swarm that has gone as stopped, once', async () => {
    const swarms = [swarmOf('s1'), swarmOf('s2')];
    const { requests } = startLoop(swarms);
    await expect.poll(() => requests.length).toBeGreaterThanOrEqual(1);
    swarms.pop();
    const stops = () => requests.flatMap((request) => request.swarms).filter(({ event }) => event === 'stopped');
    await expect.poll(() => stops().map(({ swarmId }) => swarmId)).toEqual(['s2']);
    const seen = requests.length;
    await expect.poll(() => requests.length).toBeGreaterThan(seen + 2);
    expect(stops()).toHaveLength(1);
  });

  it('sends what is too much for one request in several', async () => {
    const swarms = Array.from({ length: 25_000 }, (_, index) => swarmOf(`s${index}`));
    const { requests } = startLoop(swarms, never);
    await expect.poll(() => requests.length).toBe(3);
    expect(requests.flatMap((request) => idsOf(request))).toEqual(swarms.map(({ swarmId }) => swarmId));
    expect(requests.map(({ full, sequence, since }) => [full, sequence, since])).toEqual([
      [true, 1, 0],
      [undefined, 2, 1],
      [undefined, 3, 2],
    ]);
  });

  it('sends everything at once to a tracker that does not know the host', async () => {
    const tracker = new StrictTracker();
    const swarms = [swarmOf('s1'), swarmOf('s2')];
    const { loop, requests } = startLoop(swarms, async (request) => ({ ...tracker.take(request), intervalMs: 60_000 }));
    await expect.poll(() => tracker.swarms.size).toBe(2);
    tracker.forget();
    swarms.push(swarmOf('s3'));
    loop.soon();
    await expect.poll(() => tracker.swarms.size).toBe(3);
    expect(requests.map(idsOf)).toEqual([['s1', 's2'], ['s3'], ['s1', 's2', 's3']]);
  });

  it('does not ask without pause a tracker that never knows it', async () => {
    const { requests } = startLoop([swarmOf('s1')], async () => ({ intervalMs: 1, full: true, swarms: {} }));
    await expect.poll(() => requests.length).toBe(2);
    const seenMs = performance.now();
    await expect.poll(() => requests.length, { timeout: 5_000 }).toBeGreaterThan(2);
    expect(performance.now() - seenMs).toBeGreaterThan(300);
  });

  it('goes on after the tracker has failed', async () => {
    let fails = true;
    const { requests, peers } = startLoop([swarmOf('s1')], async () => {
      if (fails) throw new Error('the tracker is down');
      return { intervalMs: 50, swarms: { s1: [] } };
    });
    await expect.poll(() => requests.length).toBe(1);
    fails = false;
    await expect.poll(() => peers, { timeout: 5_000 }).toContain('s1');
  });

  it('tells the tracker at the end that it leaves every swarm', async () => {
    const { loop, requests } = startLoop([swarmOf('s1'), swarmOf('s2')], never);
    await expect.poll(() => requests.length).toBeGreaterThanOrEqual(1);
    await loop.stop();
    expect(requests.at(-1)!.swarms.map(({ swarmId, event }) => [swarmId, event])).toEqual([
      ['s1', 'stopped'],
      ['s2', 'stopped'],
    ]);
  });
});

describe('AnnounceLedger', () => {
  const known = (...swarms: Report[]) => {
    const ledger = new AnnounceLedger();
    ledger.answered(ledger.send(swarms).sequence, swarms);
    return ledger;
  };

  it.each([
    ['another state', swarmOf('s1', { complete: true })],
    ['another eighth', swarmOf('s1', { complete: false, eighths: 3 })],
    ['an info hash', swarmOf('s1', { complete: false, eighths: 2, infoHash: 'f'.repeat(40) as never })],
    ['a wish for peers', swarmOf('s1', { complete: false, eighths: 2, want: 1 })],
  ])('sends a swarm with %s', (_name, swarm) => {
    const ledger = known(swarmOf('s1', { complete: false, eighths: 2 }), swarmOf('s2'));
    expect(ledger.changesTo([swarm, swarmOf('s2')])).toEqual({ full: false, swarms: [swarm] });
  });

  it('sends again what was not answered, and a stop for what has gone meanwhile', () => {
    const ledger = known(swarmOf('s1'));
    ledger.send([swarmOf('s2'), swarmOf('s3')]);
    const { swarms } = ledger.changesTo([swarmOf('s1'), swarmOf('s2')]);
    expect(swarms.map(({ swarmId, event }) => [swarmId, event])).toEqual([
      ['s3', 'stopped'],
      ['s2', undefined],
    ]);
  });

  it('has the tracker know exactly the swarms that are there, whatever is lost, late, doubled or forgotten', () => {
    const step = fc.record({
      swarms: fc.uniqueArray(fc.record({ name: fc.nat(5), eighths: fc.nat(8) }), { selector: ({ name }) => name }),
      fate: fc.constantFrom('whole', 'whole', 'never arrives', 'answer lost', 'arrives late', 'doubled'),
      tracker: fc.constantFrom(0, 0, 0, 1),
      forgets: fc.constantFrom(false, false, false, true),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60, size: 'max' }), (steps) => {
        const trackers = [new StrictTracker(), new StrictTracker()] as const;
        const ledger = new AnnounceLedger();
        const late: { request: Request; tracker: StrictTracker }[] = [];
        const announce = (current: Report[], tracker: StrictTracker, fate: string): boolean => {
          const { full, swarms } = ledger.changesTo(current);
          const numbers = ledger.send(swarms);
          const request: Request = { peerId: 'p', port: 1, origin: false, ...numbers, full, swarms: [...swarms] };
          if (fate === 'never arrives') return false;
          if (fate === 'arrives late') {
            late.push({ request, tracker });
            return false;
          }
          const answer = tracker.take(request);
          if (fate === 'doubled') tracker.take(request);
          if (fate === 'answer lost') return false;
          if (answer.full === true) ledger.forget();
          else ledger.answered(numbers.sequence, swarms);
          return answer.full !== true;
        };
        for (const { swarms, fate, tracker: which, forgets } of steps) {
          const tracker = trackers[which]!;
          if (forgets) tracker.forget();
          const current = swarms.map(({ name, eighths }) => swarmOf(`s${name}`, { eighths, complete: eighths === 8 }));
          announce(current, tracker, fate);
          // Those under way arrive at some time; a host has been known all the while, or the announce is out of time.
          if (late.length > 1) for (const one of late.splice(0)) if (one.tracker.known) one.tracker.take(one.request);
          if (!announce(current, tracker, 'whole')) expect(announce(current, tracker, 'whole')).toBe(true);
          const there = [...tracker.swarms.values()].map(({ swarmId, eighths }) => `${swarmId} ${eighths}`);
          expect(there.sort()).toEqual(current.map(({ swarmId, eighths }) => `${swarmId} ${eighths}`).sort());
        }
      }),
      { numRuns: 300 },
    );
  });
});
