/** What one of several processes used of its share of a limit. */
export interface LimitUse {
  /** Bytes in the last second. */
  readonly usedBytes: number;
  /** Bytes that it might use in a second; 0 for a process that has just begun. */
  readonly shareBytes: number;
}

/** Who uses this much of its share would use more. */
const NEARLY_ALL = 0.9;
/** Room for who uses less. */
const HEADROOM = 1.5;
/** Everybody gets at least this part of an equal share, so that it can show that it wants more. */
const LEAST = 0.25;

/**
 * Divides a limit between processes: who uses less than its share keeps what it uses and half as much again, and the others
 * divide the rest equally. The shares make up the limit, but for rounding.
 *
 * @param limitBytes a second; 0 for no limit, which is then everybody's
 */
export function shareOut(limitBytes: number, uses: readonly LimitUse[]): number[] {
  if (limitBytes === 0) return uses.map(() => 0);
  const equal = limitBytes / uses.length;
  const wanted = uses.map(({ usedBytes, shareBytes }) => {
    const wantsMore = shareBytes > 0 && usedBytes >= NEARLY_ALL * shareBytes;
    return wantsMore ? limitBytes : Math.max(LEAST * equal, Math.min(limitBytes, HEADROOM * usedBytes));
  });
  const shares = new Array<number>(uses.length).fill(0);
  let left = limitBytes;
  const modestFirst = wanted.map((_, index) => index).sort((a, b) => wanted[a]! - wanted[b]!);
  modestFirst.forEach((index, position) => {
    const share = Math.min(wanted[index]!, left / (uses.length - position));
    shares[index] = share;
    left -= share;
  });
  // What nobody wants is everybody's. A share of 0 would be no limit.
  return shares.map((share) => Math.max(1, Math.floor(share + left / uses.length)));
}
