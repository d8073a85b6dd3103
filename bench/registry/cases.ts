/** What can be measured. */
export const caseNames = ['blob2k', 'manifest', 'upload', 'download', 'offload', 'slow'] as const;
export type CaseName = (typeof caseNames)[number];

/** The figure that a case is judged by. */
export type Metric = 'requestsPerSecond' | 'megabytesPerSecond' | 'peakMemoryBytes';

/** What Shoal has to reach. */
export type Goal =
  /** Of Shoal's figure to distribution's, in the same round. */
  | { readonly kind: 'ratio'; readonly atLeast: number }
  /** Of Shoal's figure alone. */
  | { readonly kind: 'bytes'; readonly atMost: number };

/** One case, apart from how it is measured. */
export interface CaseFacts {
  readonly title: string;
  readonly metric: Metric;
  readonly goal: Goal;
}

/** Each case with its goal, which holds for every variant of it. */
export const registryCases: Readonly<Record<CaseName, CaseFacts>> = {
  blob2k: {
    title: 'GET of blobs of 2 kB',
    metric: 'requestsPerSecond',
    goal: { kind: 'ratio', atLeast: 5 },
  },
  manifest: {
    title: 'GET of manifests of about 1.5 kB',
    metric: 'requestsPerSecond',
    goal: { kind: 'ratio', atLeast: 5 },
  },
  upload: {
    title: 'upload of one large blob until it is acknowledged',
    metric: 'megabytesPerSecond',
    goal: { kind: 'ratio', atLeast: 1.5 },
  },
  download: {
    title: 'GET of one large blob from the page cache, through Node',
    metric: 'megabytesPerSecond',
    goal: { kind: 'ratio', atLeast: 0.5 },
  },
  offload: {
    title: "the same with Shoal's bytes sent by nginx",
    metric: 'megabytesPerSecond',
    goal: { kind: 'ratio', atLeast: 1 },
  },
  slow: {
    title: 'many slow readers of one large blob',
    metric: 'peakMemoryBytes',
    goal: { kind: 'bytes', atMost: 300e6 },
  },
};
