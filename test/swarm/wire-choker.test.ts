import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { Choker, MAX_UNCHOKED } from '../../src/swarm/wire/choker.ts';
import { ForeignChoking } from '../../src/swarm/wire/wire-choking.ts';
import { messages, numbers, RawPeer } from './raw-peer.ts';
import { startWireHost } from './wire-fixture.ts';

/** A choker with peers that all want something; `unchoked` tells who may go on. */
function crowd(count: number, random: () => number = () => 0) {
  const choker = new Choker(random);
  const unchoked = new Set<number>();
  for (let peer = 0; peer < count; peer++) {
    choker.join(peer);
    if (choker.setInterested(peer, true)) unchoked.add(peer);
  }
  const round = (full: boolean) => {
    for (const { peer, choked } of choker.round(full)) {
      if (choked) unchoked.delete(peer);
      else unchoked.add(peer);
    }
    return [...unchoked].toSorted((a, b) => a - b);
  };
  return { choker, unchoked, round };
}

describe('Choker', () => {
  it('serves everybody while the uplink is not full', () => {
    const { round } = crowd(20);
    expect(round(false)).toHaveLength(20);
  });

  it('serves the three that send most and one more while it is full, and everybody again afterwards', () => {
    const { choker, round } = crowd(20);
    for (const [peer, bytes] of [
      [3, 100],
      [7, 300],
      [11, 200],
      [13, 50],
    ] as const)
      choker.received(peer, bytes);
    const chosen = round(true);
    expect(chosen).toHaveLength(MAX_UNCHOKED);
    expect(chosen).toEqual(expect.arrayContaining([3, 7, 11]));
    expect(round(false)).toHaveLength(20);
  });

  it('changes the optimistic one every third round', () => {
    let place = 0;
    const { choker, round } = crowd(10, () => place);
    const best = () => {
      for (const peer of [0, 1, 2]) choker.received(peer, 100);
    };
    const optimistic = [];
    for (let number = 0; number < 9; number++) {
      best();
      place = number / 10;
      optimistic.push(round(true).find((peer) => peer > 2));
    }
    expect(optimistic).toEqual([3, 3, 3, 5, 5, 5, 7, 7, 7]);
  });

  it('lets a newcomer in at once while there is room, and makes it wait while there is none', () => {
    const { choker, round } = crowd(2);
    round(true);
    choker.join(50);
    choker.join(51);
    choker.join(52);
    expect([50, 51, 52].map((peer) => choker.setInterested(peer, true))).toEqual([true, true, false]);
    choker.leave(50);
    expect(choker.setInterested(52, true)).toBe(true);
    expect(choker.setInterested(99, true)).toBe(false);
  });

  it('counts what was received since the last round only', () => {
    const { choker, round } = crowd(10, () => 0.99);
    for (const peer of [1, 2, 3]) choker.received(peer, 1_000_000);
    expect(round(true)).toEqual([1, 2, 3, 9]);
    for (const peer of [4, 5, 6]) choker.received(peer, 10);
    expect(round(true)).toEqual([4, 5, 6, 9]);
  });
});

describe('ForeignChoking', () => {
  it('asks for the uplink every round, and stops when nobody is left', async () => {
    let heldMs = 1_000;
    const choking = new ForeignChoking({ random: () => 0, takeHeldMs: () => heldMs, roundMs: 20 });
    const states = Array.from({ length: 6 }, () => true);
    const set = (index: number, choked: boolean) => {
      states[index] = choked;
    };
    const ids = states.map((_, index) =>
      choking.join({ choke: () => set(index, true), unchoke: () => set(index, false) }),
    );
    for (const id of ids) choking.setInterested(id, true);
    expect(states).not.toContain(true);
    await expect.poll(() => states.filter((choked) => !choked).length).toBe(MAX_UNCHOKED);
    heldMs = 0;
    await expect.poll(() => states).not.toContain(true);
    for (const id of ids) choking.leave(id);
    choking.close();
  });

  it('unchokes foreign clients at the first interest', async () => {
    const seed = await startWireHost({ blob: randomBytes(1024 * 1024), seed: true, foreign: true });
    const peer = await RawPeer.dial(seed.transport.port, seed.id);
    await peer.expect(messages.haveAll);
    peer.send(messages.request, numbers(0, 0, 16_384));
    // Nobody is served who is choked.
    await peer.expect(messages.reject);
    peer.send(messages.interested);
    await peer.expect(messages.unchoke);
    peer.send(messages.request, numbers(0, 0, 16_384));
    await peer.expect(messages.piece);
  });

  it('never chokes our own agents, not even before they show interest', async () => {
    const seed = await startWireHost({ blob: randomBytes(1024 * 1024), seed: true, foreign: false });
    const peer = await RawPeer.dial(seed.transport.port, seed.id);
    await peer.expect(messages.haveAll);
    await peer.expect(messages.unchoke);
    peer.send(messages.request, numbers(0, 0, 16_384));
    await peer.expect(messages.piece);
  });
});
