import { randomBytes } from 'node:crypto';
import { type Clock, type Digest, digestAlgorithms, makeDigest, type Repository } from '../core/index.ts';
import {
  findQuarantineEntry,
  formatPath,
  formatQuarantinePath,
  type QuarantineEntry,
  type QuarantinePath,
} from '../pathparser/index.ts';
import type { GcStorage } from './storage.ts';

/** Something in quarantine, and what it is of. */
export interface Quarantined {
  readonly digest: Digest;
  readonly entry: QuarantineEntry;
}

/** The place of a link; only these kinds of entries are links. */
export type LinkWhat = 'layer' | 'revision';

/**
 * Puts objects aside and back. Each move is one atomic step, and everything has a name of its own there, so that two
 * collectors and any number of registries can do the same at once.
 */
export class Quarantine {
  readonly #storage: GcStorage;
  readonly #clock: Clock;

  constructor(storage: GcStorage, clock: Clock) {
    this.#storage = storage;
    this.#clock = clock;
  }

  /** Puts the bytes of a blob aside. @returns false when they are gone */
  putBlobAside(digest: Digest): Promise<boolean> {
    const entry = this.#newEntry('data');
    const destination = formatQuarantinePath({ kind: 'quarantined-blob-entry', digest, entry });
    return this.#storage.move(formatPath({ kind: 'blob-data', digest }), destination);
  }

  /** Puts a link aside. @returns false when it is gone */
  putLinkAside(repository: Repository, what: LinkWhat, digest: Digest): Promise<boolean> {
    const entry = this.#newEntry(what);
    const destination = formatQuarantinePath({ kind: 'quarantined-link-entry', repository, digest, entry });
    return this.#storage.move(formatPath({ kind: `${what}-link`, repository, digest }), destination);
  }

  /** Moves the bytes of a blob back. @returns false when somebody else has, or has deleted them */
  moveBlobBack({ digest, entry }: Quarantined): Promise<boolean> {
    const path = (of: QuarantineEntry) =>
      formatQuarantinePath({ kind: 'quarantined-blob-entry', digest, entry: of } as const);
    return this.#moveBack(path(entry), formatPath({ kind: 'blob-data', digest }), path(this.#newEntry('restored')));
  }

  /** Moves a link back. @returns false when somebody else has, or has deleted it */
  moveLinkBack(repository: Repository, what: LinkWhat, { digest, entry }: Quarantined): Promise<boolean> {
    const path = (of: QuarantineEntry) =>
      formatQuarantinePath({ kind: 'quarantined-link-entry', repository, digest, entry: of });
    const place = formatPath({ kind: `${what}-link`, repository, digest });
    return this.#moveBack(path(entry), place, path(this.#newEntry('restored')));
  }

  /** All that is here of one blob. */
  async blobEntries(digest: Digest): Promise<QuarantineEntry[]> {
    return Array.fromAsync(this.#entriesOf({ kind: 'quarantined-blob', digest }));
  }

  /** All that is here of one link of a repository. */
  async linkEntries(repository: Repository, digest: Digest): Promise<QuarantineEntry[]> {
    return Array.fromAsync(this.#entriesOf({ kind: 'quarantined-link', repository, digest }));
  }

  /** The digests of which a repository has links here. */
  async *linksOf(repository: Repository): AsyncIterable<Digest> {
    for (const algorithm of digestAlgorithms) {
      const directory = formatQuarantinePath({ kind: 'quarantined-links', repository, algorithm });
      for await (const name of this.#storage.names(directory)) {
        const digest = makeDigest(algorithm, name);
        if (digest !== undefined) yield digest;
      }
    }
  }

  /** The digests of which blobs are here. */
  async *blobs(): AsyncIterable<Digest> {
    for (const algorithm of digestAlgorithms) {
      const top = formatQuarantinePath({ kind: 'quarantined-blobs', algorithm });
      for await (const prefix of this.#storage.names(top)) {
        for await (const name of this.#storage.names(`${top}/${prefix}`)) {
          const digest = makeDigest(algorithm, name);
          if (digest?.startsWith(`${algorithm}:${prefix}`)) yield digest;
        }
      }
    }
  }

  /** The note comes first: a reader who misses the thing at its place just before the move finds the note just after. */
  async #moveBack(source: string, place: string, note: string): Promise<boolean> {
    await this.#storage.put(note, new Uint8Array(0));
    return this.#storage.move(source, place);
  }

  #newEntry(what: QuarantineEntry['what']): QuarantineEntry {
    return { what, atMs: this.#clock.nowMs(), id: randomBytes(8).toString('hex') };
  }

  async *#entriesOf(
    directory: Extract<QuarantinePath, { kind: 'quarantined-blob' | 'quarantined-link' }>,
  ): AsyncIterable<QuarantineEntry> {
    for await (const name of this.#storage.names(formatQuarantinePath(directory))) {
      const entry = findQuarantineEntry(name);
      if (entry !== undefined) yield entry;
    }
  }
}
