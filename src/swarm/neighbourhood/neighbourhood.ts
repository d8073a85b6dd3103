import { AskPlan } from './ask-plan.ts';
import { DIAL, DROP, NeighbourCommands, TURN_AWAY } from './neighbour-commands.ts';
import { Candidates, Wires } from './neighbour-tables.ts';
import { defaultLimits, type NeighbourhoodLimits } from './neighbourhood-limits.ts';
import { slotForNewcomer, slotsToName, uselessSlot } from './slot-choice.ts';

export { DIAL, DROP, TURN_AWAY } from './neighbour-commands.ts';
export type { NeighbourhoodLimits } from './neighbourhood-limits.ts';

/** Answers of {@link Neighbourhood.accept}; any number from 0 up is the slot whose wire has to make room. */
export const TAKE = -1;
/** There is no room: name others to the peer, then close. */
export const FULL = -2;
/** Nothing to say to it: it is banned, has a wire already, or neither side has anything for the other. */
export const REFUSE = -3;

/** Completeness of a peer of which nothing is known. */
export const UNKNOWN_EIGHTHS = 0;
const COMPLETE = 8;

/** Fewer wires than this are too few, whoever was to dial. */
const MIN_WIRES = 4;
/** An agent dials so many origins; others only when there is nobody else. */
const WANTED_ORIGINS = 2;
/** Between two dials when all peers of the swarm are known: it is a small one, no crowd. */
const QUICK_DIAL_MS = 40;
/** Useless wires are replaced one at a time. */
const REPLACE_MS = 1_000;
/** A peer's first word of what it has comes within this time. */
const FIRST_WORD_MS = 5_000;
const MAX_RETRY_MS = 300_000;
/** Banned peers that are remembered. */
const MAX_BANNED = 1_024;

/**
 * Whom one host dials, takes, turns away and drops for one blob, so that all hosts together form a random graph of bounded
 * degree. Pure: peers are numbers of the caller's choice, wires are small slot numbers that the caller reuses after
 * {@link wireClosed}; time and randomness are handed in, commands come out. Production and simulator run the same code.
 *
 * - A download dials four peers at once, those with pieces first, and the rest over two seconds. It dials about half of its
 *   wires itself, since others dial it; in a small swarm, all of whose peers it knows, and when nobody dials it, it dials more.
 * - Up to `maxWires` are taken, the last four of them only from newcomers, so that a newcomer always finds somebody.
 * - Who is not taken gets the names of others ({@link nameNeighbours}).
 * - A wire on which nothing useful went for ten seconds makes room when there is somebody else; one between two complete
 *   peers is dropped at once. The last wire to an origin stays.
 * - A host that is complete dials nobody; an origin is one that is complete and has more wires.
 *
 * Call {@link advance} before events, {@link tick} every 50 to 200 ms, and carry `commands` out after every call of
 * {@link answered}, {@link tick}, {@link wireHas} and {@link became}.
 */
export class Neighbourhood {
  readonly commands = new NeighbourCommands();
  /** Numbers of peers that are forgotten since the caller looked (and emptied it): their addresses may go. */
  readonly forgotten: number[] = [];
  readonly #limits: NeighbourhoodLimits;
  readonly #random: () => number;
  readonly #candidates: Candidates;
  readonly #wires = new Wires();
  readonly #banned = new Set<number>();
  #nowMs: number;
  readonly #startedAtMs: number;
  #eighths = 0;
  #dialling = 0;
  #burst: number;
  #nextDialAtMs = 0;
  readonly #asks: AskPlan;
  #nextReplaceAtMs = 0;

  constructor(options: { random: () => number; nowMs: number; limits?: Partial<NeighbourhoodLimits> }) {
    this.#limits = { ...defaultLimits, ...options.limits };
    this.#random = options.random;
    this.#nowMs = options.nowMs;
    this.#startedAtMs = options.nowMs;
    this.#burst = this.#limits.first;
    this.#asks = new AskPlan(this.#limits, options.random);
    this.#candidates = new Candidates(this.#limits.candidates);
  }

  /** Open wires. */
  get wires(): number {
    return this.#wires.count;
  }

  /** Dials under way. */
  get dialling(): number {
    return this.#dialling;
  }

