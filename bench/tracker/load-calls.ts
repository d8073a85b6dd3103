/** A part of the fleet, and whom it announces to. */
export interface FleetPart {
  /** Hosts and blobs of fleets with different names are different. */
  readonly name: string;
  /** The tracker, on this machine. */
  readonly port: number;
  readonly token: string;
  /** This part is every `of`-th host of the fleet, from number `part` on. */
  readonly part: number;
  readonly of: number;
  readonly hosts: number;
  readonly swarmsPerHost: number;
  /** How many different blobs the whole fleet has. */
  readonly blobs: number;
}

/** What a phase sends. Host number h announces at `startMs + spreadMs · h ÷ hosts`, and again each `everyMs` until the end. */
export interface Phase {
  /** On the machine's monotonic clock. */
  readonly startMs: number;
  readonly spreadMs: number;
  /** 0: once. */
  readonly everyMs: number;
  readonly durationMs: number;
  /** `arrive`: all swarms of the host, four peers wanted in each. `go-on`: changes in some, peers wanted in one. */
  readonly kind: 'arrive' | 'go-on';
  /** How many swarms an announce names when it goes on. */
  readonly changed: number;
}

/** What came of a phase. */
export interface PhaseFigures {
  /** Milliseconds from the moment at which each announce was due to the end of its answer. */
  readonly latenciesMs: number[];
  /** The same from the moment at which it was handed to the socket. */
  readonly answeredInMs: number[];
  /** Answers with another status than 200, and connections that failed. */
  readonly failed: number;
  /** Answers that asked for all swarms. */
  readonly askedForAll: number;
  readonly receivedBytes: number;
  /** When the last answer was there, from the start of the phase. */
  readonly lastMs: number;
  readonly cpuSeconds: number;
}

/** What a load process is asked. */
export type LoadCalls = {
  readonly prepare: { readonly params: FleetPart; readonly result: null };
  readonly run: { readonly params: Phase; readonly result: PhaseFigures };
};
