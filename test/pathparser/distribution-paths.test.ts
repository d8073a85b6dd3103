import { describe, expect, it } from 'vitest';
import { findPath, formatPath } from '../../src/pathparser/index.ts';

const A = 'a3ed95caeb02ffe68cdd9fd84406680ae93d663cb16422d00e8a7c22955b46d4';
const B = '03ca9a4a7ac6a6b5a2d0d6d4ba21e2bb5bb1e3c4f9f9b9e2a3b1d1f3a1c0d9e8';
const V2 = '/docker/registry/v2';
const R = `${V2}/repositories`;

/** Every path as the comment over distribution's `registry/storage/paths.go` draws it, and as its folders look on disk. */
const written = [
  V2,
  `${V2}/repositories`,
  `${V2}/blobs`,
  `${V2}/blobs/sha256`,
  `${V2}/blobs/sha256/a3`,
  `${V2}/blobs/sha256/a3/${A}`,
  `${V2}/blobs/sha256/a3/${A}/data`,
  `${V2}/blobs/sha512/03/${B}${A}/data`,
  `${R}/library`,
  `${R}/library/alpine`,
  `${R}/a`,
  `${R}/team.x/app__y/z-1--2`,
  `${R}/library/alpine/_manifests`,
  `${R}/library/alpine/_manifests/revisions`,
  `${R}/library/alpine/_manifests/revisions/sha256`,
  `${R}/library/alpine/_manifests/revisions/sha256/${A}`,
  `${R}/library/alpine/_manifests/revisions/sha256/${A}/link`,
  `${R}/library/alpine/_manifests/tags`,
  `${R}/library/alpine/_manifests/tags/3.20`,
  `${R}/library/alpine/_manifests/tags/3.20/current`,
  `${R}/library/alpine/_manifests/tags/3.20/current/link`,
  `${R}/library/alpine/_manifests/tags/3.20/index`,
  `${R}/library/alpine/_manifests/tags/3.20/index/sha256`,
  `${R}/library/alpine/_manifests/tags/3.20/index/sha256/${A}`,
  `${R}/library/alpine/_manifests/tags/3.20/index/sha256/${A}/link`,
  `${R}/library/alpine/_layers`,
  `${R}/library/alpine/_layers/sha256`,
  `${R}/library/alpine/_layers/sha256/${B}`,
  `${R}/library/alpine/_layers/sha256/${B}/link`,
  `${R}/library/alpine/_uploads`,
  `${R}/library/alpine/_uploads/6d2cf3ab-5f5d-4d0a-a2ae-8b9b3a9d4a52`,
  `${R}/library/alpine/_uploads/6d2cf3ab-5f5d-4d0a-a2ae-8b9b3a9d4a52/data`,
  `${R}/library/alpine/_uploads/6d2cf3ab-5f5d-4d0a-a2ae-8b9b3a9d4a52/startedat`,
  `${R}/library/alpine/_uploads/6d2cf3ab-5f5d-4d0a-a2ae-8b9b3a9d4a52/hashstates/sha256`,
  `${R}/library/alpine/_uploads/6d2cf3ab-5f5d-4d0a-a2ae-8b9b3a9d4a52/hashstates/sha256/0`,
  `${R}/library/alpine/_uploads/6d2cf3ab-5f5d-4d0a-a2ae-8b9b3a9d4a52/hashstates/sha256/32768`,
];

describe('the paths that distribution writes', () => {
  it.each(written)('%s is read, and written back', (path) => {
    const parsed = findPath(path);
    expect(parsed).toBeDefined();
    expect(formatPath(parsed!)).toBe(path);
  });

  it('leaves out what lies beside the layout', () => {
    expect(findPath('/scheduler-state.json')).toBeUndefined();
    expect(findPath('/docker')).toBeUndefined();
  });
});
