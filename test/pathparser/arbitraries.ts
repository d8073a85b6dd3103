import fc from 'fast-check';
import type { RegistryPath } from '../../src/pathparser/index.ts';
import { anyAlgorithm, anyDigest, anyRepository, anyTag, hex } from '../core/arbitraries.ts';

const uploadId = fc.stringMatching(/^[A-Za-z0-9_-]{1,128}$/);
const repository = anyRepository;
const digest = anyDigest;
const tag = anyTag;
const subject = anyDigest;
const algorithm = anyAlgorithm;
/** Present or left out, never `undefined`: that is what the type says. */
const maybeAlgorithm = { algorithm: fc.option(anyAlgorithm, { nil: undefined }) };

function kinds<const K extends string>(...names: K[]): fc.Arbitrary<K> {
  return fc.constantFrom(...names);
}

function withoutUndefined(path: object): RegistryPath {
  return Object.fromEntries(Object.entries(path).filter(([, value]) => value !== undefined)) as RegistryPath;
}

/** Every kind of path, with any parts. */
export const anyRegistryPath: fc.Arbitrary<RegistryPath> = fc
  .oneof(
    fc.record({ kind: kinds('root', 'repositories') }),
    fc.record({ kind: kinds('repository', 'manifests', 'tags', 'uploads'), repository }),
    fc.record({ kind: kinds('layers', 'revisions'), repository, ...maybeAlgorithm }),
    fc.record({ kind: kinds('layer', 'layer-link', 'revision', 'revision-link'), repository, digest }),
    fc.record({ kind: kinds('tag', 'tag-current', 'tag-current-link'), repository, tag }),
    fc.record({ kind: kinds('tag-index'), repository, tag, ...maybeAlgorithm }),
    fc.record({ kind: kinds('tag-index-entry', 'tag-index-link'), repository, tag, digest }),
    fc.record({ kind: kinds('referrers'), repository, subject, ...maybeAlgorithm }),
    fc.record({ kind: kinds('referrer', 'referrer-link'), repository, subject, digest }),
    fc.record({ kind: kinds('upload', 'upload-data', 'upload-started-at'), repository, uploadId }),
    fc.record({ kind: kinds('upload-hash-states'), repository, uploadId, algorithm }),
    fc.record({ kind: kinds('upload-hash-state'), repository, uploadId, algorithm, offset: fc.maxSafeNat() }),
    fc.record({ kind: kinds('blobs'), ...maybeAlgorithm }),
    fc.record({ kind: kinds('blobs'), algorithm, prefix: hex(2) }),
    fc.record({ kind: kinds('blob', 'blob-data', 'blob-metainfo'), digest }),
  )
  .map(withoutUndefined);

/** Texts near the layout: its own words and some hostile ones, joined by slashes. */
export const anyNearPath: fc.Arbitrary<string> = fc
  .array(
    fc.oneof(
      fc.constantFrom('repositories', 'blobs', '_layers', '_manifests', '_uploads', '_referrers', 'revisions', 'tags'),
      fc.constantFrom('current', 'index', 'link', 'data', 'startedat', 'hashstates', 'metainfo', 'sha256', 'sha512'),
      fc.constantFrom('', '.', '..', '_', 'app', 'ab', 'AB', '0', '00', '-1', '9007199254740993', '%2e', '\0', 'a\n'),
      fc.constantFrom('ab'.repeat(32), 'AB'.repeat(32), 'ab'.repeat(64), 'abc'),
      fc.string({ maxLength: 6 }),
    ),
    { maxLength: 10 },
  )
  .chain((parts) => fc.constantFrom(`/docker/registry/v2/${parts.join('/')}`, `/${parts.join('/')}`));
