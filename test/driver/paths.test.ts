import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { comparePaths, findPathFault, isWithin, joinPath, parentOf } from '../../src/driver/index.ts';

const component = fc.stringMatching(/^[A-Za-z0-9._-]{1,12}$/).filter((name) => name !== '.' && name !== '..');
const path = fc.array(component, { minLength: 1, maxLength: 6 }).map((names) => `/${names.join('/')}`);

describe('findPathFault', () => {
  it.each(['/a', '/...', '/a/.b', '/_', '/-', '/a..b/c', `/${'c'.repeat(255)}`, `/${'c'.repeat(255)}`.repeat(4)])(
    'finds none in %s',
    (valid) => {
      expect(findPathFault(valid)).toBeUndefined();
    },
  );

  it.each([
    ['', 'invalid path'],
    ['/', 'invalid path'],
    ['a', 'invalid path'],
    ['/a/', 'invalid path'],
    ['//a', 'invalid path'],
    ['/a b', 'invalid path'],
    ['/a\n', 'invalid path'],
    ['/ß', 'invalid path'],
    ['/.', 'not a name'],
    ['/a/../b', 'not a name'],
    [`/${'c'.repeat(256)}`, 'component of 256 bytes'],
    [`/${'c'.repeat(255)}`.repeat(4).concat('/'), 'path of 1025 bytes'],
  ])('finds one in %j', (invalid, reason) => {
    expect(findPathFault(invalid)).toContain(reason);
  });

  it('finds none in any path that is joined from names', () => {
    fc.assert(fc.property(path, (valid) => findPathFault(valid) === undefined));
  });

  it('lets no text through that would resolve to another path', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('/', '.', 'a', '\0', '\n', '\\', 'é', '%') }), (text) => {
        if (findPathFault(text) !== undefined) return;
        expect(new URL(text, 'file:///').pathname).toBe(text);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('comparePaths', () => {
  it('orders by components, whatever characters sort before a slash', () => {
    const ordered = ['/', '/a', '/a/b', '/a/b/c', '/a/c', '/a-', '/a-b/a', '/a.', '/aa', '/b'];
    expect(ordered.toReversed().sort(comparePaths)).toEqual(ordered);
  });

  it('agrees with comparing component by component', () => {
    const byComponents = (left: string, right: string): number => {
      const [lefts, rights] = [left.slice(1).split('/'), right.slice(1).split('/')];
      for (let index = 0; index < Math.min(lefts.length, rights.length); index++) {
        const order = Buffer.compare(Buffer.from(lefts[index] ?? ''), Buffer.from(rights[index] ?? ''));
        if (order !== 0) return order;
      }
      return lefts.length - rights.length;
    };
    fc.assert(
      fc.property(path, path, (left, right) => {
        expect(Math.sign(comparePaths(left, right))).toBe(Math.sign(byComponents(left, right)));
      }),
    );
  });
});

describe('isWithin, joinPath and parentOf', () => {
  it.each([
    ['/a', '/a', true],
    ['/a/b', '/a', true],
    ['/a', '/', true],
    ['/', '/', true],
    ['/ab', '/a', false],
    ['/a', '/a/b', false],
    ['/', '/a', false],
  ])('%s within %s: %s', (inner, outer, expected) => {
    expect(isWithin(inner, outer)).toBe(expected);
  });

  it('join and part again', () => {
    fc.assert(
      fc.property(fc.oneof(path, fc.constant('/')), component, (directory, name) => {
        const child = joinPath(directory, name);
        expect(parentOf(child)).toBe(directory);
        expect(isWithin(child, directory)).toBe(true);
        expect(findPathFault(child)).toBeUndefined();
      }),
    );
  });
});
