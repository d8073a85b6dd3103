import type { Digest, Manifest } from '../core/index.ts';

/** An entry in a list of referrers (OCI distribution specification, "Listing Referrers"). */
export interface ReferrerDescriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  /** In bytes. */
  readonly size: number;
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** Describes a manifest of `size` bytes for such a list. */
export function describeReferrer(manifest: Manifest, digest: Digest, size: number): ReferrerDescriptor {
  const { mediaType, artifactType, annotations } = manifest;
  return {
    mediaType,
    digest,
    size,
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
  };
}
