import assert from 'node:assert/strict';
import type { Expect } from './test-bench.ts';

/** The assertions of the suite without a test runner. */
export const plainExpect: Expect = (actual, message) => ({
  toBe: (expected) => assert.ok(Object.is(actual, expected), `${message ?? 'a value'} ${comparison(actual, expected)}`),
  toEqual: (expected) => assert.deepEqual(actual, expected, message),
  toBeGreaterThan: (expected) => {
    const isGreater = typeof actual === 'number' && actual > expected;
    assert.ok(isGreater, `${message ?? 'a number'} is ${show(actual)}, expected more than ${expected}`);
  },
  toBeInstanceOf: (ErrorClass) => {
    const got = actual instanceof Error ? `${actual.name}: ${actual.message}` : show(actual);
    assert.ok(actual instanceof ErrorClass, `expected ${ErrorClass.name}, got ${got}${message ? ` (${message})` : ''}`);
  },
});

function comparison(actual: unknown, expected: unknown): string {
  return `is ${show(actual)}, expected ${show(expected)}`;
}

/** Short: the bytes of a large object are of no use to anybody. */
function show(value: unknown): string {
  const text = typeof value === 'string' ? JSON.stringify(value) : String(value);
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}
