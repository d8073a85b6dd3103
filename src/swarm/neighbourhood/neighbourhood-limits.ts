/** The numbers behind a neighbourhood. */
export interface NeighbourhoodLimits {
  /** Wires that a download tries to have. */
  readonly wanted: number;
  /** Wires at most, of both directions. */
  readonly maxWires: number;
  /** How many of `maxWires`, the last ones, only newcomers get. */
  readonly reserved: number;
  /** A peer with at most so many eighths of the blob is a newcomer. */
  readonly newcomerEighths: number;
  /** Peers asked for in the first announce, and dialled at once. */
  readonly first: number;
  /** The rest is dialled over this time. */
  readonly spreadMs: number;
  /** After this, nobody else seems to dial this host: it dials more than half of its wires itself. */
  readonly settleMs: number;
  /** A wire on which nothing useful went for this long is replaced when there is somebody else to have. */
  readonly uselessMs: number;
  /** A peer that could not be dialled, or closed without use, is left alone for this long, doubled each time. */
  readonly retryMs: number;
  /** A dial that has not ended by then counts as failed. */
  readonly dialTimeoutMs: number;
  /** Peers known but not connected, at most. */
  readonly candidates: number;
}

/** What a download of an agent goes by. */
export const defaultLimits: NeighbourhoodLimits = {
  wanted: 10,
  maxWires: 16,
  reserved: 4,
  newcomerEighths: 2,
  first: 4,
  spreadMs: 2_000,
  settleMs: 1_000,
  uselessMs: 10_000,
  retryMs: 10_000,
  dialTimeoutMs: 10_000,
  candidates: 32,
};
