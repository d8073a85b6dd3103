/** Which repositories a rule speaks of. Made only by {@link findPattern}. */
export interface RepositoryPattern {
  /** Whether there is no repository that it does not match. */
  readonly matchesAll: boolean;
  matches(repository: string): boolean;
}

/** One component of a pattern: a text, or what stands before and behind a star. */
type Component = { readonly text: string } | { readonly before: string; readonly behind: string };

/** What {@link findPattern} takes, for messages. */
export const PATTERN_FORM =
  'components of a repository name joined by "/", each with one "*" at most for any text without a slash; ' +
  '"**" as the last component for one or more components';

/**
 * Reads a pattern; `undefined` when `text` is none.
 *
 * `*` in a component stands for any text in that component: `library/*`, `team-*` + `/app`, and `*` alone for names of one
 * component. `**` as the last component stands for one or more of them: `team/**` is all below `team`, but not `team` itself,
 * and `**` is everything.
 */
export function findPattern(text: string): RepositoryPattern | undefined {
  const words = text.split('/');
  const open = words.at(-1) === '**';
  const components = (open ? words.slice(0, -1) : words).map(findComponent);
  const found = components.filter((component) => component !== undefined);
  if (found.length < components.length) return undefined;
  return {
    matchesAll: open && found.length === 0,
    matches: (repository) => {
      const parts = repository.split('/');
      const fits = open ? parts.length > found.length : parts.length === found.length;
      return fits && found.every((component, index) => matchesPart(component, parts[index] ?? ''));
    },
  };
}

function findComponent(word: string): Component | undefined {
  if (!/^[a-z0-9._*-]+$/.test(word)) return undefined;
  const [before = '', behind, ...more] = word.split('*');
  if (more.length > 0) return undefined;
  return behind === undefined ? { text: before } : { before, behind };
}

function matchesPart(component: Component, part: string): boolean {
  if ('text' in component) return part === component.text;
  const { before, behind } = component;
  return part.length >= before.length + behind.length && part.startsWith(before) && part.endsWith(behind);
}
