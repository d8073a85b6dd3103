import { KeyedMutex } from '../../core/index.ts';
import { PathNotFoundError } from '../errors.ts';
import { SourceChangedError } from './errors.ts';
import type { GcsNames } from './names.ts';
import type { ObjectStore } from './object-store.ts';
import { driverName } from './parameters.ts';
import type { Places } from './places.ts';
import type { Publisher } from './publisher.ts';

/** Somebody may replace the source while it is copied; then the move begins again. */
const maxMoveTries = 3;

/** Moves objects: a copy within the service, then a deletion. */
export class Mover {
  readonly #store: ObjectStore;
  readonly #names: GcsNames;
  readonly #places: Places;
  readonly #publisher: Publisher;
  readonly #moves = new KeyedMutex();

  constructor(parts: {
    readonly store: ObjectStore;
    readonly names: GcsNames;
    readonly places: Places;
    readonly publisher: Publisher;
  }) {
    this.#store = parts.store;
    this.#names = parts.names;
    this.#places = parts.places;
    this.#publisher = parts.publisher;
  }

  /** @throws PathNotFoundError, NotAFileError, NotADirectoryError, SourceChangedError */
  move(source: string, destination: string, signal: AbortSignal | undefined): Promise<void> {
    return this.#moves.run(source, async () => {
      for (let attempt = 1; ; attempt++) {
        try {
          return await this.#moveOnce(source, destination, signal);
        } catch (error) {
          if (!(error instanceof SourceChangedError) || attempt === maxMoveTries) throw error;
        }
      }
    });
  }

  async #moveOnce(source: string, destination: string, signal: AbortSignal | undefined): Promise<void> {
    const facts = await this.#places.get(source, signal);
    if (source === destination) return;
    const { generation, replaced } = await this.#publisher.copy(facts, destination, signal);
    // From here on the move is not called off any more.
    if (await this.#store.delete(facts.name, { ifGeneration: facts.generation })) return;
    // Another process has moved or deleted it meanwhile, so it was not for this one to move.
    if (replaced === undefined) {
      await this.#store.delete(this.#names.ofObject(destination), { ifGeneration: generation });
    }
    throw new PathNotFoundError(driverName, source);
  }
}
