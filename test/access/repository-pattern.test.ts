import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { findPattern } from '../../src/access/repository-pattern.ts';

describe('findPattern', () => {
  it.each([
    ['library/alpine', ['library/alpine'], ['library', 'library/alpine/x', 'library/alpin', 'xlibrary/alpine']],
    ['library/*', ['library/alpine', 'library/a.b'], ['library', 'library/a/b', 'other/a', 'library2/a']],
    ['*', ['alpine'], ['library/alpine']],
    ['*/app', ['team/app'], ['app', 'a/b/app', 'team/app2']],
    ['team-*/app', ['team-a/app', 'team-b.c/app'], ['team/app', 'team-a/b/app', 'xteam-a/app']],
    ['*-cache', ['build-cache'], ['cache', 'build-cache/x', 'build-caches']],
    ['a*a', ['aa', 'a1a'], ['a', 'ab']],
    ['team/**', ['team/a', 'team/a/b/c'], ['team', 'teams/a', 'x/team/a']],
    ['*/ci/**', ['team/ci/a', 'team/ci/a/b'], ['team/ci', 'ci/a', 'a/b/ci/c']],
    ['**', ['a', 'a/b', 'a/b/c/d'], []],
  ])('matches by %s', (text, matching, others) => {
    const pattern = findPattern(text);
    expect(matching.filter((name) => !pattern?.matches(name))).toEqual([]);
    expect(others.filter((name) => pattern?.matches(name))).toEqual([]);
  });

  it.each([
    '',
    '/',
    'a/',
    '/a',
    'a//b',
    '**/a',
    'a/**/b',
    'a**',
    '***',
    'a*b*c',
    'A',
    'a b',
    'a?',
    'a/[b]',
    '"',
    'a\n',
  ])('takes no %j', (text) => {
    expect(findPattern(text)).toBeUndefined();
  });

  it('says that it matches everything only when it does', () => {
    expect(findPattern('**')?.matchesAll).toBe(true);
    for (const text of ['*', 'a/**', '*/**', 'a']) expect(findPattern(text)?.matchesAll, text).toBe(false);
  });

  it('decides as the regular expression that it stands for', () => {
    const part = fc.stringMatching(/^[ab.-]{1,3}$/);
    const word = fc.oneof(
      part,
      fc.tuple(fc.stringMatching(/^[ab]{0,2}$/), fc.stringMatching(/^[ab]{0,2}$/)).map((sides) => sides.join('*')),
    );
    const pattern = fc
      .tuple(fc.array(word, { maxLength: 3 }), fc.boolean())
      .map(([words, open]) => [...words, ...(open ? ['**'] : [])].join('/'))
      .filter((text) => text !== '');
    const name = fc.array(part, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'));
    fc.assert(
      fc.property(pattern, name, (text, repository) => {
        const source = text
          .replaceAll('.', '\\.')
          .replaceAll('**', '\0')
          .replaceAll('*', '[^/]*')
          .replaceAll('\0', '.+');
        expect(findPattern(text)?.matches(repository)).toBe(new RegExp(`^${source}$`).test(repository));
      }),
      { numRuns: 3000 },
    );
  });
});
