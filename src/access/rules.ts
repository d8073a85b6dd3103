import type { Action, Need } from '../registry/index.ts';
import type { AccessRule } from './config.ts';
import { findPattern, PATTERN_FORM, type RepositoryPattern } from './repository-pattern.ts';
import type { Rights } from './rights.ts';

/** Names in rules that are no users: everybody, all who have logged in, all who come with a token. */
export const classNames = { anonymous: 'anonymous', authenticated: 'authenticated', token: 'token' } as const;

/** Whether a user cannot be called so, because rules mean something else by it. */
export function isClassName(name: string): boolean {
  return Object.values<string>(classNames).includes(name);
}

interface Rule {
  readonly callers: ReadonlySet<string>;
  readonly patterns: readonly RepositoryPattern[];
  readonly actions: ReadonlySet<Action>;
  readonly catalog: boolean;
}

/** The rules of a configuration. What none of them grants is denied; no rule takes away what another grants. */
export class Rules {
  readonly #rules: readonly Rule[];
  /** Whether a rule names anybody but `anonymous`: then a token grants no more than the rules grant its holder. */
  readonly nameCallers: boolean;

  /** @param rules without faults: see {@link ruleFaults} */
  constructor(rules: readonly AccessRule[]) {
    this.#rules = rules.map(({ callers, repositories, actions, catalog }) => ({
      callers: new Set(callers),
      patterns: repositories.map(findPattern).filter((pattern) => pattern !== undefined),
      actions: new Set(actions),
      catalog,
    }));
    this.nameCallers = rules.some(({ callers }) => callers.some((name) => name !== classNames.anonymous));
  }

  /** Whether any rule is for one of these names. */
  knows(names: readonly string[]): boolean {
    return this.#rulesFor(names).length > 0;
  }

  /** What somebody may do who goes by all of these names. The entry is not the rules' business: it is granted. */
  rightsOf(names: readonly string[]): Rights {
    const rules = this.#rulesFor(names);
    return {
      may: (need) => need.kind === 'entry' || rules.some((rule) => grants(rule, need)),
      pullsEverything: rules.some(({ actions, patterns }) => {
        return actions.has('pull') && patterns.some(({ matchesAll }) => matchesAll);
      }),
    };
  }

  #rulesFor(names: readonly string[]): Rule[] {
    return this.#rules.filter(({ callers }) => names.some((name) => callers.has(name)));
  }
}

function grants(rule: Rule, need: Exclude<Need, { kind: 'entry' }>): boolean {
  if (need.kind === 'catalog') return rule.catalog;
  return rule.actions.has(need.action) && rule.patterns.some((pattern) => pattern.matches(need.repository));
}

/** What is wrong with rules, each fault with its place. */
export function ruleFaults(rules: readonly AccessRule[]): string[] {
  return rules.flatMap(({ repositories, actions, catalog }, index) => {
    const place = `access.rules[${index}]`;
    const faults = repositories.flatMap((text, position) => {
      if (findPattern(text) !== undefined) return [];
      return [`${place}.repositories[${position}]: "${text}" is no pattern: expected ${PATTERN_FORM}`];
    });
    const grantsNothing = !catalog && (repositories.length === 0 || actions.length === 0);
    const isHalf = repositories.length === 0 ? actions.length > 0 : actions.length === 0;
    if (!grantsNothing && !isHalf) return faults;
    return [...faults, `${place}: grants nothing as it stands: expected repositories with actions, or catalog: true`];
  });
}
