import { createHash } from 'node:crypto';
import type { Clock, InfoHash, PeerId, SwarmId } from '../../src/core/index.ts';
import type { AnnouncingHost } from '../../src/tracker/index.ts';

const hex40 = (text: string) => createHash('sha1').update(text).digest('hex');

export const swarm = (name: string | number) => hex40(`swarm ${name}`) as SwarmId;
export const infoHash = (name: string | number) => hex40(`info hash ${name}`) as InfoHash;
export const peerId = (name: string | number) => hex40(`peer ${name}`) as PeerId;

/** The agent (or origin) with a number: an id and an address of its own. */
export function host(number: number, part: Partial<AnnouncingHost> = {}): AnnouncingHost {
  const address = `10.${(number >> 16) & 255}.${(number >> 8) & 255}.${number & 255}`;
  return { id: peerId(number), host: address, port: 6881, origin: false, ...part };
}

/** Numbers from 0 to 1 that are the same in every run. */
export function seededRandom(seed = 1): () => number {
  let state = seed >>> 0;
  return () => {
    // mulberry32
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** A clock that stands still until it is moved. */
export class FakeClock implements Clock {
  #ms = 1_000;

  monotonicMs(): number {
    return this.#ms;
  }

  nowMs(): number {
    return this.#ms;
  }

  advance(ms: number): void {
    this.#ms += ms;
  }
}
