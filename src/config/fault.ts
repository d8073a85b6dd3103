import { ConfigError } from '../core/index.ts';

/** One thing that is wrong in a configuration. */
export interface ConfigFault {
  /** Where it was written: `agent.yaml:3:5`, `environment variable SHOAL_LISTEN__PORT` or `option --port`. */
  readonly place: string;
  /** The dotted path of the setting; empty for the document itself. */
  readonly path: string;
  /** What was expected and what was found. */
  readonly problem: string;
}

/** One fault on one line. */
export function formatFault({ place, path, problem }: ConfigFault): string {
  return path === '' ? `${place}: ${problem}` : `${place}: ${path}: ${problem}`;
}

/** All faults as one error: a fault a line, in the order that they were found in. */
export function faultsError(faults: readonly ConfigFault[]): ConfigError {
  const lines = faults.map(formatFault);
  return new ConfigError(lines.join('\n'), { faults: lines });
}

/**
 * The one of `known` that a person who typed `given` most likely meant; `undefined` when none is near.
 * Near is at most two edits, and less than half of the word; case and underscores count as nothing.
 */
export function closestName(given: string, known: readonly string[]): string | undefined {
  const wanted = squash(given);
  let best: { name: string; distance: number } | undefined;
  for (const name of known) {
    const distance = editDistance(wanted, squash(name));
    if (best === undefined || distance < best.distance) best = { name, distance };
  }
  if (best === undefined) return undefined;
  return best.distance <= Math.min(2, Math.floor(wanted.length / 2)) ? best.name : undefined;
}

/** A name without what people vary in it: case, underscores and dashes. */
export function squash(name: string): string {
  return name.toLowerCase().replaceAll(/[_-]/g, '');
}

/** Edits between two words: insert, delete, replace, or swap two neighbours (optimal string alignment). */
function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replace = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const swap = swapped ? (before[j - 2] ?? 0) + 1 : replace;
      next.push(Math.min(replace, swap, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    before = row;
    row = next;
  }
  return row[b.length] ?? 0;
}
