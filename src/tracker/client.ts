import { AppError, type Digest, UnavailableError } from '../core/index.ts';
import { ServiceClient } from '../http/index.ts';
import {
  type AnnounceAnswer,
  type AnnounceRequest,
  decodeMetainfoAnswer,
  type MetainfoAnswer,
  trackerRoutes,
} from './protocol.ts';

/** A tracker may wait for an origin that reads a cold blob from its backend first. */
const METAINFO_TIMEOUT_MS = 600_000;

/** The trackers of a cluster: each call goes to the first that answers. The owner of this object closes it. */
export class TrackerClient {
  readonly #clients: readonly ServiceClient[];

  constructor(options: { baseUrls: readonly string[]; clusterToken: string }) {
    const { clusterToken } = options;
    this.#clients = options.baseUrls.map((baseUrl) => new ServiceClient({ role: 'tracker', baseUrl, clusterToken }));
  }

  /** Reports all swarms of this host, and gets peers for those that want some. */
  async announce(request: AnnounceRequest, signal?: AbortSignal): Promise<AnnounceAnswer> {
    return this.#tryEach((client) => {
      return client.json({ method: 'POST', path: trackerRoutes.announce, json: request, signal });
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
    for (const client of this.#clients) {
      try {
        return await call(client);
      } catch (error) {
        if (!(error instanceof AppError && error.retryable)) throw error;
        failure = error;
      }
    }
    throw failure;
  }
}
