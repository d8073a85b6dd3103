import { describe, expect, it, onTestFinished } from 'vitest';
import { AnnounceLoop } from '../../src/swarm/announce-loop.ts';
import type { Announcer } from '../../src/swarm/index.ts';
import { testLogger } from '../helpers/logger.ts';

type Request = Parameters<Announcer['announce']>[0];

/** A loop over the given swarms, and every request that it sends. */
function startLoop(swarmIds: string[], answer: Announcer['announce'] = async () => ({ intervalMs: 50, swarms: {} })) {
  const requests: Request[] = [];
  const peers: string[] = [];
  const loop = new AnnounceLoop({
    announcer: {
      announce: (request, signal) => {
        requests.push(request);
        return answer(request, signal);
      },
    },
    logger: testLogger(),
    describe: () => ({
      peerId: 'a'.repeat(40),
      port: 1,
      origin: false,
      swarms: swarmIds.map((swarmId) => ({ swarmId: swarmId as never, complete: true, want: 0 })),
    }),
    onPeers: (swarmId) => peers.push(swarmId),
  });
  loop.start();
  onTestFinished(() => loop.stop());
  return { loop, requests, peers };
}

describe('AnnounceLoop', () => {
  it('announces all swarms in one request, again and again', async () => {
    const { requests } = startLoop(['s1', 's2']);
    await expect.poll(() => requests.length).toBeGreaterThanOrEqual(3);
    for (const { swarms } of requests) expect(swarms.map(({ swarmId }) => swarmId)).toEqual(['s1', 's2']);
  });

  it('gathers changes that come together into one request, without waiting for the interval', async () => {
    const { loop, requests } = startLoop(['s1'], async () => ({ intervalMs: 60_000, swarms: {} }));
    await expect.poll(() => requests.length).toBe(1);
    for (let change = 0; change < 20; change++) loop.soon();
    await expect.poll(() => requests.length).toBe(2);
  });

  it('reports a swarm that has gone as stopped, once', async () => {
    const swarmIds = ['s1', 's2'];
    const { requests } = startLoop(swarmIds);
    await expect.poll(() => requests.length).toBeGreaterThanOrEqual(1);
    swarmIds.pop();
    const stops = () => requests.flatMap(({ swarms }) => swarms).filter(({ event }) => event === 'stopped');
    await expect.poll(() => stops().map(({ swarmId }) => swarmId)).toEqual(['s2']);
    const seen = requests.length;
    await expect.poll(() => requests.length).toBeGreaterThan(seen + 2);
    expect(stops()).toHaveLength(1);
  });

  it('sends what is too much for one request in several', async () => {
    const swarmIds = Array.from({ length: 25_000 }, (_, index) => `s${index}`);
    const { requests } = startLoop(swarmIds, async () => ({ intervalMs: 60_000, swarms: {} }));
    await expect.poll(() => requests.length).toBe(3);
    expect(requests.flatMap(({ swarms }) => swarms.map(({ swarmId }) => swarmId as string))).toEqual(swarmIds);
  });

  it('goes on after the tracker has failed', async () => {
    let fails = true;
    const { requests, peers } = startLoop(['s1'], async () => {
      if (fails) throw new Error('the tracker is down');
      return { intervalMs: 50, swarms: { s1: [] } };
    });
    await expect.poll(() => requests.length).toBe(1);
    fails = false;
    await expect.poll(() => peers, { timeout: 5_000 }).toContain('s1');
  });

  it('tells the tracker at the end that it leaves every swarm', async () => {
    const { loop, requests } = startLoop(['s1', 's2']);
    await expect.poll(() => requests.length).toBeGreaterThanOrEqual(1);
    await loop.stop();
    expect(requests.at(-1)!.swarms.map(({ swarmId, event }) => [swarmId, event])).toEqual([
      ['s1', 'stopped'],
      ['s2', 'stopped'],
    ]);
  });
});
