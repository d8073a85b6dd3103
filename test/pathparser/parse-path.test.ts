import { describe, expect, it } from 'vitest';
import { parseDigest, parseRepository, parseTag } from '../../src/core/index.ts';
import {
  findPath,
  formatPath,
  InvalidRegistryPathError,
  parsePath,
  type RegistryPath,
} from '../../src/pathparser/index.ts';

const V2 = '/docker/registry/v2';
const APP = `${V2}/repositories/team/app`;
/** 64 hex digits, as in the tables of Kraken's path tests. */
const H = 'ff3a5c916c92643ff77519ffa742d3ec61b7f591b6b7504599d95a4a41134e28';
const H512 = `${H}${H}`;
const digest = parseDigest(`sha256:${H}`);
const digest512 = parseDigest(`sha512:${H512}`);
const subject = parseDigest(`sha256:${'0a'.repeat(32)}`);
const repository = parseRepository('team/app');
const tag = parseTag('v1.0');
const uploadId = 'b2f1c5f0-5f0e-4c5b-9d0c-1d2e3f405162';
const UPLOAD = `${APP}/_uploads/${uploadId}`;

const matches: readonly (readonly [string, RegistryPath])[] = [
  [V2, { kind: 'root' }],
  [`${V2}/repositories`, { kind: 'repositories' }],
  [APP, { kind: 'repository', repository }],
  [`${V2}/repositories/team`, { kind: 'repository', repository: parseRepository('team') }],
  [`${APP}/_layers`, { kind: 'layers', repository }],
  [`${APP}/_layers/sha512`, { kind: 'layers', repository, algorithm: 'sha512' }],
  [`${APP}/_layers/sha256/${H}`, { kind: 'layer', repository, digest }],
  [`${APP}/_layers/sha256/${H}/link`, { kind: 'layer-link', repository, digest }],
  [`${APP}/_manifests`, { kind: 'manifests', repository }],
  [`${APP}/_manifests/revisions`, { kind: 'revisions', repository }],
  [`${APP}/_manifests/revisions/sha256`, { kind: 'revisions', repository, algorithm: 'sha256' }],
  [`${APP}/_manifests/revisions/sha256/${H}`, { kind: 'revision', repository, digest }],
  [`${APP}/_manifests/revisions/sha512/${H512}/link`, { kind: 'revision-link', repository, digest: digest512 }],
  [`${APP}/_manifests/tags`, { kind: 'tags', repository }],
  [`${APP}/_manifests/tags/v1.0`, { kind: 'tag', repository, tag }],
  [`${APP}/_manifests/tags/_`, { kind: 'tag', repository, tag: parseTag('_') }],
  [`${APP}/_manifests/tags/_manifests`, { kind: 'tag', repository, tag: parseTag('_manifests') }],
  [`${APP}/_manifests/tags/v1.0/current`, { kind: 'tag-current', repository, tag }],
  [`${APP}/_manifests/tags/v1.0/current/link`, { kind: 'tag-current-link', repository, tag }],
  [`${APP}/_manifests/tags/current/current/link`, { kind: 'tag-current-link', repository, tag: parseTag('current') }],
  [`${APP}/_manifests/tags/v1.0/index`, { kind: 'tag-index', repository, tag }],
  [`${APP}/_manifests/tags/v1.0/index/sha256`, { kind: 'tag-index', repository, tag, algorithm: 'sha256' }],
  [`${APP}/_manifests/tags/v1.0/index/sha256/${H}`, { kind: 'tag-index-entry', repository, tag, digest }],
  [`${APP}/_manifests/tags/v1.0/index/sha256/${H}/link`, { kind: 'tag-index-link', repository, tag, digest }],
  [`${APP}/_referrers/sha256/${'0a'.repeat(32)}`, { kind: 'referrers', repository, subject }],
  [
    `${APP}/_referrers/sha256/${'0a'.repeat(32)}/sha256`,
    { kind: 'referrers', repository, subject, algorithm: 'sha256' },
  ],
  [`${APP}/_referrers/sha256/${'0a'.repeat(32)}/sha256/${H}`, { kind: 'referrer', repository, subject, digest }],
  [
    `${APP}/_referrers/sha256/${'0a'.repeat(32)}/sha512/${H512}/link`,
    { kind: 'referrer-link', repository, subject, digest: digest512 },
  ],
  [`${APP}/_uploads`, { kind: 'uploads', repository }],
  [UPLOAD, { kind: 'upload', repository, uploadId }],
  [`${UPLOAD}/data`, { kind: 'upload-data', repository, uploadId }],
  [`${UPLOAD}/startedat`, { kind: 'upload-started-at', repository, uploadId }],
  [`${UPLOAD}/hashstates/sha512`, { kind: 'upload-hash-states', repository, uploadId, algorithm: 'sha512' }],
  [
    `${UPLOAD}/hashstates/sha256/0`,
    { kind: 'upload-hash-state', repository, uploadId, algorithm: 'sha256', offset: 0 },
  ],
  [
    `${UPLOAD}/hashstates/sha256/9007199254740991`,
    { kind: 'upload-hash-state', repository, uploadId, algorithm: 'sha256', offset: Number.MAX_SAFE_INTEGER },
  ],
  [`${V2}/blobs`, { kind: 'blobs' }],
  [`${V2}/blobs/sha256`, { kind: 'blobs', algorithm: 'sha256' }],
  [`${V2}/blobs/sha256/ff`, { kind: 'blobs', algorithm: 'sha256', prefix: 'ff' }],
  [`${V2}/blobs/sha256/ff/${H}`, { kind: 'blob', digest }],
  [`${V2}/blobs/sha256/ff/${H}/data`, { kind: 'blob-data', digest }],
  [`${V2}/blobs/sha512/ff/${H512}/data`, { kind: 'blob-data', digest: digest512 }],
  [`${V2}/blobs/sha256/ff/${H}/metainfo`, { kind: 'blob-metainfo', digest }],
];

