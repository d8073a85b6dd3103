/** How often peers announce, in milliseconds. */
export interface AnnounceIntervals {
  /** While they download, and always for origins. */
  readonly activeMs: number;
  /** For agents that only have complete blobs, and for foreign clients. */
  readonly idleMs: number;
}

/** A peer that stays away for this many of its intervals is dropped: it may miss one announce, and be late with another. */
const INTERVALS_TO_LIVE = 2.5;

/** How long a peer stays that was told to come back in `intervalMs`. */
export function timeToLiveMs(intervalMs: number): number {
  return INTERVALS_TO_LIVE * intervalMs;
}

/**
 * When a host announces next, decided by its own report alone. An agent with nothing but complete blobs may be slow: those
 * who want its pieces learn of it when they join, and dial it. Origins are few, and a tracker that has lost its memory
 * has to know them again at once, because new swarms start from them; so they are never slow.
 */
export function intervalFor(
  host: { readonly origin: boolean },
  stays: readonly { readonly complete: boolean }[],
  intervals: AnnounceIntervals,
): number {
  const idle = !host.origin && stays.every((swarm) => swarm.complete);
  return idle ? Math.max(intervals.idleMs, intervals.activeMs) : intervals.activeMs;
}
