import { defaultSettings, idealSeconds, type SwarmSettings } from './settings.ts';
import type { RunSummary } from './summary.ts';

/** One figure of a run, and how it has to be. */
export interface Goal {
  readonly metric: keyof RunSummary;
  readonly atLeast?: number;
  readonly atMost?: number;
}

/** A named shape of swarm with what it has to show. */
export interface SwarmCase {
  readonly title: string;
  readonly settings: SwarmSettings;
  readonly goals: readonly Goal[];
  /** The case that is run beside this one in every round, because a goal compares with it. */
  readonly baseline?: SwarmSettings;
}

const eight = defaultSettings;
const small = 10 * 2 ** 20;
const fat: SwarmSettings = { ...defaultSettings, hosts: 4, rate: 200e6, sizeBytes: 512 * 2 ** 20 };

/** All named cases, by their names on the command line. */
export const swarmCases: Readonly<Record<string, SwarmCase>> = {
  eight: {
    title: '8 hosts, 50 Mbit/s, 64 MiB, one origin at the same rate, all at once',
    settings: eight,
    goals: [
      { metric: 'slowestShare', atLeast: 0.92 },
      { metric: 'copies', atMost: 1.03 },
    ],
  },
  streaming: {
    title: 'the same, judged by what a client sees that reads from byte 0',
    settings: eight,
    goals: [
      { metric: 'slowestShare', atLeast: 0.9 },
      { metric: 'firstByteMs', atMost: 500 },
      { metric: 'prefixRatio', atLeast: 0.9 },
    ],
  },
  sparse: {
    title: '24 hosts, 20 Mbit/s, degree 10',
    settings: { ...eight, hosts: 24, rate: 20e6, degree: 10 },
    goals: [{ metric: 'slowestShare', atLeast: 0.88 }],
  },
  fat: {
    title: '4 hosts, 200 Mbit/s, 512 MiB',
    settings: fat,
    goals: [{ metric: 'slowestShare', atLeast: 0.9 }],
  },
  fat8: {
    title: '8 hosts, 200 Mbit/s, 512 MiB',
    settings: { ...fat, hosts: 8 },
    goals: [{ metric: 'slowestShare', atLeast: 0.86 }],
  },
  slow: {
    title: '8 hosts, one of them on a link ten times slower: what the others lose',
    settings: { ...eight, slow: { host: 3, rate: 5e6 } },
    goals: [{ metric: 'timeToBaseline', atMost: 1.03 }],
    baseline: eight,
  },
  kill: {
    title: '8 hosts, a third of them killed at half time: how long the rest takes',
    settings: { ...eight, kill: { share: 1 / 3, at: 0.5 } },
    goals: [{ metric: 'timeToBaseline', atMost: 1.15 }],
    baseline: eight,
  },
  arrivals: {
    title: '8 hosts that begin over the whole download',
    settings: { ...eight, arrivalsSeconds: idealSeconds(eight)! },
    goals: [
      { metric: 'slowestShare', atLeast: 0.85 },
      { metric: 'worstPrefixRatio', atLeast: 0.7 },
    ],
  },
  warm10: {
    title: '10 MiB from one warm peer, not shaped: from GET to last byte',
    // What is measured lasts for less time than the compiler takes for one pull.
    settings: { ...eight, hosts: 2, rate: undefined, sizeBytes: small, warm: 1, warmUp: { blobs: 12, bytes: small } },
    goals: [{ metric: 'lastByteMs', atMost: 60 }],
  },
  'two-origins': {
    title: '8 hosts, 50 Mbit/s, 64 MiB, two origins',
    settings: { ...eight, origins: 2 },
    goals: [],
  },
};

/** Whether a figure is as it has to be; `undefined` when it was not measured. */
export function isMet(goal: Goal, measured: number | undefined): boolean | undefined {
  if (measured === undefined) return undefined;
  return (
    measured >= (goal.atLeast ?? Number.NEGATIVE_INFINITY) && measured <= (goal.atMost ?? Number.POSITIVE_INFINITY)
  );
}
