import { describe, expect, it } from 'vitest';
import { findPath, type RegistryPath } from '../../src/pathparser/index.ts';

/**
 * The tables of uber/kraken's `lib/dockerregistry/paths_test.go`, restated: Kraken looks for parts in fragments such as
 * `kraken/_layers/…`, here each row is the whole path. A row marked as a defect is one where Kraken answers otherwise and
 * this parser differs on purpose.
 */
const V2 = '/docker/registry/v2';
const R = `${V2}/repositories`;
const H = 'ff85ceb9734a3c2fbb886e0f7cfc66b046eeeae953d8cb430dc5a7ace544b0e9';

/** The facts that Kraken's extractors pull out of a path. */
interface Facts {
  readonly kind: RegistryPath['kind'];
  readonly repository?: string;
  readonly digest?: string;
  readonly tag?: string;
  readonly uploadId?: string;
  readonly algorithm?: string;
  readonly offset?: number;
}

const repository = 'kraken';
const digest = `sha256:${H}`;

const matches: readonly (readonly [string, string, Facts])[] = [
  ['GetBlobDigest', `${V2}/blobs/sha256/ff/${H}/data`, { kind: 'blob-data', digest }],
  ['GetRepo', `${R}/kraken/_manifests`, { kind: 'manifests', repository }],
  ['GetRepo', `${R}/kraken/_uploads`, { kind: 'uploads', repository }],
  ['GetRepo', `${R}/kraken/_layers`, { kind: 'layers', repository }],
  ['GetRepo', `${R}/namespace-foo/kraken/_manifests`, { kind: 'manifests', repository: 'namespace-foo/kraken' }],
  ['matchLayersPath', `${R}/kraken/_layers/sha256/${H}/link`, { kind: 'layer-link', repository, digest }],
  ['GetLayerDigest', `${R}/kraken/_layers/sha256/${H}/link`, { kind: 'layer-link', digest }],
  ['matchManifestsPath', `${R}/kraken/_manifests/revisions/sha256/${H}/link`, { kind: 'revision-link', digest }],
  ['matchManifestsPath', `${R}/kraken/_manifests/tags/sometag/current/link`, { kind: 'tag-current-link' }],
  ['matchManifestsPath', `${R}/kraken/_manifests/tags`, { kind: 'tags', repository }],
  [
    'GetManifestDigest',
    `${R}/kraken/_manifests/tags/sometag/index/sha256/${H}/link`,
    { kind: 'tag-index-link', digest },
  ],
  ['GetManifestDigest', `${R}/kraken/_manifests/revisions/sha256/${H}/link`, { kind: 'revision-link', digest }],
  [
    'GetManifestTag',
    `${R}/kraken/_manifests/tags/sometag/index/sha256/${H}/link`,
    { kind: 'tag-index-link', tag: 'sometag' },
  ],
  ['GetManifestTag', `${R}/kraken/_manifests/tags/sometag/current/link`, { kind: 'tag-current-link', tag: 'sometag' }],
  ['matchUploadsPath', `${R}/kraken/_uploads/uuid/data`, { kind: 'upload-data', uploadId: 'uuid' }],
  ['matchUploadsPath', `${R}/kraken/_uploads/uuid/startedat`, { kind: 'upload-started-at', uploadId: 'uuid' }],
  [
    'matchUploadsPath',
    `${R}/kraken/_uploads/uuid/hashstates/sha256/0`,
    { kind: 'upload-hash-state', uploadId: 'uuid' },
  ],
  ['matchUploadsPath', `${R}/kraken/_uploads/uuid/hashstates/sha256`, { kind: 'upload-hash-states', uploadId: 'uuid' }],
  [
    'GetUploadAlgoAndOffset',
    `${R}/kraken/_uploads/uuid/hashstates/sha256/0`,
    { kind: 'upload-hash-state', algorithm: 'sha256', offset: 0 },
  ],
  [
    'GetUploadAlgoAndOffset',
    `${R}/kraken/_uploads/uuid/hashstates/sha256/1234`,
    { kind: 'upload-hash-state', algorithm: 'sha256', offset: 1234 },
  ],
];

