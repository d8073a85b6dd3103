import type { Wires } from './neighbour-tables.ts';
import type { NeighbourhoodLimits } from './neighbourhood-limits.ts';

/** A wire in use is taken from its peer for a newcomer after this, not before. */
const SETTLED_WIRE_MS = 5_000;

/** The slot of the wire that has been of no use for the longest, if that is long enough; never the last to an origin; or -1. */
export function uselessSlot(wires: Wires, uselessSinceMs: number): number {
  let found = -1;
  let since = uselessSinceMs;
  for (let slot = 0; slot < wires.slots; slot++) {
    if (!wires.isOpen(slot) || wires.usefulAtMs(slot) >= since) continue;
    if (wires.isOrigin(slot) && wires.originCount === 1) continue;
    found = slot;
    since = wires.usefulAtMs(slot);
  }
  return found;
}

/**
 * Whose wire goes so that a newcomer gets one: while too few newcomers have wires, the peer that is furthest, among those
 * that dialled and have been there for a while. @returns its slot, or -1
 */
export function slotForNewcomer(wires: Wires, limits: NeighbourhoodLimits, nowMs: number): number {
  let newcomers = 0;
  let furthest = -1;
  for (let slot = 0; slot < wires.slots; slot++) {
    if (!wires.isOpen(slot)) continue;
    const eighths = wires.eighths(slot);
    if (eighths <= limits.newcomerEighths) newcomers++;
    else if (isSettled(wires, slot, nowMs) && (furthest < 0 || eighths > wires.eighths(furthest))) furthest = slot;
  }
  return newcomers < limits.reserved ? furthest : -1;
}

/** Whether a wire was dialled by its peer, not an origin, long enough ago to have done some good. */
function isSettled(wires: Wires, slot: number, nowMs: number): boolean {
  const age = nowMs - wires.openedAtMs(slot);
  return age >= SETTLED_WIRE_MS && !wires.isOutgoing(slot) && !wires.isOrigin(slot);
}

/** Slots of up to `most` neighbours in random order, those with pieces first; no origins, and not the peer `except`. */
export function slotsToName(wires: Wires, options: { most: number; except: number; random: () => number }): number[] {
  const ranked: { slot: number; rank: number }[] = [];
  for (let slot = 0; slot < wires.slots; slot++) {
    if (!wires.isOpen(slot) || wires.isOrigin(slot) || wires.peer(slot) === options.except) continue;
    ranked.push({ slot, rank: (wires.eighths(slot) > 0 ? 1 : 0) + options.random() });
  }
  ranked.sort((a, b) => b.rank - a.rank);
  return ranked.slice(0, options.most).map(({ slot }) => slot);
}
