import { UnavailableError } from '../../core/index.ts';
import { type PackedError, packError, unpackError } from './packed-error.ts';

/** What one side may call: parameters and answer by name. */
export type Calls<C> = { readonly [K in keyof C]: { readonly params: unknown; readonly answer: unknown } };

/** What a side does when it is called. The signal aborts when the caller wants no answer any more. */
export type Handlers<C extends Calls<C>> = {
  readonly [K in keyof C]: (params: C[K]['params'], signal: AbortSignal) => C[K]['answer'] | Promise<C[K]['answer']>;
};

/** What goes through the pipe between two processes, by structured clone. */
export type ChannelMessage =
  /** Without an id no answer is wanted. */
  | { readonly kind: 'call'; readonly id: number | undefined; readonly name: string; readonly params: unknown }
  | { readonly kind: 'abort'; readonly id: number }
  | { readonly kind: 'answer'; readonly id: number; readonly value?: unknown; readonly error?: PackedError };

/** Calls that wait for their answer at most: more are a sign that the other side hangs. */
const MAX_WAITING = 20_000;

/** Calls and answers between two processes that trust each other. What is sent arrives, in order, or the channel closes. */
export class Channel<Out extends Calls<Out>, In extends Calls<In>> {
  readonly #post: (message: ChannelMessage) => void;
  readonly #handlers: Handlers<In>;
  readonly #onFailure: (error: unknown, name: string) => void;
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>();
  /** Calls of the other side that are under way. */
  readonly #running = new Map<number, AbortController>();
  #lastId = 0;
  #closed: Error | undefined;

  /**
   * @param options.post sends to the other side
   * @param options.onFailure hears of what failed without anybody waiting for an answer
   */
  constructor(options: {
    post: (message: ChannelMessage) => void;
    handlers: Handlers<In>;
    onFailure: (error: unknown, name: string) => void;
  }) {
    this.#post = options.post;
    this.#handlers = options.handlers;
    this.#onFailure = options.onFailure;
  }

  /** Calls the other side. @throws what it throws; the signal's reason; the reason for which the channel was closed */
  async call<K extends keyof Out & string>(
    name: K,
    params: Out[K]['params'],
    signal?: AbortSignal,
  ): Promise<Out[K]['answer']> {
    signal?.throwIfAborted();
    if (this.#closed !== undefined) throw this.#closed;
    if (this.#waiting.size >= MAX_WAITING) {
      throw new UnavailableError(`${MAX_WAITING} calls wait for the other process: ${name} is not added to them`);
    }
    this.#lastId += 1;
    const id = this.#lastId;
    const answer = Promise.withResolvers<unknown>();
    const onAbort = () => {
      this.#send({ kind: 'abort', id });
      answer.reject(signal?.reason);
    };
    this.#waiting.set(id, answer);
    signal?.addEventListener('abort', onAbort, { once: true });
    this.#send({ kind: 'call', id, name, params });
    try {
      return (await answer.promise) as Out[K]['answer'];
    } finally {
      this.#waiting.delete(id);
      signal?.removeEventListener('abort', onAbort);
    }
  }

  /** Calls the other side without waiting for an answer; what fails there is told there. */
  tell<K extends keyof Out & string>(name: K, params: Out[K]['params']): void {
    this.#send({ kind: 'call', id: undefined, name, params });
  }

  /** Takes what the other side has sent. */
  receive(message: ChannelMessage): void {
    if (this.#closed !== undefined) return;
    if (message.kind === 'call') void this.#perform(message);
    else if (message.kind === 'abort') this.#running.get(message.id)?.abort(new UnavailableError('the caller gave up'));
    else {
      const waiting = this.#waiting.get(message.id);
      if (message.error === undefined) waiting?.resolve(message.value);
      else waiting?.reject(unpackError(message.error));
    }
  }

  /** Ends all calls of both sides; nothing is sent or taken any more. */
  close(reason: Error): void {
    if (this.#closed !== undefined) return;
    this.#closed = reason;
    for (const { reject } of this.#waiting.values()) reject(reason);
    for (const controller of this.#running.values()) controller.abort(reason);
  }

  async #perform({ id, name, params }: ChannelMessage & { kind: 'call' }): Promise<void> {
    const controller = new AbortController();
    if (id !== undefined) this.#running.set(id, controller);
    try {
      // The other side is of the same version, and calls only what its type allows.
      const value = await this.#handlers[name as keyof In](params, controller.signal);
      if (id !== undefined) this.#send({ kind: 'answer', id, value });
    } catch (error) {
      if (id === undefined) this.#onFailure(error, name);
      else this.#send({ kind: 'answer', id, error: packError(error) });
    } finally {
      if (id !== undefined) this.#running.delete(id);
    }
  }

  #send(message: ChannelMessage): void {
    if (this.#closed === undefined) this.#post(message);
  }
}
