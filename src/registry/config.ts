import Type, { type Static } from 'typebox';
import type { RegistryOptions, UploadOptions } from './registry.ts';
import { ACTIVITY_NOTE_MS } from './upload-begin.ts';
import type { UploadPurgeOptions } from './upload-purge.ts';

const DAY_MS = 24 * 60 * 60 * 1000;

/** How uploads are taken, and when unfinished ones go. */
const UploadsConfigSchema = Type.Object(
  {
    idleTimeoutMs: Type.Integer({
      default: 120_000,
      minimum: 100,
      maximum: DAY_MS,
      unit: 'milliseconds',
      description: 'A client that sends no byte of a body for this long is given up; the upload keeps what came.',
    }),
    chunkMinLengthBytes: Type.Optional(
      Type.Integer({
        minimum: 1,
        unit: 'bytes',
        description:
          'Clients that push in chunks are asked to make them no shorter (`OCI-Chunk-Min-Length`); shorter ones are taken all the same.',
      }),
    ),
    maxAgeMs: Type.Integer({
      default: 7 * DAY_MS,
      // An upload that is being written to is noted as such every so often only.
      minimum: 3 * ACTIVITY_NOTE_MS,
      unit: 'milliseconds',
      description: 'Unfinished uploads to which nobody has written for longer than this are removed.',
    }),
    purgeIntervalMs: Type.Integer({
      default: DAY_MS,
      minimum: 0,
      unit: 'milliseconds',
      description: 'How long after one look for abandoned uploads the next one comes; 0 never looks.',
    }),
  },
  { additionalProperties: false, description: 'Uploads: how they are taken, and when abandoned ones go.' },
);

/** What a registry remembers of its storage. */
const CacheConfigSchema = Type.Object(
  {
    maxBytes: Type.Integer({
      default: 64 * 1024 * 1024,
      minimum: 0,
      unit: 'bytes',
      description: 'Links, lengths and small blobs in memory together; 0 remembers nothing.',
    }),
    maxAgeMs: Type.Integer({
      default: 1000,
      minimum: 1,
      maximum: 60_000,
      unit: 'milliseconds',
      description:
        'How long something counts after it was read: so long it may take until a deletion by another process on the same ' +
        'storage is seen. Those by this one are seen at once, and tags are always read.',
    }),
  },
  {
    additionalProperties: false,
    description: 'What is remembered of the storage. A proxy does without: it has `transfer.linkCacheMs`.',
  },
);

/** What a registry that takes pushes lets in. */
export const RegistryConfigSchema = Type.Object(
  {
    indexes: Type.Union([Type.Literal('strict'), Type.Literal('lenient')], {
      default: 'strict',
      description:
        'Whether the manifests that an index names have to be in its repository: `strict`; or not: `lenient`, for indexes of ' +
        'which only some platforms are pushed.',
    }),
    readOnly: Type.Boolean({
      default: false,
      description: 'Whether pushes and deletions are refused (405), such as while the storage is being moved.',
    }),
    warning: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 1000,
        description:
          'A sentence that clients show whoever pulls or pushes a manifest, such as that the registry moves.',
      }),
    ),
    uploads: UploadsConfigSchema,
    cache: CacheConfigSchema,
    redirect: Type.Boolean({
      default: true,
      description: 'Whether clients are sent to the URLs of the storage for blobs, on drivers that give such.',
    }),
    offload: Type.Optional(
      Type.Object(
        {
          xAccelPrefix: Type.String({
            pattern: '^(/[A-Za-z0-9._-]+)+$',
            description:
              'Beginning of an internal location of nginx that leads to the rootdirectory of the driver `filesystem`, such ' +
              'as `/_shoal`; nginx then sends the bytes of blobs (docs/offload.md).',
          }),
        },
        { additionalProperties: false, description: 'Has nginx in front send the bytes of blobs.' },
      ),
    ),
  },
  { additionalProperties: false, description: 'What the registry API lets in.' },
);
export type RegistryConfig = Static<typeof RegistryConfigSchema>;

/** The options of a registry that follow from its settings. */
export function registryOptionsOf({
  indexes,
  readOnly,
  warning,
  uploads,
  cache,
  redirect,
  offload,
}: RegistryConfig): Pick<RegistryOptions, 'indexes' | 'readOnly' | 'warning' | 'cache' | 'redirect' | 'offload'> & {
  readonly uploads: UploadOptions;
} {
  const { idleTimeoutMs, chunkMinLengthBytes } = uploads;
  const message = 'this registry is read-only for now (registry.readOnly)';
  return {
    indexes,
    warning,
    cache,
    redirect,
    offload: offload === undefined ? undefined : { kind: 'x-accel', prefix: offload.xAccelPrefix },
    uploads: { idleTimeoutMs, chunkMinLengthBytes },
    readOnly: readOnly ? { message } : undefined,
  };
}

/** The options of the purge of uploads that follow from a registry's settings; a read-only one removes nothing. */
export function purgeOptionsOf({
  readOnly,
  uploads,
}: RegistryConfig): Pick<UploadPurgeOptions, 'maxAgeMs' | 'purgeIntervalMs'> {
  return { maxAgeMs: uploads.maxAgeMs, purgeIntervalMs: readOnly ? 0 : uploads.purgeIntervalMs };
}
