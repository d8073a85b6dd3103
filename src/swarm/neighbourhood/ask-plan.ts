import type { NeighbourhoodLimits } from './neighbourhood-limits.ts';

/** When a newcomer asks for the rest, at the earliest and at the latest. */
const SECOND_ASK_MS = [300, 1_000] as const;
/** Between further asks, doubled each time. */
const ASK_MS = 2_000;
const MAX_ASK_MS = 30_000;
/** The same, for whoever has no wire at all. */
const MAX_LONELY_ASK_MS = 4_000;
/** After most wires are gone. */
const LOST_ASK_MS = 500;
/** Dials may fail: so many more are asked for. */
const SPARE = 2;

/** When a neighbourhood asks the tracker for how many peers: few at first, the rest a moment later, then ever more rarely. */
export class AskPlan {
  readonly #limits: NeighbourhoodLimits;
  readonly #random: () => number;
  #asked = 0;
  #asks = 0;
  #nextAtMs = 0;
  #knowsAll = false;

  constructor(limits: NeighbourhoodLimits, random: () => number) {
    this.#limits = limits;
    this.#random = random;
  }

  /** Whether the last answer held fewer peers than were asked for: there are no others, the swarm is small. */
  get knowsAll(): boolean {
    return this.#knowsAll;
  }

  /** How many to ask for now, when `missing` are missing; 0 while it is too early to ask again. */
  want(missing: number, nowMs: number): number {
    const { first, wanted } = this.#limits;
    if (this.#asks === 0) return Math.min(first, wanted);
    return missing > 0 && nowMs >= this.#nextAtMs ? missing + SPARE : 0;
  }

  /** An announce goes out that asks for so many. `lonely`: there is no wire yet, or any more. */
  announced(want: number, options: { lonely: boolean; nowMs: number }): void {
    this.#asked = want;
    if (want === 0) return;
    this.#asks++;
    const { lonely, nowMs } = options;
    const [least, most] = SECOND_ASK_MS;
    const second = least + (most - least) * this.#random();
    const longest = lonely ? MAX_LONELY_ASK_MS : MAX_ASK_MS;
    const further = Math.min(ASK_MS * 2 ** Math.max(0, this.#asks - 2), longest) * (0.5 + this.#random());
    this.#nextAtMs = nowMs + (this.#asks === 1 ? second : further);
  }

  answered(count: number): void {
    if (this.#asked > 0) this.#knowsAll = count < this.#asked;
    this.#asked = 0;
  }

  /** Too few wires are left: ask soon. */
  hurry(nowMs: number): void {
    this.#nextAtMs = Math.min(this.#nextAtMs, nowMs + LOST_ASK_MS * (0.5 + this.#random()));
  }
}
