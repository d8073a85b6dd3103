import { type SwarmCase, swarmCases } from './cases.ts';
import type { SwarmBenchOptions } from './options.ts';
import { checkSettings, defaultSettings, type SwarmSettings } from './settings.ts';

/** A case as it is going to be run. */
export interface PlannedCase extends SwarmCase {
  readonly name: string;
}

/** What a bench runs. */
export interface SwarmPlan {
  readonly cases: readonly PlannedCase[];
  /** Each different setting once, however many cases share it, in the order of one round. */
  readonly settings: readonly SwarmSettings[];
}

/** The cases and settings that the command line asks for. @throws BenchUsageError */
export function planOf(options: SwarmBenchOptions): SwarmPlan {
  const cases: PlannedCase[] = options.cases.map((name) => {
    const known = swarmCases[name]!;
    const over = (settings: SwarmSettings) => ({ ...settings, ...options.settings });
    const baseline = known.baseline === undefined ? {} : { baseline: over(known.baseline) };
    return { ...known, name, settings: over(known.settings), ...baseline };
  });
  if (cases.length === 0) {
    cases.push({
      name: 'custom',
      title: 'as asked for',
      settings: { ...defaultSettings, ...options.settings },
      goals: [],
    });
  }
  const settings = new Map<string, SwarmSettings>();
  for (const planned of cases) {
    for (const used of [planned.baseline, planned.settings]) {
      if (used === undefined) continue;
      checkSettings(used);
      settings.set(settingsKey(used), used);
    }
  }
  return { cases, settings: [...settings.values()] };
}

/** Equal for settings that are equal. */
export function settingsKey(settings: SwarmSettings): string {
  return JSON.stringify(Object.entries(settings).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}
