import { KeyedMutex } from '../../core/index.ts';
import { ConflictError, PathNotFoundError } from '../errors.ts';
import type { Removals } from '../object-store/index.ts';
import { isConditionFailure } from './azure-errors.ts';
import type { BlobFacts, BlobStore } from './blob-store.ts';
import { SourceChangedError } from './copier.ts';
import type { BlobNames } from './names.ts';
import { driverName } from './parameters.ts';
import type { Places } from './places.ts';
import type { Publisher } from './publisher.ts';

const maxTries = 3;

/** Moves objects: a copy by the service, and a deletion of just what was copied. One at a time for each source. */
export class Mover {
  readonly #store: BlobStore;
  readonly #names: BlobNames;
  readonly #places: Places;
  readonly #publisher: Publisher;
  readonly #removals: Removals;
  readonly #moves = new KeyedMutex();

  constructor(parts: {
    readonly store: BlobStore;
    readonly names: BlobNames;
    readonly places: Places;
    readonly publisher: Publisher;
    readonly removals: Removals;
  }) {
    this.#store = parts.store;
    this.#names = parts.names;
    this.#places = parts.places;
    this.#publisher = parts.publisher;
    this.#removals = parts.removals;
  }

  /** @throws PathNotFoundError, ConflictError when the source is replaced again and again, and what a put throws */
  move(source: string, destination: string, signal: AbortSignal | undefined): Promise<void> {
    return this.#moves.run(source, () => this.#move(source, destination, signal));
  }

  async #move(source: string, destination: string, signal: AbortSignal | undefined): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      signal?.throwIfAborted();
      const facts = await this.#places.getObject(source, signal);
      if (source === destination) return;
      try {
        await this.#moveOnce(source, facts, destination, signal);
        return;
      } catch (error) {
        if (!(error instanceof SourceChangedError)) throw error;
        if (attempt === maxTries) throw new ConflictError(driverName, source, error.message, { cause: error });
      }
    }
  }

  /** @throws SourceChangedError when the source is not what it was any more */
  async #moveOnce(
    source: string,
    facts: BlobFacts,
    destination: string,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const name = this.#names.ofObject(source);
    const { etag, replaced } = await this.#publisher.copy({ source: name, facts }, destination, signal);
    // From here on the move is not called off any more.
    if (await this.#remove(name, facts)) {
      this.#removals.note(source);
      return;
    }
    // Another process has moved or deleted it meanwhile, so it was not for this one to move.
    if (replaced === undefined) await this.#store.delete(this.#names.ofObject(destination), { ifMatch: etag });
    throw new PathNotFoundError(driverName, source);
  }

  /** @returns whether it was there */
  async #remove(name: string, { etag }: BlobFacts): Promise<boolean> {
    try {
      return await this.#store.delete(name, { ifMatch: etag });
    } catch (error) {
      // What is there now was not copied.
      if (isConditionFailure(error)) throw new SourceChangedError(name, { cause: error });
      throw error;
    }
  }
}
