/** What is done to a storage: whole objects, or streams through a writer and a reader. */
export const operations = ['put', 'get', 'write', 'read'] as const;
export type Operation = (typeof operations)[number];

/** What `subject.ts` answers. */
export type SubjectCalls = {
  /** Opens a storage: `plain` is a folder by Node's own calls, everything else a driver by its name. */
  readonly open: {
    readonly params: { readonly name: string; readonly parameters: Readonly<Record<string, unknown>> };
    readonly result: Record<string, never>;
  };
  /** Does an operation on `count` objects of `sizeBytes`, one after the other. Reads need what was put before. */
  readonly run: {
    readonly params: { readonly operation: Operation; readonly sizeBytes: number; readonly count: number };
    readonly result: OperationFigures;
  };
  /** Reads an object of that size and compares its SHA-256 with that of what was written. Rejects when it is another. */
  readonly verify: { readonly params: { readonly sizeBytes: number }; readonly result: Record<string, never> };
  readonly close: { readonly params: Record<string, never>; readonly result: Record<string, never> };
};

/** What operations took together. */
export interface OperationFigures {
  readonly seconds: number;
  /** Of the process that calls the storage, without processes that it has started. */
  readonly cpuSeconds: number;
  /** The most memory that this process had resident meanwhile. */
  readonly peakBytes: number;
}
