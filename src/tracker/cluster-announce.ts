import { Compile } from 'typebox/compile';
import { BadRequestError, type InfoHash, type PeerId, type SwarmId } from '../core/index.ts';
import { type Asker, drawSizesFor, type HandOutPolicy, handOut, MAX_PEERS_PER_SWARM } from './hand-out.ts';
import { type AnnounceIntervals, intervalsFor, timesToLive } from './intervals.ts';
import { isHostAddress, normaliseAddress } from './ip-address.ts';
import type { AnnouncingHost, HostReport, PeerStore, SwarmReport, TrackedPeer } from './peer-store.ts';
import { type AnnounceAnswer, type AnnouncedSwarm, type AnnounceRequest, AnnounceRequestSchema } from './protocol.ts';
import { type Random, shuffled } from './random-sample.ts';

/** What a {@link ClusterAnnouncer} is made of. */
export interface ClusterAnnouncerDeps {
  readonly peerStore: PeerStore;
  readonly random: Random;
  readonly intervals: AnnounceIntervals;
  readonly policy: HandOutPolicy;
}

/** Peers in one answer, all swarms together: some megabytes of JSON. A host that wants more gets some in each answer. */
const MAX_PEERS_PER_ANSWER = 10_000;

const FAULTS_SHOWN = 5;

/** Answers the announces of Shoal's own hosts: what has changed in all swarms of a host in one request. */
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
    const swarms = lastWords(request.swarms);
    const intervalsMs = intervalsFor(host, this.#deps.intervals);
    // Reported before sampling: of two that join at the same moment, one at least learns of the other.
    const outcome = await this.#deps.peerStore.report(host, reportOf(request, swarms), timesToLive(intervalsMs));
    if (outcome === 'unknown') return { intervalMs: intervalsMs.downloading, full: true, swarms: {} };
    // Whoever sent it has been answered on a newer one, and waits for this no more.
    if (outcome === 'late') return { intervalMs: intervalsMs.downloading, swarms: {} };
    return { intervalMs: intervalsMs[outcome], swarms: await this.#peersFor(host, swarms) };
  }

  #checked(body: unknown): AnnounceRequest {
    if (this.#validator.Check(body)) return body;
    const faults = this.#validator.Errors(body).map(({ instancePath, message }) => `${instancePath || '/'} ${message}`);
    const shown = faults.slice(0, FAULTS_SHOWN).join('; ');
    throw new BadRequestError(`the announce is malformed: ${shown}${faults.length > FAULTS_SHOWN ? '; …' : ''}`);
  }

  async #peersFor(host: AnnouncingHost, swarms: readonly AnnouncedSwarm[]): Promise<Record<string, TrackedPeer[]>> {
    const { peerStore, random, policy } = this.#deps;
    const wishes = swarms.filter(({ want, event }) => want > 0 && event !== 'stopped');
    if (wishes.length === 0) return {};
    const asks = limited(wishes, random);
    const askers = askersOf(host, asks);
    const samples = await peerStore.sample(
      asks.map(({ swarmId, want }, index) => {
        const { sizes, zoned } = drawSizesFor(askers[index]!, want, policy);
        return { swarm: swarmId as SwarmId, sizes, zoned };
      }),
    );
    const answer: Record<string, TrackedPeer[]> = {};
    for (let index = 0; index < asks.length; index++) {
      const { swarmId, want } = asks[index]!;
      const [candidates, asker] = [samples[index]!, askers[index]!];
      answer[swarmId] = handOut({ candidates, asker, want, policy, random });
    }
    return answer;
  }
}

/** The last word on a swarm counts, should one be named twice; among such as stay that comes by itself. */
function lastWords(swarms: readonly AnnouncedSwarm[]): readonly AnnouncedSwarm[] {
  if (!swarms.some(({ event }) => event === 'stopped')) return swarms;
  const last = new Map(swarms.map((swarm) => [swarm.swarmId, swarm]));
  return last.size === swarms.length ? swarms : [...last.values()];
}

/** The host as it stands in each of these swarms; mostly it is as far in one as in the one before. */
function askersOf(host: AnnouncingHost, swarms: readonly AnnouncedSwarm[]): Asker[] {
  let last: Asker | undefined;
  return swarms.map((swarm) => {
    const { complete, eighths } = stateOf(swarm);
    if (last?.complete !== complete || last.eighths !== eighths) last = { ...host, complete, eighths };
    return last;
  });
}

/** Cuts the wishes of one request to what one answer may have; who goes short is random, so that no swarm starves. */
function limited(asks: readonly AnnouncedSwarm[], random: Random): readonly AnnouncedSwarm[] {
  let left = MAX_PEERS_PER_ANSWER;
  if (asks.length * MAX_PEERS_PER_SWARM <= left) return asks;
  return shuffled(asks, random).map((ask) => {
    const want = Math.min(ask.want, left);
    left -= want;
    return { ...ask, want };
  });
}

function hostOf(request: AnnounceRequest, remoteAddress: string | undefined): AnnouncingHost {
  const host = normaliseAddress(request.host ?? remoteAddress ?? '');
  if (host === undefined || !isHostAddress(host)) {
    const given = JSON.stringify(request.host ?? remoteAddress ?? null);
    throw new BadRequestError(`/host is ${given}, expected the IP address of a host, such as 10.0.0.7 or fd00::7`);
  }
  const { peerId, port, origin, zone } = request;
  return { id: peerId as PeerId, host, port, origin, zone };
}

/** Ids and hashes are what their types say: the schema has checked them. */
function reportOf(
  { sequence, since = 0, full = false }: AnnounceRequest,
  swarms: readonly AnnouncedSwarm[],
): HostReport {
  const joined: SwarmReport[] = [];
  const left: SwarmId[] = [];
  for (const swarm of swarms) {
    const swarmId = swarm.swarmId as SwarmId;
    if (swarm.event === 'stopped') left.push(swarmId);
    else joined.push({ swarm: swarmId, ...stateOf(swarm), infoHash: swarm.infoHash as InfoHash | undefined });
  }
  return { sequence, since, full, joined, left };
}

/** A peer is complete when it says so: eight eighths of a blob whose digest is still to be checked are none. */
function stateOf({ complete, eighths = 0 }: AnnouncedSwarm): { complete: boolean; eighths: number } {
  return { complete, eighths: complete ? 8 : Math.min(eighths, 7) };
}
