import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  findReference,
  findRepository,
  findTag,
  formatReference,
  InvalidDigestError,
  InvalidRepositoryError,
  InvalidTagError,
  parseReference,
  parseRepository,
  parseTag,
} from '../../src/core/index.ts';
import { anyDigest, anyRepository, anyTag } from './arbitraries.ts';

/** The cases of distribution's `reference/regexp_test.go` and `reference_test.go` that concern the name without a host. */
const repositories = [
  'a',
  '0',
  'foo',
  'library/alpine',
  'short',
  'simple/name',
  'aa/aa/bb/bb/cc/cc',
  'aa/aa/aa/aa/aa/aa/aa/aa/aa/bb/bb/bb/bb/bb/bb',
  'foo.com/bar',
  'xn--n3h.com/myimage',
  'blog.foo.com/bar/baz',
  'foo_bar',
  'foo__bar',
  'foo-bar',
  'foo--bar',
  'foo------bar',
  'foo.bar',
  'foo_bar.com',
  'a.a_a__a-a--a/b',
  'docker/docker',
  '1.2.3.4/a',
  'a'.repeat(255),
  `${'a/'.repeat(127)}a`,
];

const notRepositories = [
  '',
  '/',
  'A',
  'Foo/bar',
  'foo/Bar',
  'asdf$$^/aa',
  '/foo',
  'foo/',
  'foo//bar',
  'foo bar',
  '-foo',
  'foo-',
  'foo_',
  '_foo',
  '.foo',
  'foo.',
  'foo..bar',
  'foo___bar',
  'foo._bar',
  'foo-_bar',
  'foo.-bar',
  'foo/_bar',
  'foo/-/bar',
  'a/../b',
  '..',
  '.',
  'foo:tag',
  'localhost:5000/foo',
  `foo@sha256:${'0'.repeat(64)}`,
  'foo\n',
  '\nfoo',
  'foo\0',
  'ä',
  'ｆoo',
  'foo%2fbar',
  'foo\\bar',
  'a'.repeat(256),
  `${'a/'.repeat(127)}ab`,
];

const tags = ['latest', 'v1.0', '_', '__', 'A', '0', 'V.x_y-z', '1-', '1.', 'a..b', 'current', 'a'.repeat(128)];
const notTags = ['', '.a', '-a', 'a/b', 'a:b', 'a b', 'a\n', 'ä', 'a+b', '..', 'a'.repeat(129), 'a\0', '@'];

describe('repository names', () => {
  it.each(repositories)('%s is one', (text) => {
    expect(findRepository(text)).toBe(text);
    expect(parseRepository(text)).toBe(text);
  });

  it.each(notRepositories)('%j is none', (text) => {
    expect(findRepository(text)).toBeUndefined();
    expect(() => parseRepository(text)).toThrow(InvalidRepositoryError);
  });

  it('are told apart in linear time', () => {
    const hostile = [`${'a'.repeat(254)}!`, `${'a-'.repeat(127)}`, `${'-'.repeat(255)}`, `${'a_'.repeat(100)}_`];
    const started = performance.now();
    for (let round = 0; round < 1_000; round += 1) for (const text of hostile) findRepository(text);
    expect(performance.now() - started).toBeLessThan(2_000);
  });
});

describe('tags', () => {
  it.each(tags)('%s is one', (text) => {
    expect(findTag(text)).toBe(text);
    expect(parseTag(text)).toBe(text);
  });

  it.each(notTags)('%j is none', (text) => {
    expect(findTag(text)).toBeUndefined();
    expect(() => parseTag(text)).toThrow(InvalidTagError);
  });
});

describe('references', () => {
  const anyReference = fc.oneof(
    anyTag.map((tag) => ({ kind: 'tag' as const, tag })),
    anyDigest.map((digest) => ({ kind: 'digest' as const, digest })),
  );

  it('come back from their text as they were', () => {
    fc.assert(
      fc.property(anyReference, (reference) => {
        expect(parseReference(formatReference(reference))).toEqual(reference);
        expect(findReference(formatReference(reference))).toEqual(reference);
      }),
    );
  });

  it('are a digest with a colon and a tag without: the error says which was expected', () => {
    expect(() => parseReference('sha256:abc')).toThrow(InvalidDigestError);
    expect(() => parseReference('a:b')).toThrow(InvalidDigestError);
    expect(() => parseReference('.a')).toThrow(InvalidTagError);
    expect(findReference('sha256:abc')).toBeUndefined();
    expect(findReference('.a')).toBeUndefined();
    expect(findReference('')).toBeUndefined();
  });

  it('are never both: a tag has no colon', () => {
    fc.assert(fc.property(anyTag, anyRepository, (tag, repository) => !`${tag}${repository}`.includes(':')));
  });
});
