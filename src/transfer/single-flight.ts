import { handledElsewhere, orAborted } from './abort.ts';

interface Flight<Value> {
  readonly result: Promise<Value>;
  readonly controller: AbortController;
  waiters: number;
}

/** Calls that are on their way, by key: whoever asks for the same thing meanwhile waits for the same answer. */
export class SingleFlight<Key, Value> {
  readonly #flights = new Map<Key, Flight<Value>>();

  /**
   * Joins the call of this key, or begins it. A waiter whose signal aborts leaves alone; the call itself is aborted when
   * the last one has left.
   */
  async run(key: Key, call: (signal: AbortSignal) => Promise<Value>, signal?: AbortSignal): Promise<Value> {
    signal?.throwIfAborted();
    const flight = this.#flights.get(key) ?? this.#begin(key, call);
    flight.waiters += 1;
    try {
      return await orAborted(flight.result, signal);
    } finally {
      flight.waiters -= 1;
      if (flight.waiters === 0) {
        this.#end(key, flight);
        flight.controller.abort();
      }
    }
  }

  /** Lets nobody join the call of this key any more; who waits for it goes on waiting. */
  forget(key: Key): void {
    this.#flights.delete(key);
  }

  #begin(key: Key, call: (signal: AbortSignal) => Promise<Value>): Flight<Value> {
    const controller = new AbortController();
    const flight = { result: call(controller.signal), controller, waiters: 0 };
    this.#flights.set(key, flight);
    handledElsewhere(flight.result);
    const end = () => this.#end(key, flight);
    flight.result.then(end, end);
    return flight;
  }

  #end(key: Key, flight: Flight<Value>): void {
    if (this.#flights.get(key) === flight) this.#flights.delete(key);
  }
}
