import type { HeadObjectCommandOutput } from '@aws-sdk/client-s3';
import { LRUCache } from 'lru-cache';
import { NotADirectoryError, NotAFileError, PathNotFoundError } from '../errors.ts';
import { isWithin, parentOf } from '../paths.ts';
import { driverName } from './errors.ts';
import type { KeySpace } from './keys.ts';
import type { RequestScope, S3Requests } from './requests.ts';

/** How many directories are remembered to be none but directories, and for how long. */
const maxKnownDirectories = 10_000;
const knownDirectoryMs = 60_000;

/**
 * Asks what is where. S3 has no directories: one is wherever a key continues a path after a slash. Nothing in S3 keeps an
 * object and a directory of one name apart, so whoever writes asks first: for objects below the path (one listing of one
 * key), and for an object in each parent's place (one HEAD each, remembered for a minute).
 */
export class ObjectLookup {
  readonly #requests: S3Requests;
  readonly #keys: KeySpace;
  readonly #directories = new LRUCache<string, true>({ max: maxKnownDirectories, ttl: knownDirectoryMs });

  constructor(requests: S3Requests, keys: KeySpace) {
    this.#requests = requests;
    this.#keys = keys;
  }

  /** One request. `undefined` when there is no object, whether there is a directory or not. */
  async findObject(path: string, scope: RequestScope): Promise<HeadObjectCommandOutput | undefined> {
    const place = { Bucket: this.#requests.bucket, Key: this.#keys.keyToRead(path) };
    try {
      return await this.#requests.send(scope, (s3, options) => s3.headObject(place, options));
    } catch (error) {
      if (error instanceof PathNotFoundError) return undefined;
      throw error;
    }
  }

  /** Whether there is anything below a path. One request. */
  async isDirectory(path: string, scope: RequestScope): Promise<boolean> {
    return this.hasKeysBelow(this.#keys.prefixBelow(path), scope);
  }

  /** Whether there is a key that begins so. One request. */
  async hasKeysBelow(prefix: string, scope: RequestScope): Promise<boolean> {
    const page = await this.#requests.send(scope, (s3, options) =>
      s3.listObjectsV2({ Bucket: this.#requests.bucket, Prefix: prefix, MaxKeys: 1 }, options),
    );
    return (page.Contents ?? []).length > 0;
  }

  /** The error for an object that is not there: NotAFileError where a directory is. One request. */
  async missing(path: string, scope: RequestScope, cause?: unknown): Promise<Error> {
    if (await this.isDirectory(path, scope)) return new NotAFileError(driverName, path, { cause });
    return new PathNotFoundError(driverName, path, { cause });
  }

  /**
   * Makes sure that an object can be at a path. One request, and one for each parent that is not known yet.
   * @throws NotAFileError when objects are below, NotADirectoryError when a parent is an object
   */
  async requireFree(path: string, scope: RequestScope): Promise<void> {
    const checks: Promise<void>[] = [this.#requireNothingBelow(path, scope)];
    for (let parent = parentOf(path); parent !== '/'; parent = parentOf(parent)) {
      if (!this.#directories.has(parent)) checks.push(this.#requireNoObject(parent, path, scope));
    }
    await Promise.all(checks);
  }

  /** An object has come to be at a path: it is no directory, and its parents are no objects. */
  written(path: string): void {
    this.#directories.delete(path);
    for (let parent = parentOf(path); parent !== '/'; parent = parentOf(parent)) this.#directories.set(parent, true);
  }

  /** Objects have gone: the directories that they were in may have gone with them. */
  deleted(path: string): void {
    for (let parent = parentOf(path); parent !== '/'; parent = parentOf(parent)) this.#directories.delete(parent);
    for (const known of this.#directories.keys()) {
      if (isWithin(known, path)) this.#directories.delete(known);
    }
  }

  async #requireNothingBelow(path: string, scope: RequestScope): Promise<void> {
    if (await this.isDirectory(path, scope)) throw new NotAFileError(driverName, path);
  }

  async #requireNoObject(parent: string, path: string, scope: RequestScope): Promise<void> {
    if ((await this.findObject(parent, scope)) !== undefined) throw new NotADirectoryError(driverName, path);
    this.#directories.set(parent, true);
  }
}
