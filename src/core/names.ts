import { type Digest, findDigest, parseDigest } from './digest.ts';
import { InvalidRepositoryError, InvalidTagError } from './errors.ts';

declare const brand: unique symbol;

/** The namespace path of an image, such as `team/app`; made only by {@link parseRepository}. */
export type Repository = string & { readonly [brand]: 'Repository' };

/** The mutable name of a manifest in a repository, such as `v1`; made only by {@link parseTag}. */
export type Tag = string & { readonly [brand]: 'Tag' };

/** What stands behind `/manifests/`: a tag or a digest. */
export type Reference =
  | { readonly kind: 'tag'; readonly tag: Tag }
  | { readonly kind: 'digest'; readonly digest: Digest };

/** The OCI distribution specification bounds host and name together; distribution bounds the name by this. */
export const REPOSITORY_MAX_LENGTH = 255;

// OCI distribution specification 1.1, "Pulling manifests": <name> and <reference>.
const repositoryPattern = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const tagPattern = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;

/** Reads a repository name; `undefined` when `text` is none. */
export function findRepository(text: string): Repository | undefined {
  return text.length <= REPOSITORY_MAX_LENGTH && repositoryPattern.test(text) ? (text as Repository) : undefined;
}

/** Reads a repository name. @throws InvalidRepositoryError when `text` is none. */
export function parseRepository(text: string): Repository {
  const repository = findRepository(text);
  if (repository !== undefined) return repository;
  throw new InvalidRepositoryError(
    `"${text.slice(0, 300)}" is not a repository name: expected lower-case letters, digits and single separators (. _ __ -) ` +
      `in components joined by "/", ${REPOSITORY_MAX_LENGTH} characters at most`,
    { repository: text.slice(0, 300) },
  );
}

/** Reads a tag; `undefined` when `text` is none. */
export function findTag(text: string): Tag | undefined {
  return tagPattern.test(text) ? (text as Tag) : undefined;
}

/** Reads a tag. @throws InvalidTagError when `text` is none. */
export function parseTag(text: string): Tag {
  const tag = findTag(text);
  if (tag !== undefined) return tag;
  throw new InvalidTagError(
    `"${text.slice(0, 150)}" is not a tag: expected a letter, digit or "_", then up to 127 of letters, digits, ".", "_", "-"`,
    { tag: text.slice(0, 150) },
  );
}

/** Reads a reference: with a colon a digest, else a tag. @throws InvalidDigestError, InvalidTagError */
export function parseReference(text: string): Reference {
  if (text.includes(':')) return { kind: 'digest', digest: parseDigest(text) };
  return { kind: 'tag', tag: parseTag(text) };
}

/** The inverse of {@link parseReference}. */
export function formatReference(reference: Reference): string {
  return reference.kind === 'tag' ? reference.tag : reference.digest;
}

/** Reads a reference; `undefined` when `text` is neither tag nor digest. */
export function findReference(text: string): Reference | undefined {
  const digest = findDigest(text);
  if (digest !== undefined) return { kind: 'digest', digest };
  const tag = findTag(text);
  return tag === undefined ? undefined : { kind: 'tag', tag };
}
