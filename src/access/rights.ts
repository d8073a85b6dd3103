import type { Caller } from '../registry/index.ts';

/** What somebody may do: a {@link Caller} without a name. */
export type Rights = Omit<Caller, 'name'>;

/** What at least one of them grants. */
export function eitherOf(one: Rights, other: Rights): Rights {
  return {
    may: (need) => one.may(need) || other.may(need),
    pullsEverything: one.pullsEverything || other.pullsEverything,
  };
}

/** What both grant. */
export function bothOf(one: Rights, other: Rights): Rights {
  return {
    may: (need) => one.may(need) && other.may(need),
    pullsEverything: one.pullsEverything && other.pullsEverything,
  };
}
