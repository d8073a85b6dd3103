import { expect } from 'vitest';
import type { RawAnswer } from './raw-connection.ts';

/**
 * What holds for every answer of the API, whatever was asked: it is no failure of the registry, and an error has the form
 * that the specification gives it, so that a client can act on it.
 */
export function expectWellFormed(method: string, { status, headers, body }: RawAnswer): void {
  expect(status).toBeGreaterThanOrEqual(200);
  expect(status).toBeLessThan(500);
  expect(headers.get('docker-distribution-api-version')).toBe('registry/2.0');
  if (status === 405) expect(headers.get('allow')).toMatch(/^[A-Z, ]+$/);
  if (status < 400) return;
  expect(headers.get('content-type')).toMatch(/^application\/json/);
  for (const name of ['etag', 'docker-content-digest', 'cache-control']) expect(headers.get(name)).toBe(undefined);
  if (method === 'HEAD') return;
  const { errors } = JSON.parse(body.toString('utf8')) as { errors: { code: unknown; message: unknown }[] };
  expect(errors.length).toBeGreaterThan(0);
  for (const { code, message } of errors) {
    expect(code).toMatch(/^[A-Z_]+$/);
    expect(code).not.toBe('UNKNOWN');
    expect(message).toMatch(/./);
  }
}
