import { AppError, type Digest, UnavailableError } from '../core/index.ts';
import { ServiceClient } from '../http/index.ts';
import {
  type AnnounceAnswer,
  type AnnounceRequest,
  decodeAnnounceAnswer,
  decodeMetainfoAnswer,
  type MetainfoAnswer,
  trackerRoutes,
} from './protocol.ts';

/** A tracker may wait for an origin that reads a cold blob from its backend first. */
const METAINFO_TIMEOUT_MS = 600_000;

/** A tracker answers an announce in milliseconds; one that hangs must not cost a whole interval. */
const ANNOUNCE_TIMEOUT_MS = 5_000;
/** A tracker that did not answer is asked last for this long. */
const DOWN_MS = 5_000;

/**
 * The trackers of a cluster: each call goes to the first in the list that answers, so that all hosts meet at the same one.
 * One that did not answer comes last for a while. The owner of this object closes it.
 */
export class TrackerClient {
  readonly #clients: readonly ServiceClient[];
  readonly #downUntilMs = new Map<ServiceClient, number>();

  constructor(options: { baseUrls: readonly string[]; clusterToken: string }) {
    const { clusterToken } = options;
    this.#clients = options.baseUrls.map((baseUrl) => new ServiceClient({ role: 'tracker', baseUrl, clusterToken }));
  }

  /** Reports all swarms of this host, and gets peers for those that want some. */
  async announce(request: AnnounceRequest, signal?: AbortSignal): Promise<AnnounceAnswer> {
    return this.#tryEach(async (client) => {
      const path = trackerRoutes.announce;
      const timeoutMs = ANNOUNCE_TIMEOUT_MS;
      return decodeAnnounceAnswer(await client.json({ method: 'POST', path, json: request, timeoutMs, signal }));
    });
  }

  /** Metainfo, and the blob itself when it is small. @throws BlobNotFoundError */
  async metainfo(digest: Digest, signal?: AbortSignal): Promise<MetainfoAnswer> {
    const path = trackerRoutes.metainfo(digest);
    return this.#tryEach(async (client) => {
      return decodeMetainfoAnswer(await client.bytes({ method: 'GET', path, timeoutMs: METAINFO_TIMEOUT_MS, signal }));
    });
  }

  async close(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.close()));
  }

  async #tryEach<T>(call: (client: ServiceClient) => Promise<T>): Promise<T> {
    let failure: unknown = new UnavailableError('no tracker is configured');
    for (const client of this.#answeringFirst()) {
      try {
        const answer = await call(client);
        this.#downUntilMs.delete(client);
        return answer;
      } catch (error) {
        if (!(error instanceof AppError && error.retryable)) throw error;
        failure = error;
        this.#downUntilMs.set(client, performance.now() + DOWN_MS);
      }
    }
    throw failure;
  }

  #answeringFirst(): ServiceClient[] {
    const now = performance.now();
    const isDown = (client: ServiceClient) => (this.#downUntilMs.get(client) ?? 0) > now;
    return [...this.#clients.filter((client) => !isDown(client)), ...this.#clients.filter(isDown)];
  }
}
