import { TestClient } from '../registry/client.ts';

const writtenPath = /^\/v2\/(.+)\/(?:blobs\/uploads|manifests)\//;

/**
 * A registry client of a whole cluster: each write goes to the next proxy, whichever has begun the upload, and each read to
 * the next of all proxies and agents, so that whatever one of them was told, another is asked for.
 */
export class ClusterClient extends TestClient {
  readonly #proxies: readonly string[];
  readonly #readers: readonly string[];
  readonly #written = new Set<string>();
  readonly #turns = { write: 0, read: 0 };

  constructor(proxies: readonly string[], agents: readonly string[]) {
    super(proxies[0]!);
    this.#proxies = proxies;
    this.#readers = [...proxies, ...agents];
  }

  override urlFor(method: string, path: string): URL {
    return new URL(path, this.#serverFor(method, path));
  }

  /** Deletes every repository that is listed, or that this client has written to. */
  async empty(): Promise<void> {
    const listed = await this.call('GET', '/v2/_catalog?n=1000');
    const { repositories } = JSON.parse(listed.body.toString()) as { repositories: string[] };
    const names = new Set([...repositories, ...this.#written]);
    await Promise.all(
      Array.from(names, async (name) => {
        const { status } = await this.call('DELETE', `/v2/${name}/_shoal/repository`);
        if (status !== 202 && status !== 404) throw new Error(`deleting ${name} answered ${status}`);
      }),
    );
    this.#written.clear();
  }

  #serverFor(method: string, path: string): string {
    const reads = method === 'GET' || method === 'HEAD';
    const repository = reads ? undefined : writtenPath.exec(path)?.[1];
    if (repository !== undefined) this.#written.add(repository);
    // An agent has no uploads.
    if (reads && !path.includes('/blobs/uploads/')) return this.#readers[this.#turns.read++ % this.#readers.length]!;
    return this.#proxies[this.#turns.write++ % this.#proxies.length]!;
  }
}
