import type { Announcer } from '../swarm.ts';

/** The announces of another process, passed on; tells who waits for it that the tracker knows of a swarm. */
export class AnnouncedSwarms implements Announcer {
  readonly #announcer: Announcer;
  readonly #waiting = new Map<string, PromiseWithResolvers<void>>();

  constructor(announcer: Announcer) {
    this.#announcer = announcer;
  }

  async announce(
    request: Parameters<Announcer['announce']>[0],
    signal?: AbortSignal,
  ): ReturnType<Announcer['announce']> {
    const answer = await this.#announcer.announce(request, signal);
    // A tracker that asks for everything has taken nothing.
    if (answer.full === true) return answer;
    for (const { swarmId, event } of request.swarms) if (event === undefined) this.#waiting.get(swarmId)?.resolve();
    return answer;
  }

  /** Resolves when a swarm has been announced. Rejects with the signal's reason, or that of {@link close}. */
  async next(swarmId: string, signal: AbortSignal): Promise<void> {
    const waiting = this.#waiting.get(swarmId) ?? Promise.withResolvers<void>();
    this.#waiting.set(swarmId, waiting);
    const onAbort = () => waiting.reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      await waiting.promise;
    } finally {
      signal.removeEventListener('abort', onAbort);
      this.#waiting.delete(swarmId);
    }
  }

  /** Nothing is announced any more. */
  close(reason: Error): void {
    for (const { reject } of this.#waiting.values()) reject(reason);
  }
}
