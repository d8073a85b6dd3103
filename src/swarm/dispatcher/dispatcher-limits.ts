/** Numbers that shape a download. */
export interface DispatcherLimits {
  /** Pieces outstanding on one wire at most, whatever its rate. */
  readonly outstanding: number;
  /** A wire with requests and no byte for this long loses them. */
  readonly silenceMs: number;
  /** A piece that was asked for longer ago than this is not counted on. */
  readonly arrivalMs: number;
  /** Pieces in front of a reader that are fetched in order. */
  readonly urgent: number;
  /** The least window behind a reader, in pieces. */
  readonly windowMin: number;
  /** A wire is slow when its pieces take this many times as long as is usual. */
  readonly slowFactor: number;
  /** With fewer pieces than this on their way, a seeder is asked for what other neighbours own. */
  readonly idle: number;
  /** After about this long a reader's next pieces are asked of a seeder, whoever owns them. */
  readonly readerPatienceMs: number;
  /** A piece has to be on its way this long at least before it is asked for twice. */
  readonly endgamePatienceMs: number;
  /** A peer that refused a piece is not asked for it again within this time. */
  readonly refusalMs: number;
  /** An origin that suggested nothing within this time is taken for one that does not. */
  readonly firstSuggestionMs: number;
  /** An origin that suggested before is asked for other pieces after it had nothing to send for so long. */
  readonly nextSuggestionMs: number;
  /** The share of picks that go to the rarest piece where a reader's window would take the next in order. */
  readonly rareShare: number;
  /** The share of picks that go to the first piece instead of the rarest, so that none is left behind for long. */
  readonly lowestShare: number;
}

/** What is used where nothing else is said. */
export const defaultDispatcherLimits: DispatcherLimits = {
  outstanding: 64,
  silenceMs: 8_000,
  arrivalMs: 2_000,
  urgent: 4,
  windowMin: 64,
  slowFactor: 4,
  idle: 2,
  readerPatienceMs: 700,
  endgamePatienceMs: 300,
  refusalMs: 500,
  firstSuggestionMs: 300,
  nextSuggestionMs: 500,
  rareShare: 0.15,
  lowestShare: 0.125,
};