const noMatches: readonly (readonly [string, string])[] = [
  ['all', ''],
  ['GetBlobDigest', `${V2}/blobs/sha256/1234/${H}/data`],
  ['GetBlobDigest', `${V2}/blobs/sha256/1234/${H}`],
  ['GetBlobDigest', `${V2}/blobs/sha256/3Z/${H}/data`],
  ['GetRepo', `${R}/_manifests`],
  ['GetRepo', `${V2}/repo/kraken/_manifests`],
  ['matchLayersPath', `${R}/kraken/_layers/digest5678/`],
  ['matchLayersPath', `${R}/kraken/_layers/sha256/digest5678/`],
  ['matchLayersPath', `${R}/kraken/_layers/sha256/digestZ5678/data`],
  ['GetLayerDigest', `${R}/kraken/_layers/${H}/`],
  ['GetLayerDigest', `${R}/kraken/_layers/sha256/${H}/`],
  ['matchManifestsPath', `${R}/kraken/_manifests/revisions/sha256/manifestdigest`],
  ['GetManifestDigest', `${R}/kraken/_manifests/sometag/link`],
  ['GetManifestTag', `${R}/kraken/_manifests/revisions/manifestdigest/link`],
  ['GetManifestTag', `${R}/kraken/_manifests/tags/sometag/sometag/index/sha256/${H}/link`],
  ['matchUploadsPath', `${R}/kraken/_uploads/uuid/data/extra`],
  ['matchUploadsPath', `${R}/kraken/_uploads/uuid/startedat/extra`],
  ['matchUploadsPath', `${R}/kraken/_uploads/uuid/hashstates`],
  ['matchUploadsPath', `${R}/kraken/_uploads/uuid/hashstates/sha256/a`],
  ['GetUploadUUID', `${R}/kraken/_uploads/uuid/uuid/data`],
];

/** Paths that Kraken matches, or gives an answer for, and this parser refuses. */
const acceptedByKrakenByDefect: readonly (readonly [string, string])[] = [
  ['the digest in a tag index is not validated', `${R}/kraken/_manifests/tags/t/index/sha256/manifestdigest/link`],
  ['the digest of a revision is not validated', `${R}/kraken/_manifests/revisions/sha256/manifestdigest/link`],
  ['anything between tags and link is a tag', `${R}/kraken/_manifests/tags/a/b/c/link`],
  ['the digest of a layer is letters and digits of any count', `${R}/kraken/_layers/sha256/digest5678/link`],
  ['a layer has data, which no registry ever wrote', `${R}/kraken/_layers/sha256/${H}/data`],
  ['the two-digit prefix is not tied to the digest', `${V2}/blobs/sha256/00/${H}/data`],
  ['the prefix need not be hex', `${V2}/blobs/sha256/zz/${H}/data`],
  ['the repository is whatever stands before the keyword', `${R}/Kraken!/_layers/sha256/${H}/link`],
  ['the repository may have empty components', `${R}/a//kraken/_manifests/tags`],
  ['the repository may climb', `${R}/../kraken/_manifests/tags`],
  ['the layout may begin anywhere', `/elsewhere/repositories/kraken/_manifests/tags`],
  ['the hash state may be of any algorithm', `${R}/kraken/_uploads/uuid/hashstates/anything/0`],
  ['an offset may have leading zeros', `${R}/kraken/_uploads/uuid/hashstates/sha256/007`],
  ['an upload id is any component', `${R}/kraken/_uploads/.../data`],
  ['a keyword may be repeated, the last one counts', `${R}/kraken/_manifests/x/_manifests/tags`],
];

/** Paths of the layout that Kraken refuses, and this parser reads. */
const refusedByKrakenByDefect: readonly (readonly [string, string, RegistryPath['kind']])[] = [
  ['only sha256: blobs', `${V2}/blobs/sha512/ff/${H}${H}/data`, 'blob-data'],
  ['only sha256: layers', `${R}/kraken/_layers/sha512/${H}${H}/link`, 'layer-link'],
  ['directories are unknown: a blob', `${V2}/blobs/sha256/ff/${H}`, 'blob'],
  ['directories are unknown: manifests', `${R}/kraken/_manifests`, 'manifests'],
  ['directories are unknown: a tag', `${R}/kraken/_manifests/tags/sometag/current`, 'tag-current'],
  ['directories are unknown: a revision', `${R}/kraken/_manifests/revisions/sha256/${H}`, 'revision'],
  ['directories are unknown: uploads', `${R}/kraken/_uploads`, 'uploads'],
  ['directories are unknown: an upload, here one named data', `${R}/kraken/_uploads/data`, 'upload'],
];

describe("Kraken's path tables", () => {
  it.each(matches)('%s matches %s', (_function, path, facts) => {
    expect(findPath(path)).toMatchObject(facts);
  });

  it.each(noMatches)('%s matches nothing in %j', (_function, path) => {
    expect(findPath(path)).toBeUndefined();
  });
});

describe("Kraken's defects are not ours", () => {
  it.each(acceptedByKrakenByDefect)('refused although in Kraken %s: %s', (_defect, path) => {
    expect(findPath(path)).toBeUndefined();
  });

  it.each(refusedByKrakenByDefect)('read although in Kraken %s: %s', (_defect, path, kind) => {
    expect(findPath(path)?.kind).toBe(kind);
  });

  it('matches in the whole path: only the first underscore component ends the name', () => {
    expect(findPath(`${R}/kraken/_manifests/tags/_layers/current/link`)).toMatchObject({
      kind: 'tag-current-link',
      repository: 'kraken',
      tag: '_layers',
    });
  });
});
