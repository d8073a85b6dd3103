import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { findPath, formatPath, InvalidRegistryPathError, parsePath } from '../../src/pathparser/index.ts';
import { anyNearPath, anyRegistryPath } from './arbitraries.ts';

/** The same value as both functions see it: the path, or "none". */
function tryParse(text: string): ReturnType<typeof findPath> {
  try {
    return parsePath(text);
  } catch (error) {
    if (error instanceof InvalidRegistryPathError) return undefined;
    throw error;
  }
}

describe('paths of the layout', () => {
  it('come back from their text as they were', () => {
    fc.assert(
      fc.property(anyRegistryPath, (path) => {
        expect(parsePath(formatPath(path))).toEqual(path);
      }),
      { numRuns: 2_000 },
    );
  });

  it('are the only texts that parse: any text gives the typed error or comes back as it was', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.string({ unit: 'binary' }), anyNearPath), (text) => {
        const path = tryParse(text);
        expect(findPath(text)).toEqual(path);
        if (path !== undefined) expect(formatPath(path)).toBe(text);
      }),
      { numRuns: 5_000 },
    );
  });

  it('stay readable or are refused when one character of them changes, never anything else', () => {
    const edits = fc.record({
      at: fc.nat(400),
      text: fc.constantFrom('', '/', '.', '_', 'A', '0', '\0', '//', '/../'),
    });
    fc.assert(
      fc.property(anyRegistryPath, edits, (path, { at, text }) => {
        const whole = formatPath(path);
        const edited = whole.slice(0, at) + text + whole.slice(at + 1);
        const parsed = tryParse(edited);
        if (parsed !== undefined) expect(formatPath(parsed)).toBe(edited);
      }),
      { numRuns: 3_000 },
    );
  });
});
