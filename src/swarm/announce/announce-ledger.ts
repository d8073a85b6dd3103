import type { SwarmReport } from '../swarm.ts';

/** What one round of announces has to carry. */
export interface Changes {
  /** Whether they are everything, so that the tracker takes the host out of all other swarms. */
  readonly full: boolean;
  readonly swarms: readonly SwarmReport[];
}

/** Sent, but not answered: the tracker may have it or not. */
const UNSURE = -1;

/**
 * What the tracker has been told of this host's swarms, so that it is told no more than what has changed. What was sent
 * without an answer is sent again, also when the swarm is gone by then; so an answer that is lost costs nothing but that.
 *
 * Announces are numbered; the numbers let the tracker pass over one that comes late, and notice that it has missed some
 * (see the tracker's protocol). Pure.
 */
export class AnnounceLedger {
  /** The state of each swarm as the tracker has it: one number, since a host may have a hundred thousand swarms. */
  readonly #told = new Map<string, number>();
  #knowsNothing = true;
  #sequence = 0;
  #answered = 0;

  /**
   * What is to be sent so that the tracker knows these swarms, none named twice, and no others. Swarms that want peers
   * are always among it. Eighths that have changed are, too: they are no reason for an announce, but go along with one.
   */
  changesTo(current: readonly SwarmReport[]): Changes {
    if (this.#knowsNothing) return { full: true, swarms: current };
    let known = 0;
    const swarms: SwarmReport[] = [];
    for (const swarm of current) {
      const told = this.#told.get(swarm.swarmId);
      if (told !== undefined) known++;
      if (told !== stateOf(swarm) || swarm.want > 0) swarms.push(swarm);
    }
    return { full: false, swarms: known === this.#told.size ? swarms : [...this.#gone(current), ...swarms] };
  }

  /** A stop for every swarm that the tracker knows, or may know, and for those given besides. */
  allStopped(current: readonly SwarmReport[]): SwarmReport[] {
    return [...new Set([...this.#told.keys(), ...current.map(({ swarmId }) => swarmId)])].map(stopped);
  }

  /** Gives the next announce its numbers. It is under way from now on. */
  send(swarms: readonly SwarmReport[]): { readonly sequence: number; readonly since: number } {
    for (const { swarmId } of swarms) this.#told.set(swarmId, UNSURE);
    this.#sequence++;
    return { sequence: this.#sequence, since: this.#answered };
  }

  /** The tracker has taken an announce. */
  answered(sequence: number, swarms: readonly SwarmReport[]): void {
    this.#answered = sequence;
    this.#knowsNothing = false;
    for (const swarm of swarms) {
      if (swarm.event === 'stopped') this.#told.delete(swarm.swarmId);
      else this.#told.set(swarm.swarmId, stateOf(swarm));
    }
  }

  /** The tracker does not know how this host stands: everything is to be sent. */
  forget(): void {
    this.#knowsNothing = true;
    this.#told.clear();
  }

  #gone(current: readonly SwarmReport[]): SwarmReport[] {
    const stays = new Set<string>(current.map(({ swarmId }) => swarmId));
    return [...this.#told.keys()].filter((swarmId) => !stays.has(swarmId)).map(stopped);
  }
}

function stateOf({ complete, eighths, infoHash }: SwarmReport): number {
  return eighths + (complete ? 16 : 0) + (infoHash === undefined ? 0 : 32);
}

function stopped(swarmId: string): SwarmReport {
  return { swarmId: swarmId as SwarmReport['swarmId'], event: 'stopped', complete: false, eighths: 0, want: 0 };
}
