import { parseCrc32c } from './crc32c.ts';

/** What is known of an object. */
export interface ObjectFacts {
  readonly name: string;
  /** Another number with every write of the name. */
  readonly generation: string;
  readonly sizeBytes: number;
  /** When this generation was made, by the service's clock, in milliseconds. */
  readonly modTimeMs: number;
  readonly crc32c: number | undefined;
  readonly contentType: string | undefined;
  /** Which write it is of, where that was said. */
  readonly writeId: string | undefined;
}

/** Bytes in the bucket that other objects are made of. */
export type SourceObject = Pick<ObjectFacts, 'name' | 'generation' | 'sizeBytes'> & { readonly crc32c: number };

/** What the answers of the service have of an object; numbers come as texts. */
export interface ObjectResource {
  readonly name: string;
  readonly generation: string;
  readonly size?: string;
  readonly timeCreated: string;
  readonly crc32c?: string;
  readonly contentType?: string;
  readonly metadata?: Readonly<Record<string, string>>;
}

/** A page of a listing. */
export interface ListAnswer {
  readonly items?: readonly ObjectResource[];
  readonly prefixes?: readonly string[];
  readonly nextPageToken?: string;
}

/** In the metadata of an object: which write it is of. */
const writeKey = 'shoalwrite';
/** What answers are asked to have of an object: the fields of {@link ObjectResource}. */
export const objectFields = 'name,generation,size,timeCreated,crc32c,contentType,metadata';

/** What is said of an object that is written. */
export function propertiesOf({ writeId }: { readonly writeId?: string }): object {
  return {
    contentType: 'application/octet-stream',
    ...(writeId === undefined ? {} : { metadata: { [writeKey]: writeId } }),
  };
}

/** Reads what the service says of an object. */
export function factsOf(resource: ObjectResource): ObjectFacts {
  const { name, generation, size, timeCreated, contentType, metadata } = resource;
  return {
    name,
    generation,
    sizeBytes: Number(size ?? 0),
    modTimeMs: Date.parse(timeCreated),
    crc32c: parseCrc32c(resource.crc32c),
    contentType,
    writeId: metadata?.[writeKey],
  };
}

/** A page has its objects and its directories apart; together they are in the order of their bytes. */
export function inOrder({ items = [], prefixes = [] }: ListAnswer): ObjectFacts[] {
  const none = {
    generation: '',
    sizeBytes: 0,
    modTimeMs: 0,
    crc32c: undefined,
    contentType: undefined,
    writeId: undefined,
  };
  const directories = prefixes.map((name) => ({ ...none, name }));
  const all = [...directories, ...items.map(factsOf)];
  return directories.length === 0 ? all : all.sort((left, right) => (left.name < right.name ? -1 : 1));
}
