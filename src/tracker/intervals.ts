import type { ActivityTimes } from './peer-store.ts';

/** How often peers announce, in milliseconds. */
export interface AnnounceIntervals {
  /** While they download, and always for origins. */
  readonly activeMs: number;
  /** For agents that only have complete blobs that nobody asks for, and for foreign clients. */
  readonly idleMs: number;
}

/** A peer that stays away for this many of its intervals is dropped: it may miss one announce, and be late with another. */
const INTERVALS_TO_LIVE = 2.5;

/** A host that only seeds announces more rarely than one that downloads by this factor. */
const SEEDING_FACTOR = 5;

/** How long a peer stays that was told to come back in `intervalMs`. */
export function timeToLiveMs(intervalMs: number): number {
  return INTERVALS_TO_LIVE * intervalMs;
}

/** {@link timeToLiveMs} for each activity. */
export function timesToLive(intervalsMs: ActivityTimes): ActivityTimes {
  const { downloading, seeding, idle } = intervalsMs;
  return { downloading: timeToLiveMs(downloading), seeding: timeToLiveMs(seeding), idle: timeToLiveMs(idle) };
}

/**
 * When a host announces next, by what it is busy with. One that downloads learns of new peers while it matters. Agents
 * with nothing but complete blobs may be slow: those who want their pieces learn of them when they join, and dial them;
 * but while somebody asks for what they have, one that has died must not be handed out for minutes.
 *
 * Origins are few, and a tracker that has lost its memory has to know them again at once, because new swarms start
 * from them; so they are never slow. An announce without changes names no swarms and costs next to nothing.
 */
export function intervalsFor(
  host: { readonly origin: boolean },
  { activeMs, idleMs }: AnnounceIntervals,
): ActivityTimes {
  if (host.origin) return { downloading: activeMs, seeding: activeMs, idle: activeMs };
  const idle = Math.max(idleMs, activeMs);
  return { downloading: activeMs, seeding: Math.min(idle, SEEDING_FACTOR * activeMs), idle };
}
