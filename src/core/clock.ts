/** Time, handed in, so that tests and simulations own it. */
export interface Clock {
  /** Milliseconds since some fixed moment; never runs backwards. For durations. */
  monotonicMs(): number;
  /** Milliseconds since 1970. For what is shown or stored. */
  nowMs(): number;
}

/** The machine's own clock. */
export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  nowMs: () => Date.now(),
};
