import type { HostPull } from './engine.ts';

/** What the process beside each program answers (`host-client.ts`): HTTP from within its namespace. */
export type HostCalls = {
  /** Waits until a program says that it is ready. */
  readonly ready: {
    readonly params: { readonly url: string; readonly timeoutMs: number };
    readonly result: Record<string, never>;
  };
  /** Pushes a file as a blob. */
  readonly push: {
    readonly params: { readonly base: string; readonly repository: string; readonly file: string; digest: string };
    readonly result: Record<string, never>;
  };
  /** Sums of a program's metrics by name, over all labels; 0 for those that it does not have. */
  readonly metrics: {
    readonly params: { readonly url: string; readonly names: readonly string[] };
    readonly result: { readonly [name: string]: number };
  };
  /** Gets a blob at that moment of the machine's monotonic clock, and checks its digest. */
  readonly pull: {
    readonly params: PullParams;
    readonly result: HostPull;
  };
  /** When the agent had synced the blob; waits for it. */
  readonly committed: { readonly params: Record<string, never>; readonly result: { readonly afterMs?: number } };
  /** How far the pull is. */
  readonly progress: { readonly params: Record<string, never>; readonly result: { readonly bytes: number } };
};

export interface PullParams {
  readonly base: string;
  readonly repository: string;
  readonly digest: string;
  readonly token: string;
  readonly atMs: number;
  readonly timeoutMs: number;
  /** Between two looks at how far the agent is. */
  readonly sampleMs: number;
}
