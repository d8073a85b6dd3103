import type { Peer, PeerAddress, PeerId } from '../core/index.ts';
import type { Candidates, SampleSizes } from './peer-store.ts';
import { type Random, shuffled } from './random-sample.ts';

/** The most peers that one swarm's answer has, whatever is asked. */
export const MAX_PEERS_PER_SWARM = 50;

/** So many origins come before everything else, so that a new swarm starts at once and one of them may be down. */
export const GUARANTEED_ORIGINS = 2;

/** Who asks for peers. */
export interface Asker extends PeerAddress {
  readonly id: PeerId;
  readonly complete: boolean;
}

/** How many peers of each kind {@link handOut} can make use of. */
export function sampleSizesFor(asker: Asker, want: number): SampleSizes {
  const most = Math.min(want, MAX_PEERS_PER_SWARM);
  if (most <= 0) return { origins: 0, complete: 0, incomplete: 0 };
  // More than wanted, because the asker itself and perhaps a former run of it are among the candidates.
  const drawn = most + 2;
  return { origins: drawn, complete: asker.complete ? 0 : drawn, incomplete: drawn };
}

/**
 * Chooses the peers that an asker gets: at most `want`, none twice, never the asker itself (nor a former run of it, which
 * has another id on the same address).
 *
 * - One that is complete gets only incomplete ones: there is nothing else that it could do for anybody.
 * - One that is not gets up to two origins first, then complete and incomplete agents mixed, about half of each where
 *   there are enough (in a swarm where nearly all are complete, the few who are not still have to find each other), and
 *   further origins only when there are not enough agents: origins are few, and the swarm exists to spare them.
 *
 * Pure: all randomness is handed in.
 */
export function handOut(request: { candidates: Candidates; asker: Asker; want: number; random: Random }): Peer[] {
  const { candidates, asker, random } = request;
  const most = Math.max(0, Math.min(request.want, MAX_PEERS_PER_SWARM));
  const origins = shuffled(candidates.origins, random);
  const agents = shuffled([...candidates.complete, ...candidates.incomplete], random);
  const chosen: Peer[] = [];
  const takeFrom = (peers: readonly Peer[], until: number) => {
    for (const peer of peers) {
      if (chosen.length >= until) return;
      if (isUseful(peer, asker) && !chosen.some((other) => isAt(other, peer))) chosen.push(peer);
    }
  };
  takeFrom(origins, Math.min(GUARANTEED_ORIGINS, most));
  takeFrom(agents, most);
  takeFrom(origins, most);
  return chosen;
}

function isUseful(peer: Peer, asker: Asker): boolean {
  if (asker.complete && peer.complete) return false;
  return peer.id !== asker.id && !isAt(peer, asker);
}

/** By address: a process that started again on the same port leaves its former id behind until that expires. */
function isAt(peer: PeerAddress, other: PeerAddress): boolean {
  return peer.port === other.port && peer.host === other.host;
}
