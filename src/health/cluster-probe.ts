import { UnavailableError } from '../core/index.ts';
import { ServiceClient } from '../http/index.ts';

/** Programs of one kind, of which one has to answer. */
export interface ProbeOptions {
  /** Such as `tracker`, for errors. */
  readonly role: string;
  readonly baseUrls: readonly string[];
  readonly clusterToken: string;
}

/** Asks whether a program that this one leans on is alive. The owner closes it. */
export class ClusterProbe {
  readonly #role: string;
  readonly #clients: readonly ServiceClient[];

  constructor({ role, baseUrls, clusterToken }: ProbeOptions) {
    this.#role = role;
    this.#clients = baseUrls.map((baseUrl) => new ServiceClient({ role, baseUrl, clusterToken }));
  }

  /** Resolves as soon as one of them answers. @throws UnavailableError when none does */
  async check(signal: AbortSignal): Promise<void> {
    try {
      await Promise.any(this.#clients.map((client) => client.json({ method: 'GET', path: '/healthz', signal })));
    } catch (cause) {
      const urls = this.#clients.map((client) => client.baseUrl).join(', ');
      throw new UnavailableError(`no ${this.#role} answers; asked ${urls}`, { role: this.#role }, { cause });
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.close()));
  }
}
