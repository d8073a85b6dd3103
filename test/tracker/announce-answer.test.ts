import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type AnnouncedPeer, decodeAnnounceAnswer, encodeAnnounceAnswer } from '../../src/tracker/protocol.ts';
import { host, swarm } from './values.ts';

const anyPeer: fc.Arbitrary<AnnouncedPeer> = fc
  .record({
    number: fc.nat(1_000_000),
    address: fc.oneof(fc.ipV4(), fc.ipV6()),
    port: fc.integer({ min: 1, max: 65_535 }),
    origin: fc.boolean(),
    eighths: fc.nat(8),
    zone: fc.option(fc.stringMatching(/^[A-Za-z0-9._-]{1,64}$/), { nil: undefined }),
  })
  .map(({ number, address, zone, ...peer }) => {
    return {
      id: host(number).id,
      host: address,
      ...peer,
      complete: peer.eighths === 8,
      ...(zone === undefined ? {} : { zone }),
    };
  });

describe('an announce answer', () => {
  it('reads as it was written', () => {
    const swarms = fc
      .array(fc.array(anyPeer, { maxLength: 5 }), { maxLength: 5 })
      .map((lists) => Object.fromEntries(lists.map((peers, index) => [swarm(index), peers])));
    fc.assert(
      fc.property(fc.nat(), fc.boolean(), swarms, (intervalMs, full, answers) => {
        const answer = { intervalMs, swarms: answers, ...(full ? { full } : {}) };
        expect(decodeAnnounceAnswer(JSON.parse(encodeAnnounceAnswer(answer)))).toEqual(answer);
      }),
    );
  });
});