/** Path, then the part that the error has to name. */
const noMatches: readonly (readonly [string, string])[] = [
  ['', ''],
  ['/', '/'],
  ['docker/registry/v2', 'docker/registry/v2'],
  ['/docker/registry/v1/repositories', '/docker/registry/v1/repositories'],
  [`${V2}x`, `${V2}x`],
  [`${V2}/`, ''],
  [`${V2}/uploads`, 'uploads'],
  [`${V2}/repo/team/_manifests`, 'repo'],
  [`${V2}/..`, '..'],
  [`${V2}/repositories/`, `${V2}/repositories/`],
  [`${V2}/repositories/_manifests`, ''],
  [`${V2}/repositories/Team/app`, 'Team/app'],
  [`${V2}/repositories/team//app`, `${V2}/repositories/team//app`],
  [`${V2}/repositories/team/./app`, 'team/./app'],
  [`${V2}/repositories/team/../app`, 'team/../app'],
  [`${V2}/repositories/team/app/_manifests/..`, '..'],
  [`${V2}/repositories/${'a'.repeat(256)}`, 'a'.repeat(256)],
  [`${V2}/repositories/a\n`, 'a\n'],
  [`${APP}/`, `${APP}/`],
  [`${APP}/_unknown`, '_unknown'],
  [`${APP}/_`, '_'],
  [`${APP}/_manifests/`, `${APP}/_manifests/`],
  [`${APP}/_manifests/v1/link`, 'v1'],
  [`${APP}/_manifests/revisions/md5`, 'md5'],
  [`${APP}/_manifests/revisions/sha256/abc/link`, 'abc'],
  [`${APP}/_manifests/revisions/sha256/${H.toUpperCase()}/link`, H.toUpperCase()],
  [`${APP}/_manifests/revisions/sha512/${H}/link`, H],
  [`${APP}/_manifests/revisions/sha256/${H}/data`, 'data'],
  [`${APP}/_manifests/revisions/sha256/${H}/link/x`, 'x'],
  [`${APP}/_manifests/tags/-v1`, '-v1'],
  [`${APP}/_manifests/tags/${'v'.repeat(129)}`, 'v'.repeat(129)],
  [`${APP}/_manifests/tags/v1/latest`, 'latest'],
  [`${APP}/_manifests/tags/v1/current/data`, 'data'],
  [`${APP}/_manifests/tags/v1/current/link/x`, 'x'],
  [`${APP}/_manifests/tags/v1/v1/index/sha256/${H}/link`, 'v1'],
  [`${APP}/_manifests/tags/v1/index/sha256/${H}/link/link`, 'link'],
  [`${APP}/_layers/${H}`, H],
  [`${APP}/_layers/sha256/${H.slice(1)}`, H.slice(1)],
  [`${APP}/_layers/sha256/${H}/`, `${APP}/_layers/sha256/${H}/`],
  [`${APP}/_referrers`, ''],
  [`${APP}/_referrers/sha256`, ''],
  [`${APP}/_referrers/md5/${H}`, 'md5'],
  [`${APP}/_referrers/sha256/${H}/sha256/${H}/data`, 'data'],
  [`${APP}/_uploads/${'u'.repeat(129)}`, 'u'.repeat(129)],
  [`${APP}/_uploads/a.b`, 'a.b'],
  [`${APP}/_uploads/..`, '..'],
  [`${UPLOAD}/link`, 'link'],
  [`${UPLOAD}/data/extra`, 'extra'],
  [`${UPLOAD}/startedat/extra`, 'extra'],
  [`${UPLOAD}/hashstates`, ''],
  [`${UPLOAD}/hashstates/crc32`, 'crc32'],
  [`${UPLOAD}/hashstates/sha256/a`, 'a'],
  [`${UPLOAD}/hashstates/sha256/-1`, '-1'],
  [`${UPLOAD}/hashstates/sha256/+1`, '+1'],
  [`${UPLOAD}/hashstates/sha256/01`, '01'],
  [`${UPLOAD}/hashstates/sha256/1e3`, '1e3'],
  [`${UPLOAD}/hashstates/sha256/9007199254740992`, '9007199254740992'],
  [`${UPLOAD}/hashstates/sha256/0/x`, 'x'],
  [`${V2}/blobs/sha384`, 'sha384'],
  [`${V2}/blobs/sha256/f`, 'f'],
  [`${V2}/blobs/sha256/FF`, 'FF'],
  [`${V2}/blobs/sha256/1234/${H}/data`, '1234'],
  [`${V2}/blobs/sha256/ff/${H.toUpperCase()}/data`, H.toUpperCase()],
  [`${V2}/blobs/sha256/ff/${H}/link`, 'link'],
  [`${V2}/blobs/sha256/ff/${H}/data/x`, 'x'],
  [`${V2}/blobs/sha256/ff/${H}/metainfo/x`, 'x'],
];

