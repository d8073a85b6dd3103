import type { Digest, DigestAlgorithm, Repository, Tag } from '../core/index.ts';

/**
 * Every path of the registry's storage layout, as distribution 2 and 3 write it, and two kinds of our own beside it.
 *
 * ```
 * /docker/registry/v2
 * ├── repositories                                               repositories
 * │   └── <name>                                                 repository
 * │       ├── _layers[/<alg>]                                    layers
 * │       │   └── <alg>/<hex>                                    layer
 * │       │       └── link                                       layer-link
 * │       ├── _manifests                                         manifests
 * │       │   ├── revisions[/<alg>]                              revisions
 * │       │   │   └── <alg>/<hex>                                revision
 * │       │   │       └── link                                   revision-link
 * │       │   └── tags                                           tags
 * │       │       └── <tag>                                      tag
 * │       │           ├── current                                tag-current
 * │       │           │   └── link                               tag-current-link
 * │       │           └── index[/<alg>]                          tag-index
 * │       │               └── <alg>/<hex>                        tag-index-entry
 * │       │                   └── link                           tag-index-link
 * │       ├── _referrers/<alg>/<subject hex>[/<alg>]             referrers        (ours)
 * │       │   └── <alg>/<hex>                                    referrer         (ours)
 * │       │       └── link                                       referrer-link    (ours)
 * │       └── _uploads                                           uploads
 * │           └── <id>                                           upload
 * │               ├── data                                       upload-data
 * │               ├── startedat                                  upload-started-at
 * │               └── hashstates/<alg>                           upload-hash-states
 * │                   └── <offset>                               upload-hash-state
 * └── blobs[/<alg>[/<2 hex>]]                                    blobs
 *     └── <alg>/<2 hex>/<hex>                                    blob
 *         ├── data                                               blob-data
 *         └── metainfo                                           blob-metainfo    (ours)
 * ```
 */
export type RegistryPath =
  | { readonly kind: 'root' }
  | { readonly kind: 'repositories' }
  | { readonly kind: 'repository' | 'manifests' | 'tags' | 'uploads'; readonly repository: Repository }
  | { readonly kind: 'layers' | 'revisions'; readonly repository: Repository; readonly algorithm?: DigestAlgorithm }
  | {
      readonly kind: 'layer' | 'layer-link' | 'revision' | 'revision-link';
      readonly repository: Repository;
      readonly digest: Digest;
    }
  | { readonly kind: 'tag' | 'tag-current' | 'tag-current-link'; readonly repository: Repository; readonly tag: Tag }
  | {
      readonly kind: 'tag-index';
      readonly repository: Repository;
      readonly tag: Tag;
      readonly algorithm?: DigestAlgorithm;
    }
  | {
      readonly kind: 'tag-index-entry' | 'tag-index-link';
      readonly repository: Repository;
      readonly tag: Tag;
      readonly digest: Digest;
    }
  | {
      readonly kind: 'referrers';
      readonly repository: Repository;
      readonly subject: Digest;
      readonly algorithm?: DigestAlgorithm;
    }
  | {
      readonly kind: 'referrer' | 'referrer-link';
      readonly repository: Repository;
      readonly subject: Digest;
      readonly digest: Digest;
    }
  | {
      readonly kind: 'upload' | 'upload-data' | 'upload-started-at';
      readonly repository: Repository;
      readonly uploadId: string;
    }
  | {
      readonly kind: 'upload-hash-states';
      readonly repository: Repository;
      readonly uploadId: string;
      readonly algorithm: DigestAlgorithm;
    }
  | {
      readonly kind: 'upload-hash-state';
      readonly repository: Repository;
      readonly uploadId: string;
      readonly algorithm: DigestAlgorithm;
      readonly offset: number;
    }
  | { readonly kind: 'blobs'; readonly algorithm?: DigestAlgorithm; readonly prefix?: never }
  | { readonly kind: 'blobs'; readonly algorithm: DigestAlgorithm; readonly prefix: string }
  | { readonly kind: 'blob' | 'blob-data' | 'blob-metainfo'; readonly digest: Digest };
