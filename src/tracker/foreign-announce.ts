import { timingSafeEqual } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import { announceKeyOf, BadRequestError, type InfoHash, UnauthorizedError } from '../core/index.ts';
import { encodeForeignAnswer } from './bep3-answer.ts';
import { parseForeignAnnounce } from './bep3-query.ts';
import { drawSizesFor, type HandOutPolicy, handOut } from './hand-out.ts';
import { type AnnounceIntervals, timeToLiveMs } from './intervals.ts';
import { normaliseAddress } from './ip-address.ts';
import {
  type Candidates,
  type GroupSizes,
  noCandidates,
  type PeerGroup,
  type PeerStore,
  peerGroups,
} from './peer-store.ts';
import type { Random } from './random-sample.ts';

/** What a {@link ForeignAnnouncer} is made of. */
export interface ForeignAnnouncerDeps {
  readonly peerStore: PeerStore;
  readonly random: Random;
  readonly intervals: AnnounceIntervals;
  readonly policy: HandOutPolicy;
  readonly swarmSecret: string;
}

const KEYS_KEPT = 10_000;

/**
 * Answers any BitTorrent client (BEP 3, BEP 23). Foreign clients meet each other under the blob's info hash, and are
 * handed the peers of its swarm as well, whom they dial under the info hash. Shoal's own peers are not handed foreign
 * ones: they would greet them with the swarm id, which no foreign client knows.
 */
export class ForeignAnnouncer {
  readonly #deps: ForeignAnnouncerDeps;
  /** Keys that have been shown, so that they are not computed for each announce. */
  readonly #keys = new LRUCache<InfoHash, Buffer>({ max: KEYS_KEPT });

  constructor(deps: ForeignAnnouncerDeps) {
    this.#deps = deps;
  }

  /**
   * Takes one announce, and answers it in bencoding.
   * @param key the last part of the announce URL, which the `.torrent` file has
   * @param query as it stands in the request line, percent-encoded
   * @throws BadRequestError when the query is malformed
   * @throws UnauthorizedError when the key is not the one of the info hash
   * @throws UnavailableError when the peer store does not answer
   */
  async announce(key: string, query: string, remoteAddress: string | undefined): Promise<Buffer> {
    const announce = parseForeignAnnounce(query);
    const { infoHash, peerId: id, port, complete, stopped, want } = announce;
    this.#checkKey(key, infoHash);
    const host = normaliseAddress(remoteAddress ?? '');
    if (host === undefined) throw new BadRequestError('the address that the announce comes from is not known any more');
    const { peerStore, random, intervals, policy } = this.#deps;
    if (stopped) {
      await peerStore.removeForeign(infoHash, id);
      return encodeForeignAnswer([], intervals.idleMs, announce);
    }
    await peerStore.putForeign(infoHash, { id, host, port, complete }, timeToLiveMs(intervals.idleMs));
    const asker = { id, host, port, complete, eighths: complete ? 8 : 0 };
    const { sizes } = drawSizesFor(asker, want, policy);
    const candidates = await this.#candidates(infoHash, sizes);
    return encodeForeignAnswer(handOut({ candidates, asker, want, policy, random }), intervals.idleMs, announce);
  }

  #checkKey(key: string, infoHash: InfoHash): void {
    const expected = this.#keys.get(infoHash) ?? Buffer.from(announceKeyOf(infoHash, this.#deps.swarmSecret));
    const given = Buffer.from(key);
    if (given.length === expected.length && timingSafeEqual(given, expected)) {
      // Only now: whoever guesses must not drive out the keys of blobs that are being fetched.
      this.#keys.set(infoHash, expected);
      return;
    }
    throw new UnauthorizedError(
      `the key in the announce URL does not belong to info hash ${infoHash}; take the .torrent file from this tracker`,
    );
  }

  async #candidates(infoHash: InfoHash, sizes: GroupSizes): Promise<Candidates> {
    const { peerStore } = this.#deps;
    const swarmId = await peerStore.findSwarm(infoHash);
    const swarms = swarmId === undefined ? [infoHash] : [infoHash, swarmId];
    const [foreign = noCandidates(), own] = await peerStore.sample(swarms.map((swarm) => ({ swarm, sizes })));
    return own === undefined ? foreign : together(foreign, own);
  }
}

function together(one: Candidates, other: Candidates): Candidates {
  const each = <T>(of: (group: PeerGroup) => T) => {
    return Object.fromEntries(peerGroups.map((group) => [group, of(group)])) as Record<PeerGroup, T>;
  };
  return {
    ...each((group) => [...one[group], ...other[group]]),
    sizes: each((group) => one.sizes[group] + other.sizes[group]),
  };
}
