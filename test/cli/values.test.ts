import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseImageLocation } from '../../src/cli/up/image-location.ts';
import { parseBearerChallenge } from '../../src/cli/up/registry-token.ts';
import { collectParameters, formatSize, parsePort, parseSize } from '../../src/cli/values.ts';

describe('parseSize', () => {
  it.each([
    ['0', 0],
    ['4096', 4096],
    ['8MiB', 8 * 1024 ** 2],
    ['8 mib', 8 * 1024 ** 2],
    ['1.5GB', 1_500_000_000],
    ['1k', 1024],
    ['2G', 2 * 1024 ** 3],
  ])('reads %s', (text, bytes) => expect(parseSize(text)).toBe(bytes));

  it.each(['', 'MiB', '-1', '1e3', '1TiB2', '8 mebi', '1.', '0x10', '1,5GB', '１'])('refuses "%s"', (text) => {
    expect(() => parseSize(text)).toThrow(/expected a size/);
  });

  it('reads whole numbers of bytes back', () => {
    fc.assert(fc.property(fc.nat(), (bytes) => parseSize(String(bytes)) === bytes));
  });
});

describe('formatSize', () => {
  it.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1536, '1.5 KiB'],
    [256 * 1024 ** 2, '256.0 MiB'],
    [1e15, '909.5 TiB'],
  ])('writes %d as %s', (bytes, text) => expect(formatSize(bytes)).toBe(text));
});

describe('parsePort', () => {
  it('reads ports', () => expect(parsePort('65535')).toBe(65535));
  it.each(['', '-1', '65536', '1.5', '1e3', ' 80', 'http'])('refuses "%s"', (text) => {
    expect(() => parsePort(text)).toThrow(/expected a port from 0 to 65535/);
  });
});

describe('collectParameters', () => {
  it('keeps what came before, and everything behind the first =', () => {
    expect(collectParameters('a=b=c', { x: 'y' })).toEqual({ x: 'y', a: 'b=c' });
  });
  it.each(['', 'a', '=b'])('refuses "%s"', (text) => expect(() => collectParameters(text, {})).toThrow(/key=value/));
});

describe('parseImageLocation', () => {
  it.each([
    ['oci:/images/app', { kind: 'oci', folder: '/images/app', tag: undefined }],
    ['oci:app:v1', { kind: 'oci', folder: 'app', tag: 'v1' }],
    [
      'docker://localhost:5000/a/b:v1',
      { kind: 'registry', url: 'http://localhost:5000', repository: 'a/b', reference: 'v1' },
    ],
    [
      'docker://127.0.0.1:5000/a',
      { kind: 'registry', url: 'http://127.0.0.1:5000', repository: 'a', reference: 'latest' },
    ],
    [
      'docker://registry.example/a:v1',
      { kind: 'registry', url: 'https://registry.example', repository: 'a', reference: 'v1' },
    ],
    [
      `docker://registry.example/a@sha256:${'0'.repeat(64)}`,
      { kind: 'registry', url: 'https://registry.example', repository: 'a', reference: `sha256:${'0'.repeat(64)}` },
    ],
    [
      'docker://docker.io/library/alpine:3',
      { kind: 'registry', url: 'https://registry-1.docker.io', repository: 'library/alpine', reference: '3' },
    ],
  ])('reads %s', (text, location) => expect(parseImageLocation(text)).toEqual(location));

  it.each(['', 'alpine', 'oci:', 'docker://', 'docker://host', 'docker:///a', 'docker://host/', 'http://h/a:b'])(
    'refuses "%s"',
    (text) => expect(() => parseImageLocation(text)).toThrow(/expected oci:DIR/),
  );
});

describe('parseBearerChallenge', () => {
  it('reads quoted and plain fields', () => {
    const challenge = 'Bearer realm="https://auth.example/token",service=registry,scope="repository:a/b:pull,push"';
    expect(Object.fromEntries(parseBearerChallenge(challenge) ?? [])).toEqual({
      realm: 'https://auth.example/token',
      service: 'registry',
      scope: 'repository:a/b:pull,push',
    });
  });

  it.each(['', 'Basic realm="x"', 'Bearer', 'NotBearer realm="x"'])('finds none in "%s"', (challenge) => {
    expect(parseBearerChallenge(challenge)).toBeUndefined();
  });
});
