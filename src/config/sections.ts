import Type, { type Static } from 'typebox';

/** Base URLs of programs: no path, query or user. */
const baseUrl = { pattern: '^https?://[^/?#@\\s]+/?$' } as const;

/** The base URL of one program. */
export function urlSchema(defaultUrl: string, description: string) {
  return Type.String({ ...baseUrl, default: defaultUrl, description });
}

/** Base URLs of all programs of one kind; at least one. */
export function urlsSchema(defaultUrl: string, description: string) {
  return Type.Array(Type.String(baseUrl), { minItems: 1, maxItems: 1000, default: [defaultUrl], description });
}

/** The local store of blobs of a program that keeps some. */
export const StoreConfigSchema = Type.Object(
  {
    directory: Type.String({ minLength: 1, description: 'Folder of the blobs on local disk; one program at a time.' }),
    capacityBytes: Type.Integer({
      default: 20 * 1024 ** 3,
      minimum: 1024 ** 2,
      unit: 'bytes',
      description: 'Beyond this the least recently used blobs go.',
    }),
  },
  { additionalProperties: false, description: 'The local store of blobs.' },
);
export type StoreConfig = Static<typeof StoreConfigSchema>;
