import Type, { type Static } from 'typebox';
import type { RegistryOptions } from './registry.ts';

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
  },
  { additionalProperties: false, description: 'What the registry API lets in.' },
);
export type RegistryConfig = Static<typeof RegistryConfigSchema>;

/** The options of a registry that follow from its settings. */
export function registryOptionsOf({
  indexes,
  readOnly,
}: RegistryConfig): Pick<RegistryOptions, 'indexes' | 'readOnly'> {
  if (!readOnly) return { indexes };
  return { indexes, readOnly: { message: 'this registry is read-only for now (registry.readOnly)' } };
}