describe('parsePath', () => {
  it.each(matches)('reads %s', (path, expected) => {
    expect(parsePath(path)).toEqual(expected);
    expect(findPath(path)).toEqual(expected);
  });

  it.each(noMatches)('refuses %j and names the part', (path, part) => {
    expect(findPath(path)).toBeUndefined();
    const error = errorOf(() => parsePath(path));
    expect(error).toBeInstanceOf(InvalidRegistryPathError);
    expect(error).toMatchObject({ code: 'INVALID_REGISTRY_PATH', details: { path, part } });
  });

  it('covers every kind of the layout in the table of matches', () => {
    // The kinds as the type lists them: a kind that is missing here does not compile.
    const kinds: Record<RegistryPath['kind'], true> = {
      root: true,
      repositories: true,
      repository: true,
      layers: true,
      layer: true,
      'layer-link': true,
      manifests: true,
      revisions: true,
      revision: true,
      'revision-link': true,
      tags: true,
      tag: true,
      'tag-current': true,
      'tag-current-link': true,
      'tag-index': true,
      'tag-index-entry': true,
      'tag-index-link': true,
      referrers: true,
      referrer: true,
      'referrer-link': true,
      uploads: true,
      upload: true,
      'upload-data': true,
      'upload-started-at': true,
      'upload-hash-states': true,
      'upload-hash-state': true,
      blobs: true,
      blob: true,
      'blob-data': true,
      'blob-metainfo': true,
    };
    expect(new Set(matches.map(([, path]) => path.kind))).toEqual(new Set(Object.keys(kinds)));
  });

  it('quotes a bounded part of a path of megabytes, and reads it in linear time', () => {
    const path = `${V2}/repositories/${'a-'.repeat(1_000_000)}/_layers`;
    const started = performance.now();
    const error = errorOf(() => parsePath(path)) as Error;
    expect(performance.now() - started).toBeLessThan(1_000);
    expect(error.message.length).toBeLessThan(2_000);
  });
});

describe('formatPath', () => {
  it.each(matches)('writes %s', (path, parsed) => {
    expect(formatPath(parsed)).toBe(path);
  });

  const unreadable: readonly (readonly [string, RegistryPath])[] = [
    ['an upload id that climbs', { kind: 'upload-data', repository, uploadId: '../../x' }],
    ['an upload id with a slash', { kind: 'upload', repository, uploadId: 'a/b' }],
    ['an empty upload id', { kind: 'upload', repository, uploadId: '' }],
    ['a negative offset', { kind: 'upload-hash-state', repository, uploadId, algorithm: 'sha256', offset: -1 }],
    ['half a byte', { kind: 'upload-hash-state', repository, uploadId, algorithm: 'sha256', offset: 0.5 }],
    [
      'an offset past exact numbers',
      { kind: 'upload-hash-state', repository, uploadId, algorithm: 'sha256', offset: 2 ** 53 },
    ],
    ['a prefix of three digits', { kind: 'blobs', algorithm: 'sha256', prefix: 'abc' }],
    ['a prefix that climbs', { kind: 'blobs', algorithm: 'sha256', prefix: '..' }],
  ];

  it.each(unreadable)('refuses %s', (_what, path) => {
    expect(() => formatPath(path)).toThrow(InvalidRegistryPathError);
  });
});

function errorOf(call: () => unknown): unknown {
  try {
    call();
  } catch (error) {
    return error;
  }
  throw new Error('expected a throw');
}
