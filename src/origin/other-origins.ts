import { pipeline, Transform } from 'node:stream';
import type { Logger } from 'pino';
import {
  BlobNotFoundError,
  type Clock,
  type Digest,
  type Repository,
  rendezvousOrder,
  UnavailableError,
} from '../core/index.ts';
import { OriginClient, type UploadSource } from './client.ts';

/** What {@link OtherOrigins} needs. */
export interface OtherOriginsDeps {
  /** Base URL of this origin, as it stands in `members`. */
  readonly selfUrl: string;
  readonly members: readonly string[];
  readonly clusterToken: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** An origin that did not answer is not asked for this long. */
const DOWN_MS = 5_000;
/** A replica that takes no bytes, or does not answer after the last one, for this long, counts as dead. */
const STALL_MS = 60_000;

/** A blob on another origin's disk. */
export interface RemoteBlob {
  readonly origin: OriginClient;
  readonly sizeBytes: number;
}

/** The origins of the cluster but this one: copies go to them, and lost blobs come back from them. */
export class OtherOrigins {
  readonly #clients: ReadonlyMap<string, OriginClient>;
  readonly #downUntilMs = new Map<string, number>();
  readonly #clock: Clock;
  readonly #logger: Logger;

  constructor({ selfUrl, members, clusterToken, clock, logger }: OtherOriginsDeps) {
    const others = members.filter((baseUrl) => baseUrl !== selfUrl);
    this.#clients = new Map(others.map((baseUrl) => [baseUrl, new OriginClient({ baseUrl, clusterToken })]));
    this.#clock = clock;
    this.#logger = logger;
  }

  /** How many there are. */
  get size(): number {
    return this.#clients.size;
  }

  /**
   * Looks for a blob on the disks of the others, its owners first.
   * @throws UnavailableError when none that answers has it and one does not answer: that one may
   */
  async find(digest: Digest, signal?: AbortSignal): Promise<RemoteBlob | undefined> {
    const failures: unknown[] = [];
    for (const origin of this.#inOrder(digest)) {
      if (this.#isDown(origin)) {
        failures.push(new UnavailableError(`the origin at ${origin.baseUrl} did not answer a moment ago`));
        continue;
      }
      try {
        return { origin, sizeBytes: await origin.stat(digest, signal, { local: true }) };
      } catch (error) {
        signal?.throwIfAborted();
        if (error instanceof BlobNotFoundError) continue;
        this.#markDown(origin);
        failures.push(error);
      }
    }
    if (failures.length === 0) return undefined;
    throw new UnavailableError(
      `blob ${digest} is on no origin that answers, and ${failures.length} of ${this.size} other origins did not answer`,
      { digest, silent: failures.length },
      { cause: failures.length === 1 ? failures[0] : new AggregateError(failures) },
    );
  }

  /**
   * Copies a blob to `copies` others, owners first, one after the other; one that fails is replaced by the next.
   * @returns base URLs of those that hold it now
   * @throws UnavailableError when fewer took it
   */
  async replicate(
    digest: Digest,
    source: UploadSource,
    options: { readonly copies: number; readonly repository: Repository | undefined; readonly signal: AbortSignal },
  ): Promise<readonly string[]> {
    const holders: string[] = [];
    const failures: unknown[] = [];
    for (const origin of this.#answeringFirst(digest)) {
      if (holders.length >= options.copies) break;
      try {
        await this.#copyTo(origin, digest, source, options);
        this.#downUntilMs.delete(origin.baseUrl);
        holders.push(origin.baseUrl);
      } catch (error) {
        options.signal.throwIfAborted();
        this.#logger.warn({ err: error, digest, origin: origin.baseUrl }, 'an origin did not take a copy');
        if (error instanceof UnavailableError) this.#markDown(origin);
        failures.push(error);
      }
    }
    if (holders.length >= options.copies) return holders;
    throw new UnavailableError(
      `blob ${digest} has ${holders.length} of ${options.copies} copies on other origins: ${failures.map(reasonOf).join('; ')}`,
      { digest, copies: holders.length, wanted: options.copies },
      { cause: new AggregateError(failures) },
    );
  }

  async close(): Promise<void> {
    await Promise.all([...this.#clients.values()].map((client) => client.close()));
  }

  async #copyTo(
    origin: OriginClient,
    digest: Digest,
    source: UploadSource,
    { repository, signal }: { readonly repository: Repository | undefined; readonly signal: AbortSignal },
  ): Promise<void> {
    const stall = new StallGuard(`the origin at ${origin.baseUrl}`, digest);
    try {
      await origin.upload(digest, stall.watch(source), {
        repository,
        replica: true,
        signal: AbortSignal.any([signal, stall.signal]),
      });
    } finally {
      stall.end();
    }
  }

  #inOrder(digest: Digest): OriginClient[] {
    return rendezvousOrder([...this.#clients.keys()], digest).map((url) => this.#clients.get(url)!);
  }

  #answeringFirst(digest: Digest): OriginClient[] {
    const origins = this.#inOrder(digest);
    return [...origins.filter((origin) => !this.#isDown(origin)), ...origins.filter((origin) => this.#isDown(origin))];
  }

  #isDown(origin: OriginClient): boolean {
    return (this.#downUntilMs.get(origin.baseUrl) ?? 0) > this.#clock.monotonicMs();
  }

  #markDown(origin: OriginClient): void {
    this.#downUntilMs.set(origin.baseUrl, this.#clock.monotonicMs() + DOWN_MS);
  }
}

/** Aborts an upload that has stopped to move, however long it may take as long as it moves. */
class StallGuard {
  readonly #controller = new AbortController();
  readonly #timer: NodeJS.Timeout;

  constructor(whom: string, digest: Digest) {
    this.#timer = setTimeout(() => {
      const message = `${whom} took no byte of blob ${digest} for ${STALL_MS / 1000} s`;
      this.#controller.abort(new UnavailableError(message, { digest }));
    }, STALL_MS);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** The same source, whose bytes are seen as they go. */
  watch(source: UploadSource): UploadSource {
    const timer = this.#timer;
    return {
      sizeBytes: source.sizeBytes,
      open: async () => {
        const bytes = await source.open();
        const seen = new Transform({
          transform(chunk, _encoding, done) {
            timer.refresh();
            done(null, chunk);
          },
        });
        // An error of the source reaches whoever reads `seen`; the callback only keeps `pipeline` from throwing it.
        pipeline(bytes, seen, () => undefined);
        return seen;
      },
    };
  }

  end(): void {
    clearTimeout(this.#timer);
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
