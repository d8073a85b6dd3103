import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { announceKeyOf } from '../../src/core/index.ts';
import { foreignAnnounce, percentEncode, rawGet, readForeignAnswer } from './foreign-client.ts';
import { SECRET, startTracker } from './running-tracker.ts';
import { infoHash, peerId, swarm } from './values.ts';

const key = announceKeyOf(infoHash('a'), SECRET);
const client = (number: number, more: Record<string, string | number> = {}) => ({
  key,
  infoHash: infoHash('a'),
  peerId: peerId(number),
  port: 6_000 + number,
  more,
});

describe('GET /announce/<key>', () => {
  it('introduces foreign clients to each other', async () => {
    const { port } = await startTracker();
    expect(await foreignAnnounce(port, client(1))).toEqual({ failure: undefined, interval: 60, peers: [] });
    const second = await foreignAnnounce(port, client(2, { left: 100 }));
    expect(second.peers).toEqual(['127.0.0.1:6001']);
    // The first one is complete; only the second has use for it.
    expect((await foreignAnnounce(port, client(1))).peers).toEqual(['127.0.0.1:6002']);
    expect((await foreignAnnounce(port, client(3))).peers).toEqual(['127.0.0.1:6002']);
  });

  it("hands out the blob's own swarm, but no foreign clients to it", async () => {
    const { port, client: cluster } = await startTracker();
    const swarms = [{ swarmId: swarm('a'), infoHash: infoHash('a'), complete: true, want: 10 }];
    await cluster.announce({ peerId: peerId(50), port: 7_000, host: '10.0.0.9', origin: true, swarms });
    await cluster.announce({ peerId: peerId(51), port: 7_001, host: 'fd00::9', origin: false, swarms });
    const answer = await foreignAnnounce(port, client(1, { left: 100 }));
    expect(answer.peers).toEqual(['10.0.0.9:7000', 'fd000000000000000000000000000009:7001']);
    const incomplete = swarms.map((entry) => ({ ...entry, complete: false }));
    const own = await cluster.announce({ peerId: peerId(52), port: 7_002, origin: false, swarms: incomplete });
    expect(own.swarms[swarm('a')]!.map(({ id }) => id).sort()).toEqual([peerId(50), peerId(51)].sort());
  });

  it('takes the address of the connection, whatever the query says', async () => {
    const { port } = await startTracker();
    await foreignAnnounce(port, client(1, { ip: '10.6.6.6', ipv6: 'fd00::6' }));
    expect((await foreignAnnounce(port, client(2, { left: 1 }))).peers).toEqual(['127.0.0.1:6001']);
  });

  it('takes out a client that stopped, and drops one that stays away', async () => {
    const { port, clock } = await startTracker({ config: { idleAnnounceIntervalMs: 4_000 } });
    await foreignAnnounce(port, client(1));
    await foreignAnnounce(port, client(2));
    expect(await foreignAnnounce(port, client(1, { event: 'stopped' }))).toMatchObject({
      failure: undefined,
      peers: [],
    });
    expect((await foreignAnnounce(port, client(3, { left: 1 }))).peers).toEqual(['127.0.0.1:6002']);
    clock.advance(10_000);
    expect((await foreignAnnounce(port, client(4, { left: 1 }))).peers).toEqual([]);
  });

  it('hands out no more than numwant, and 50 at most', async () => {
    const { port } = await startTracker();
    for (let number = 1; number <= 60; number++) await foreignAnnounce(port, client(number));
    const count = async (more: Record<string, string | number>) => {
      return (await foreignAnnounce(port, client(99, { left: 1, ...more }))).peers.length;
    };
    expect(await count({ numwant: 7 })).toBe(7);
    expect(await count({ numwant: 0 })).toBe(0);
    expect(await count({ numwant: 1_000 })).toBe(50);
    expect(await count({})).toBe(50);
  });

  it('answers dictionaries when they are asked for', async () => {
    const { port } = await startTracker();
    await foreignAnnounce(port, client(1));
    const ids = `info_hash=${percentEncode(infoHash('a'))}&peer_id=${percentEncode(peerId(2))}`;
    const { body } = await rawGet(port, `/announce/${key}?${ids}&port=1&left=1&compact=0`);
    const id = Buffer.from(peerId(1), 'hex').toString('latin1');
    expect(body.toString('latin1')).toBe(`d8:intervali60e5:peersld2:ip9:127.0.0.17:peer id20:${id}4:porti6001eeee`);
  });

  it.each([
    ['the key of another blob', announceKeyOf(infoHash('b'), SECRET)],
    ['the key of another cluster', announceKeyOf(infoHash('a'), 'another secret')],
    ['no key that it could be', 'x'],
  ])('refuses %s, in the form that clients show, and keeps nothing', async (_name, wrong) => {
    const { port } = await startTracker();
    const answer = await foreignAnnounce(port, { ...client(1), key: wrong });
    expect(answer.failure).toMatch(/does not belong to info hash/);
    expect((await foreignAnnounce(port, client(2, { left: 1 }))).peers).toEqual([]);
  });

  it.each([
    ['', /info_hash is missing/],
    ['?', /info_hash is missing/],
    [`?info_hash=${percentEncode(infoHash('a'))}`, /peer_id is missing/],
    ['?info_hash=%', /info_hash has a "%"/],
  ])('explains what is wrong with the query %j', async (query, reason) => {
    const { port } = await startTracker();
    const answer = await rawGet(port, `/announce/${key}${query}`);
    expect(answer.status).toBe(200);
    expect(readForeignAnswer(answer.body).failure).toMatch(reason);
  });

  it('answers whatever comes, and never with a fault of its own', { timeout: 60_000 }, async () => {
    const { port } = await startTracker();
    const good = `info_hash=${percentEncode(infoHash('a'))}&peer_id=${percentEncode(peerId(1))}&port=1&left=1`;
    const printable = fc.string({
      unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)),
    });
    const piece = fc.oneof(
      printable,
      fc.constantFrom(good, '%', '%00', '%ff', '%c3%28', '&', '=', '?', 'port=', ';', '[]'),
    );
    const query = fc.array(piece, { maxLength: 6 }).map((pieces) => pieces.join('').replaceAll('#', ''));
    const path = fc.oneof(
      fc.constant(key),
      printable.map((text) => text.replace(/[#?]/g, '')),
    );
    await fc.assert(
      fc.asyncProperty(path, query, async (part, text) => {
        const { status, body } = await rawGet(port, `/announce/${part}?${text}`);
        // Paths that are none of ours are refused before: 400 and 404, and 401 where another route would be.
        expect([200, 400, 401, 404]).toContain(status);
        if (status === 200) expect(body.subarray(0, 1).toString()).toBe('d');
      }),
      { numRuns: 300 },
    );
    expect((await foreignAnnounce(port, client(3))).failure).toBeUndefined();
  });

  it('counts announces and refusals', async () => {
    const { port } = await startTracker();
    await foreignAnnounce(port, client(1));
    await foreignAnnounce(port, { ...client(1), key: 'x' });
    const text = (await rawGet(port, '/metrics')).body.toString();
    expect(text).toContain('shoal_tracker_announces_total{kind="foreign"} 1');
    expect(text).toContain('shoal_tracker_announce_failures_total{kind="foreign"} 1');
  });
});
