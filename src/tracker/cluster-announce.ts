import { Compile } from 'typebox/compile';
import { BadRequestError, findPeerId, toInfoHash, toSwarmId } from '../core/index.ts';
import { handOut, MAX_PEERS_PER_SWARM, sampleSizesFor } from './hand-out.ts';
import { type AnnounceIntervals, intervalFor, timeToLiveMs } from './intervals.ts';
import { isHostAddress, normaliseAddress } from './ip-address.ts';
import type { AnnouncingHost, PeerStore } from './peer-store.ts';
import { type AnnounceAnswer, type AnnouncedSwarm, type AnnounceRequest, AnnounceRequestSchema } from './protocol.ts';
import { type Random, shuffled } from './random-sample.ts';

/** What a {@link ClusterAnnouncer} is made of. */
export interface ClusterAnnouncerDeps {
  readonly peerStore: PeerStore;
  readonly random: Random;
  readonly intervals: AnnounceIntervals;
}

/** Peers in one answer, all swarms together: some megabytes of JSON. A host that wants more gets some in each answer. */
const MAX_PEERS_PER_ANSWER = 10_000;

const FAULTS_SHOWN = 5;

/** Answers the announces of Shoal's own hosts: all swarms of a host in one request. */
export class ClusterAnnouncer {
  readonly #deps: ClusterAnnouncerDeps;
  readonly #validator = Compile(AnnounceRequestSchema);

  constructor(deps: ClusterAnnouncerDeps) {
    this.#deps = deps;
  }

  /**
   * Takes what a host reports, and hands out peers.
   * @param body as it came; checked here
   * @param remoteAddress where the request came from: the host's address, unless it sets one
   * @throws BadRequestError when the body is none, or its `host` is no IP address of a host
   * @throws UnavailableError when the peer store does not answer
   */
  async announce(body: unknown, remoteAddress: string | undefined): Promise<AnnounceAnswer> {
    const request = this.#checked(body);
    const host = hostOf(request, remoteAddress);
    // The last word on a swarm counts, should one be named twice.
    const swarms = [...new Map(request.swarms.map((swarm) => [swarm.swarmId, swarm])).values()];
    const stays = swarms.filter(({ event }) => event !== 'stopped');
    const stopped = swarms.filter(({ event }) => event === 'stopped');
    const intervalMs = intervalFor(host, stays, this.#deps.intervals);
    const { peerStore } = this.#deps;
    if (stopped.length > 0) {
      await peerStore.remove(
        host.id,
        stopped.map(({ swarmId }) => toSwarmId(swarmId)),
      );
    }
    // Put before sampling: of two that join at the same moment, one at least learns of the other.
    if (stays.length > 0) await peerStore.put(host, stays.map(reportOf), timeToLiveMs(intervalMs));
    return { intervalMs, swarms: await this.#peersFor(host, stays) };
  }

  #checked(body: unknown): AnnounceRequest {
    if (this.#validator.Check(body)) return body;
    const faults = this.#validator.Errors(body).map(({ instancePath, message }) => `${instancePath || '/'} ${message}`);
    const shown = faults.slice(0, FAULTS_SHOWN).join('; ');
    throw new BadRequestError(`the announce is malformed: ${shown}${faults.length > FAULTS_SHOWN ? '; …' : ''}`);
  }

  async #peersFor(host: AnnouncingHost, stays: readonly AnnouncedSwarm[]): Promise<AnnounceAnswer['swarms']> {
    const { peerStore, random } = this.#deps;
    const asks = limited(
      stays.filter(({ want }) => want > 0).map(({ swarmId, complete, want }) => ({ swarmId, complete, want })),
      random,
    ).map(({ swarmId, complete, want }) => ({ swarmId, want, asker: { ...host, complete } }));
    if (asks.length === 0) return {};
    const requests = asks.map(({ swarmId, asker, want }) => ({
      swarm: toSwarmId(swarmId),
      ...sampleSizesFor(asker, want),
    }));
    const samples = await peerStore.sample(requests);
    return Object.fromEntries(
      asks.map(({ swarmId, asker, want }, index) => {
        return [swarmId, handOut({ candidates: samples[index]!, asker, want, random })];
      }),
    );
  }
}

/** Cuts the wishes of one request to what one answer may have; who goes short is random, so that no swarm starves. */
function limited<T extends { readonly want: number }>(asks: readonly T[], random: Random): T[] {
  let left = MAX_PEERS_PER_ANSWER;
  const fits = asks.length * MAX_PEERS_PER_SWARM <= left;
  return (fits ? asks : shuffled(asks, random)).map((ask) => {
    const want = Math.min(ask.want, left);
    left -= want;
    return { ...ask, want };
  });
}

function hostOf(request: AnnounceRequest, remoteAddress: string | undefined): AnnouncingHost {
  const id = findPeerId(request.peerId);
  const host = normaliseAddress(request.host ?? remoteAddress ?? '');
  if (id === undefined || host === undefined || !isHostAddress(host)) {
    const given = JSON.stringify(request.host ?? remoteAddress ?? null);
    throw new BadRequestError(`/host is ${given}, expected the IP address of a host, such as 10.0.0.7 or fd00::7`);
  }
  return { id, host, port: request.port, origin: request.origin };
}

function reportOf({ swarmId, infoHash, complete }: AnnouncedSwarm) {
  return {
    swarm: toSwarmId(swarmId),
    complete,
    infoHash: infoHash === undefined ? undefined : toInfoHash(infoHash),
  };
}