  /** What time it is, in ms; never goes back. */
  advance(nowMs: number): void {
    this.#nowMs = nowMs;
  }

  /** How many eighths of the blob this host has, rounded down: 8 is all of it. */
  became(eighths: number): void {
    const before = this.#eighths;
    this.#eighths = eighths;
    if (eighths < COMPLETE || before === COMPLETE) return;
    for (let slot = 0; slot < this.#wires.slots; slot++) this.#dropIfBothComplete(slot);
  }

  /** Somebody (the tracker, or a peer that is full) names a peer. Nothing is dialled before {@link answered} or {@link tick}. */
  offered(peer: number, eighths: number, origin: boolean): void {
    if (this.#banned.has(peer)) return;
    const slot = this.#wires.slotOf(peer);
    if (slot >= 0) return;
    const index = this.#candidates.indexOf(peer);
    if (index >= 0) this.#candidates.update(index, eighths, origin);
    else this.#remember(peer, eighths, origin, this.#nowMs);
  }

  /** How many peers an announce that goes out now has to ask for; 0 only reports. It asks ever more rarely. */
  want(): number {
    if (this.#passive) return 0;
    const ready = this.#readyCandidates();
    const missing = this.#limits.wanted - this.#degree - ready;
    // One of no use is replaced by one that is wanted for it.
    const replaced = ready === 0 && this.#uselessSlot() >= 0 ? 1 : 0;
    return this.#asks.want(Math.max(missing, replaced), this.#nowMs);
  }

  /** Whether an announce is due now, before its usual time, because peers are missing. */
  get hungry(): boolean {
    return this.want() > 0 && this.#degree < this.#goal();
  }

  /** An announce goes out that asks for `want` peers. */
  announced(want: number): void {
    this.#asks.announced(want, { lonely: this.#wires.count === 0, nowMs: this.#nowMs });
  }

  /** The tracker's answer is through: its `count` peers have been {@link offered}. */
  answered(count: number): void {
    this.#asks.answered(count);
    this.#dialDue();
  }

  /** A dial of ours ended without a wire: refused, timed out, or the peer closed before its handshake. */
  dialFailed(peer: number): void {
    const index = this.#candidates.indexOf(peer);
    if (index < 0 || !this.#candidates.isDialling(index)) return;
    this.#dialling--;
    this.#candidates.setFailed(index, this.#nowMs + this.#retryAfter(this.#candidates.failures(index)));
    // Whoever was to be among the first has to be replaced at once.
    if (this.#wires.count + this.#dialling < this.#limits.first) this.#burst = 1;
  }

  /** It sent wrong bytes: it is never dialled or taken again. The caller closes its wire. */
  ban(peer: number): void {
    if (this.#banned.size < MAX_BANNED) this.#banned.add(peer);
    this.#forget(this.#candidates.indexOf(peer));
  }

  /**
   * Whether a wire that has shaken hands is taken. Asked for each, dialled or not; a wire that is there already to the same
   * peer is the caller's to settle first ({@link keepsNewWire}).
   * @returns {@link TAKE}, {@link FULL}, {@link REFUSE}, or the slot of a wire that is to be turned away first
   */
  accept(peer: number, outgoing: boolean): number {
    if (this.#banned.has(peer) || this.#wires.slotOf(peer) >= 0) return REFUSE;
    const index = this.#candidates.indexOf(peer);
    const eighths = index < 0 ? UNKNOWN_EIGHTHS : this.#candidates.eighths(index);
    if (eighths === COMPLETE && this.#eighths === COMPLETE) return REFUSE;
    const { maxWires, reserved, newcomerEighths } = this.#limits;
    if (outgoing) return this.#wires.count < maxWires ? TAKE : REFUSE;
    const newcomer = eighths <= newcomerEighths;
    if (this.#wires.count < (newcomer ? maxWires : maxWires - reserved)) return TAKE;
    const useless = this.#uselessSlot();
    if (useless >= 0) return useless;
    if (!newcomer) return FULL;
    const slot = slotForNewcomer(this.#wires, this.#limits, this.#nowMs);
    return slot >= 0 ? slot : FULL;
  }

  /** A wire that was taken is open now, in a slot that no other wire has. */
  wireOpened(slot: number, peer: number, options: { outgoing: boolean; origin: boolean }): void {
    const index = this.#candidates.indexOf(peer);
    if (index >= 0) {
      if (this.#candidates.isDialling(index)) this.#dialling--;
      this.#candidates.removeAt(index);
    }
    this.#wires.open(slot, peer, { ...options, nowMs: this.#nowMs });
  }

  /** How many eighths of the blob the peer has. Once after its bitfield, and as it grows. */
  wireHas(slot: number, eighths: number): void {
    if (!this.#wires.isOpen(slot)) return;
    const first = this.#wires.eighths(slot) === 0 && this.#nowMs - this.#wires.openedAtMs(slot) < FIRST_WORD_MS;
    this.#wires.setEighths(slot, eighths);
    if (this.#dropIfBothComplete(slot)) return;
    const { maxWires, reserved, newcomerEighths } = this.#limits;
    const takesReserved = this.#wires.count > maxWires - reserved && eighths > newcomerEighths;
    // Only now is it known that this one is no newcomer.
    if (first && takesReserved && !this.#wires.isOutgoing(slot) && !this.#wires.wasUseful(slot)) {
      this.commands.push(TURN_AWAY, slot);
    }
  }

  /** A piece, or part of one, was received from or sent to this wire's peer. */
  exchanged(slot: number): void {
    this.#wires.setUseful(slot, this.#nowMs);
  }

  /** The wire is gone, whoever closed it; its slot may be used again. `dialable`: the peer's address is known. */
  wireClosed(slot: number, dialable: boolean): void {
    if (!this.#wires.isOpen(slot)) return;
    const peer = this.#wires.peer(slot);
    const [eighths, origin] = [this.#wires.eighths(slot), this.#wires.isOrigin(slot)];
    const wasUseful = this.#wires.wasUseful(slot);
    this.#wires.close(slot);
    if (!dialable || this.#banned.has(peer)) {
      this.forgotten.push(peer);
      return;
    }
    const waitMs = wasUseful ? this.#jittered(1_000) : this.#retryAfter(0);
    this.#remember(peer, eighths, origin, this.#nowMs + waitMs);
    if (this.#wires.count + this.#dialling < MIN_WIRES) {
      this.#burst = 1;
      this.#asks.hurry(this.#nowMs);
    }
  }

  /** Dials what is due, and replaces what is of no use. */
  tick(): void {
    for (let index = this.#candidates.count - 1; index >= 0; index--) {
      const since = this.#nowMs - this.#candidates.atMs(index);
      if (!this.#candidates.isDialling(index) || since < this.#limits.dialTimeoutMs) continue;
      this.dialFailed(this.#candidates.peer(index));
    }
    this.#dialDue();
    this.#replaceUseless();
  }

  /**
   * Slots of up to `most` neighbours to name to a peer that is turned away: those with pieces first, no origins.
   * `except` is the peer's own number.
   */
  nameNeighbours(most: number, except: number): number[] {
    return slotsToName(this.#wires, { most, except, random: this.#random });
  }

  get #passive(): boolean {
    return this.#eighths === COMPLETE;
  }

  get #degree(): number {
    return this.#wires.count + this.#dialling;
  }

  /** Wires that dialling may bring this host to, now. */
  #goal(): number {
    const { wanted, settleMs } = this.#limits;
    const outgoing = this.#wires.outgoingCount + this.#dialling;
    if (this.#asks.knowsAll || outgoing < Math.ceil(wanted / 2)) return wanted;
    const settled = this.#nowMs - this.#startedAtMs >= settleMs;
    // A host with fewer wires than others gets less of every busy uplink, and falls behind.
    return settled ? wanted : Math.min(wanted, MIN_WIRES);
  }

  #dialDue(): void {
    if (this.#passive) return;
    while (this.#degree < this.#goal() && (this.#burst > 0 || this.#nowMs >= this.#nextDialAtMs)) {
      const index = this.#bestCandidate();
      if (index < 0) return;
      this.#candidates.setDialling(index, this.#nowMs);
      this.#dialling++;
      this.commands.push(DIAL, this.#candidates.peer(index));
      if (this.#burst > 0) this.#burst--;
      const { spreadMs, wanted, first } = this.#limits;
      const pace = this.#asks.knowsAll ? QUICK_DIAL_MS : spreadMs / Math.max(1, wanted - first);
      this.#nextDialAtMs = this.#nowMs + this.#jittered(pace);
    }
  }

  /** Origins first, up to two; then, in the first moment, peers with pieces; then anybody, at random. */
  #bestCandidate(): number {
    let best = -1;
    let bestRank = -1;
    const origins = this.#originsOfMine();
    for (let index = 0; index < this.#candidates.count; index++) {
      if (!this.#candidates.isReady(index, this.#nowMs)) continue;
      const rank = this.#rank(index, origins) + this.#random();
      if (rank <= bestRank) continue;
      best = index;
      bestRank = rank;
    }
    return best;
  }

  #rank(index: number, origins: number): number {
    // One that failed before comes after those that did not.
    if (this.#candidates.failures(index) > 0) return 0;
    if (this.#candidates.isOrigin(index)) return origins < WANTED_ORIGINS ? 4 : 1;
    return this.#burst > 0 && this.#candidates.eighths(index) > 0 ? 3 : 2;
  }

  #originsOfMine(): number {
    let origins = this.#wires.originCount;
    for (let index = 0; index < this.#candidates.count; index++) {
      if (this.#candidates.isDialling(index) && this.#candidates.isOrigin(index)) origins++;
    }
    return origins;
  }

  #replaceUseless(): void {
    if (this.#passive || this.#nowMs < this.#nextReplaceAtMs || this.#degree < this.#goal()) return;
    if (this.#freshCandidate() < 0) return;
    const slot = this.#uselessSlot();
    if (slot < 0) return;
    this.#nextReplaceAtMs = this.#nowMs + REPLACE_MS;
    this.commands.push(DROP, slot);
  }

  #uselessSlot(): number {
    return uselessSlot(this.#wires, this.#nowMs - this.#limits.uselessMs);
  }

  #dropIfBothComplete(slot: number): boolean {
    const both = this.#passive && this.#wires.isOpen(slot) && this.#wires.eighths(slot) === COMPLETE;
    if (both) this.commands.push(DROP, slot);
    return both;
  }

  #readyCandidates(): number {
    let ready = 0;
    for (let index = 0; index < this.#candidates.count; index++) {
      if (this.#candidates.isReady(index, this.#nowMs)) ready++;
    }
    return ready;
  }

  #freshCandidate(): number {
    for (let index = 0; index < this.#candidates.count; index++) {
      if (this.#candidates.isReady(index, this.#nowMs) && this.#candidates.failures(index) === 0) return index;
    }
    return -1;
  }

  /** Keeps a peer for a dial; the one whose turn would come last makes room. */
  #remember(peer: number, eighths: number, origin: boolean, readyAtMs: number): void {
    if (this.#candidates.full) this.#forget(this.#leastWanted());
    if (this.#candidates.full) this.forgotten.push(peer);
    else this.#candidates.add(peer, eighths, origin, readyAtMs);
  }

  #leastWanted(): number {
    let found = -1;
    for (let index = 0; index < this.#candidates.count; index++) {
      if (this.#candidates.isDialling(index)) continue;
      if (found < 0 || this.#candidates.atMs(index) > this.#candidates.atMs(found)) found = index;
    }
    return found;
  }

  #forget(index: number): void {
    if (index < 0) return;
    if (this.#candidates.isDialling(index)) this.#dialling--;
    this.forgotten.push(this.#candidates.peer(index));
    this.#candidates.removeAt(index);
  }

  #retryAfter(failures: number): number {
    return this.#jittered(Math.min(this.#limits.retryMs * 2 ** failures, MAX_RETRY_MS));
  }

  /** Between half of it and one and a half. */
  #jittered(ms: number): number {
    return ms * (0.5 + this.#random());
  }
}

/**
 * Whether a second wire to the same peer takes the place of the first: when both ends dialled there are two, and both ends
 * keep the one that the lower peer id dialled. A second one of the same direction never does.
 */
export function keepsNewWire(options: {
  selfId: string;
  peerId: string;
  newIsOutgoing: boolean;
  oldIsOutgoing: boolean;
}): boolean {
  const weDial = options.selfId < options.peerId;
  return options.newIsOutgoing === weDial && options.oldIsOutgoing !== options.newIsOutgoing;
}
