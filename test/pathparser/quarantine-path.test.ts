import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseDigest, parseRepository } from '../../src/core/index.ts';
import {
  findPath,
  findQuarantineEntry,
  findQuarantinePath,
  formatQuarantineEntry,
  formatQuarantinePath,
  InvalidRegistryPathError,
  type QuarantineEntry,
  type QuarantinePath,
} from '../../src/pathparser/index.ts';
import { anyAlgorithm, anyDigest, anyRepository, hex } from '../core/arbitraries.ts';
import { anyNearPath } from './arbitraries.ts';

const Q = '/docker/registry/v2/quarantine';
const H = 'ff3a5c916c92643ff77519ffa742d3ec61b7f591b6b7504599d95a4a41134e28';
const digest = parseDigest(`sha256:${H}`);
const repository = parseRepository('team/app');
const entry: QuarantineEntry = { what: 'layer', atMs: 1_700_000_000_000, id: '0a1b' };

const matches: readonly (readonly [string, QuarantinePath])[] = [
  [Q, { kind: 'quarantine' }],
  [`${Q}/repositories`, { kind: 'quarantined-repositories' }],
  [`${Q}/repositories/team/app`, { kind: 'quarantined-repository', repository }],
  [`${Q}/repositories/team/app/_links`, { kind: 'quarantined-links', repository }],
  [`${Q}/repositories/team/app/_links/sha512`, { kind: 'quarantined-links', repository, algorithm: 'sha512' }],
  [`${Q}/repositories/team/app/_links/sha256/${H}`, { kind: 'quarantined-link', repository, digest }],
  [
    `${Q}/repositories/team/app/_links/sha256/${H}/layer-1700000000000-0a1b`,
    { kind: 'quarantined-link-entry', repository, digest, entry },
  ],
  [`${Q}/blobs`, { kind: 'quarantined-blobs' }],
  [`${Q}/blobs/sha256`, { kind: 'quarantined-blobs', algorithm: 'sha256' }],
  [`${Q}/blobs/sha256/ff`, { kind: 'quarantined-blobs', algorithm: 'sha256', prefix: 'ff' }],
  [`${Q}/blobs/sha256/ff/${H}`, { kind: 'quarantined-blob', digest }],
  [
    `${Q}/blobs/sha256/ff/${H}/data-0-f`,
    { kind: 'quarantined-blob-entry', digest, entry: { what: 'data', atMs: 0, id: 'f' } },
  ],
];

const noMatches = [
  '',
  `${Q}x`,
  `${Q}/`,
  `${Q}/other`,
  `${Q}/repositories/`,
  `${Q}/repositories/Team`,
  `${Q}/repositories/_links`,
  `${Q}/repositories/team/app/_layers`,
  `${Q}/repositories/team/app/_links/sha384`,
  `${Q}/repositories/team/app/_links/sha256/abc`,
  `${Q}/repositories/team/app/_links/sha256/${H}/link`,
  `${Q}/repositories/team/app/_links/sha256/${H}/layer-1-a/x`,
  `${Q}/blobs/sha384`,
  `${Q}/blobs/sha256/f`,
  `${Q}/blobs/sha256/00/${H}`,
  `${Q}/blobs/sha256/ff/${H}/data`,
  `${Q}/blobs/sha256/ff/${H}/data-1-a/x`,
  '/docker/registry/v2/repositories/team/app',
];

const entryFaults = [
  'layer',
  'layer-1',
  'layer-01-a',
  'layer--1-a',
  'layer-1-',
  'layer-1-G',
  'link-1-a',
  'layer-1-a\n',
];

const anyEntry: fc.Arbitrary<QuarantineEntry> = fc.record({
  what: fc.constantFrom('data', 'layer', 'revision', 'restored'),
  atMs: fc.maxSafeNat(),
  id: fc.integer({ min: 1, max: 32 }).chain(hex),
});

const anyQuarantinePath: fc.Arbitrary<QuarantinePath> = fc
  .oneof(
    fc.record({ kind: fc.constantFrom('quarantine', 'quarantined-repositories', 'quarantined-blobs') }),
    fc.record({ kind: fc.constantFrom('quarantined-repository', 'quarantined-links'), repository: anyRepository }),
    fc.record({ kind: fc.constant('quarantined-links'), repository: anyRepository, algorithm: anyAlgorithm }),
    fc.record({ kind: fc.constant('quarantined-link'), repository: anyRepository, digest: anyDigest }),
    fc.record({
      kind: fc.constant('quarantined-link-entry'),
      repository: anyRepository,
      digest: anyDigest,
      entry: anyEntry,
    }),
    fc.record({ kind: fc.constant('quarantined-blobs'), algorithm: anyAlgorithm }),
    fc.record({ kind: fc.constant('quarantined-blobs'), algorithm: anyAlgorithm, prefix: hex(2) }),
    fc.record({ kind: fc.constant('quarantined-blob'), digest: anyDigest }),
    fc.record({ kind: fc.constant('quarantined-blob-entry'), digest: anyDigest, entry: anyEntry }),
  )
  .map((path) => path as QuarantinePath);

describe('paths of the quarantine', () => {
  it.each(matches)('%s is read, and written back', (path, parsed) => {
    expect(findQuarantinePath(path)).toEqual(parsed);
    expect(formatQuarantinePath(parsed)).toBe(path);
  });

  it.each(noMatches)('%j is none', (path) => {
    expect(findQuarantinePath(path)).toBeUndefined();
  });

  it.each(matches)('%s is none of the layout, so that no driver of the layout takes it', (path) => {
    expect(findPath(path)).toBeUndefined();
  });

  it('come back from their text as they were', () => {
    fc.assert(
      fc.property(anyQuarantinePath, (path) => {
        expect(findQuarantinePath(formatQuarantinePath(path))).toEqual(path);
      }),
    );
  });

  it('are the only texts that parse', () => {
    const near = anyNearPath.map((path) => path.replace('/docker/registry/v2', Q));
    fc.assert(
      fc.property(fc.oneof(fc.string(), near), (text) => {
        const path = findQuarantinePath(text);
        if (path !== undefined) expect(formatQuarantinePath(path)).toBe(text);
      }),
      { numRuns: 1000 },
    );
  });

  it('lead nobody out of the quarantine by a prefix or an entry', () => {
    const prefix: QuarantinePath = { kind: 'quarantined-blobs', algorithm: 'sha256', prefix: '..' };
    expect(() => formatQuarantinePath(prefix)).toThrow(InvalidRegistryPathError);
    for (const wrong of [
      { ...entry, id: '../x' },
      { ...entry, id: '' },
      { ...entry, atMs: -1 },
      { ...entry, atMs: 0.5 },
    ]) {
      expect(() => formatQuarantinePath({ kind: 'quarantined-blob-entry', digest, entry: wrong })).toThrow(
        InvalidRegistryPathError,
      );
    }
  });
});

describe('the name of an object in quarantine', () => {
  it.each(entryFaults)('is not %j', (name) => {
    expect(findQuarantineEntry(name)).toBeUndefined();
  });

  it('holds what it is, since when, and an id', () => {
    expect(findQuarantineEntry(formatQuarantineEntry(entry))).toEqual(entry);
  });
});
