import { Value } from 'typebox/value';
import {
  BadRequestError,
  type Digest,
  parseDigest,
  parseRepository,
  parseTag,
  type Repository,
  type Tag,
} from '../core/index.ts';
import type { PageRequest } from './page.ts';
import { type LinkKind, TagBodySchema } from './protocol.ts';

/** The longest name that `after` can be is a repository; twice that is no name any more. */
const AFTER_MAX_LENGTH = 512;
const wholeNumber = /^[0-9]{1,9}$/;

/** The query of a request, read field by field into values. Every method throws when its field is missing or no such value. */
export class Query {
  readonly #fields: Readonly<Record<string, unknown>>;

  constructor(fields: unknown) {
    this.#fields = typeof fields === 'object' && fields !== null ? { ...fields } : {};
  }

  /** @throws BadRequestError, InvalidRepositoryError */
  repository(): Repository {
    return parseRepository(this.#text('repository'));
  }

  /** @throws BadRequestError, InvalidTagError */
  tag(): Tag {
    return parseTag(this.#text('tag'));
  }

  /** @throws BadRequestError, InvalidDigestError */
  digest(field: 'digest' | 'subject' | 'referrer'): Digest {
    return parseDigest(this.#text(field));
  }

  /** @throws BadRequestError */
  linkKind(): LinkKind {
    const kind = this.#text('kind');
    if (kind === 'layer' || kind === 'revision') return kind;
    throw new BadRequestError(`the query's "kind" is "${kind.slice(0, 80)}", expected "layer" or "revision"`);
  }

  /** @throws BadRequestError */
  page(): PageRequest {
    const after = this.#findText('after') ?? '';
    if (after.length > AFTER_MAX_LENGTH) {
      throw new BadRequestError(
        `the query's "after" has ${after.length} characters, expected ${AFTER_MAX_LENGTH} at most`,
      );
    }
    const limit = this.#findText('limit');
    if (limit !== undefined && (!wholeNumber.test(limit) || Number(limit) === 0)) {
      throw new BadRequestError(`the query's "limit" is "${limit.slice(0, 80)}", expected a number from 1 on`);
    }
    return { after, limit: limit === undefined ? undefined : Number(limit) };
  }

  #text(field: string): string {
    const text = this.#findText(field);
    if (text === undefined) throw new BadRequestError(`the query has no "${field}"`);
    return text;
  }

  #findText(field: string): string | undefined {
    const value = this.#fields[field];
    if (value === undefined || typeof value === 'string') return value;
    throw new BadRequestError(`the query has "${field}" more than once`);
  }
}

/** The digest in the body of a PUT of a tag. @throws BadRequestError, InvalidDigestError */
export function readTagBody(body: unknown): Digest {
  if (!Value.Check(TagBodySchema, body)) throw new BadRequestError('the body of a tag is not {"digest": "…"}');
  return parseDigest(body.digest);
}
