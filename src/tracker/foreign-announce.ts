import { timingSafeEqual } from 'node:crypto';
import { announceKeyOf, BadRequestError, type InfoHash, UnauthorizedError } from '../core/index.ts';
import { encodeForeignAnswer } from './bep3-answer.ts';
import { parseForeignAnnounce } from './bep3-query.ts';
import { handOut, sampleSizesFor } from './hand-out.ts';
import { type AnnounceIntervals, timeToLiveMs } from './intervals.ts';
import { normaliseAddress } from './ip-address.ts';
import { type Candidates, noCandidates, type PeerStore, type SampleSizes } from './peer-store.ts';
import type { Random } from './random-sample.ts';

/** What a {@link ForeignAnnouncer} is made of. */
export interface ForeignAnnouncerDeps {
  readonly peerStore: PeerStore;
  readonly random: Random;
  readonly intervals: AnnounceIntervals;
  readonly swarmSecret: string;
}

/**
 * Answers any BitTorrent client (BEP 3, BEP 23). Foreign clients meet each other under the blob's info hash, and are
 * handed the peers of its swarm as well, whom they dial under the info hash. Shoal's own peers are not handed foreign
 * ones: they would greet them with the swarm id, which no foreign client knows.
 */
export class ForeignAnnouncer {
  readonly #deps: ForeignAnnouncerDeps;

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
    const { peerStore, random, intervals } = this.#deps;
    if (stopped) {
      await peerStore.remove(id, [infoHash]);
      return encodeForeignAnswer([], intervals.idleMs, announce);
    }
    const reports = [{ swarm: infoHash, complete }];
    await peerStore.put({ id, host, port, origin: false }, reports, timeToLiveMs(intervals.idleMs));
    const asker = { id, host, port, complete };
    const candidates = await this.#candidates(infoHash, sampleSizesFor(asker, want));
    return encodeForeignAnswer(handOut({ candidates, asker, want, random }), intervals.idleMs, announce);
  }

  #checkKey(key: string, infoHash: InfoHash): void {
    const expected = Buffer.from(announceKeyOf(infoHash, this.#deps.swarmSecret));
    const given = Buffer.from(key);
    if (given.length === expected.length && timingSafeEqual(given, expected)) return;
    throw new UnauthorizedError(
      `the key in the announce URL does not belong to info hash ${infoHash}; take the .torrent file from this tracker`,
    );
  }

  async #candidates(infoHash: InfoHash, sizes: SampleSizes): Promise<Candidates> {
    const { peerStore } = this.#deps;
    const swarmId = await peerStore.findSwarm(infoHash);
    const swarms = swarmId === undefined ? [infoHash] : [infoHash, swarmId];
    const [foreign = noCandidates, own = noCandidates] = await peerStore.sample(
      swarms.map((swarm) => ({ swarm, ...sizes })),
    );
    return {
      origins: [...foreign.origins, ...own.origins],
      complete: [...foreign.complete, ...own.complete],
      incomplete: [...foreign.incomplete, ...own.incomplete],
    };
  }
}
