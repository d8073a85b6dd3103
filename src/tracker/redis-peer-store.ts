import { type ChainableCommander, Redis } from 'ioredis';
import type { Logger } from 'pino';
import { findPeerId, type InfoHash, type PeerId, type SwarmId, UnavailableError } from '../core/index.ts';
import {
  type ActivityTimes,
  type AnnouncingHost,
  ASKED_LATELY_MS,
  type Candidates,
  type ForeignPeer,
  type HostReport,
  type PeerStore,
  type PeerStoreSize,
  peerGroups,
  type ReportOutcome,
  type SampleRequest,
  type SwarmKey,
  type TrackedPeer,
} from './peer-store.ts';
import { countedScript, removeScript, reportScript, sampleScript } from './redis-scripts.ts';

/** How a {@link RedisPeerStore} reaches Redis. */
export interface RedisPeerStoreOptions {
  /** `redis://[user:password@]host:port[/database]`, or `rediss://` for TLS. */
  readonly url: string;
  /** Before every key, so that one Redis can serve several clusters. */
  readonly keyPrefix: string;
  readonly logger: Logger;
  /** How long a batch may take; {@link DEFAULT_TIMEOUT_MS} unless told. */
  readonly timeoutMs?: number;
}

/** An announce that takes longer than this is better asked of another tracker. */
const DEFAULT_TIMEOUT_MS = 2_000;
/** A tracker starts without Redis too; this long it waits for it at the start. */
const FIRST_CONNECT_MS = 1_500;
const RECONNECT_MAX_MS = 1_000;
/** Commands in one pipeline: bounds what is held for a batch at once. */
const PIPELINE_COMMANDS = 1_000;
/** Batches under way at once; a Redis that hangs must not fill this process with what waits for it. */
const MAX_BATCHES = 512;

/** Changes in one call of a script: bounds for how long Redis does nothing else. */
const CHANGES_PER_CALL = 1_000;

/** The scripts as ioredis adds them to a pipeline. */
interface ScriptedPipeline extends ChainableCommander {
  shoalReport(...values: (string | number)[]): ScriptedPipeline;
  shoalRemove(...values: (string | number)[]): ScriptedPipeline;
  shoalSample(...values: (string | number)[]): ScriptedPipeline;
  shoalCounted(...values: (string | number)[]): ScriptedPipeline;
}

type AddCommand = (pipeline: ScriptedPipeline) => unknown;

/** A swarm, and what a host's entry for it becomes; empty when the host leaves. */
type Change = readonly [SwarmKey, string];

/**
 * Peers in Redis (6.2 or later): several trackers know the same ones, and it does not matter which one a host asks.
 *
 * While Redis is away every call fails at once, or after `timeoutMs` when Redis hangs, with an {@link UnavailableError};
 * the connection comes back by itself.
 */
export class RedisPeerStore implements PeerStore {
  readonly #redis: Redis;
  readonly #prefix: string;
  readonly #address: string;
  readonly #timeoutMs: number;
  #batches = 0;

  /** Opens a store; resolves also when Redis is not there yet. The caller closes it. */
  static async open(options: RedisPeerStoreOptions): Promise<RedisPeerStore> {
    const store = new RedisPeerStore(options, connectionOf(options));
    try {
      await store.#redis.connect();
    } catch (error) {
      // Trackers and Redis may start in any order: readiness tells, and ioredis goes on trying.
      options.logger.warn({ err: error, redis: store.#address }, 'redis cannot be reached yet');
    }
    return store;
  }

  private constructor(options: RedisPeerStoreOptions, redis: Redis) {
    this.#redis = redis;
    this.#prefix = options.keyPrefix;
    this.#timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    // Never the whole URL: it may hold a password.
    this.#address = `${redis.options.host}:${redis.options.port}`;
  }

  async report(host: AnnouncingHost, report: HostReport, ttlMs: ActivityTimes): Promise<ReportOutcome> {
    const joined = report.joined.map(({ swarm, complete, eighths, infoHash }): Change => {
      return [swarm, `${complete ? 1 : 0}${eighths} ${infoHash ?? '-'}`];
    });
    const changes = [...report.left.map((swarm): Change => [swarm, '']), ...joined];
    return this.#report(host.id, host, { ...report, changes }, ttlMs);
  }

  async putForeign(infoHash: InfoHash, peer: ForeignPeer, ttlMs: number): Promise<void> {
    const changes: Change[] = [[infoHash, peer.complete ? '18 -' : '00 -']];
    const report = { sequence: undefined, since: 0, full: false, changes };
    const ttls = { downloading: ttlMs, seeding: ttlMs, idle: ttlMs };
    await this.#report(foreignMember(infoHash, peer.id), { ...peer, origin: false }, report, ttls);
  }

  async removeForeign(infoHash: InfoHash, id: PeerId): Promise<void> {
    await this.#batch([(pipeline) => pipeline.shoalRemove(this.#prefix, foreignMember(infoHash, id))]);
  }

  async sample(requests: readonly SampleRequest[]): Promise<Candidates[]> {
    const answers = await this.#batch(
      requests.map(({ swarm, sizes, zoned }) => (pipeline) => {
        const counts = peerGroups.map((group) => sizes[group]);
        pipeline.shoalSample(this.#prefix, swarm, ...counts, zoned?.zone ?? '', zoned?.count ?? 0, ASKED_LATELY_MS);
      }),
    );
    return answers.map((answer) => {
      const [sizes, lists] = [(answer as number[]).slice(0, 4), (answer as string[][]).slice(4)];
      const each = <T>(values: readonly T[]) => Object.fromEntries(peerGroups.map((group, at) => [group, values[at]]));
      return { ...each(lists.map(readPeers)), sizes: each(sizes) } as unknown as Candidates;
    });
  }

  async findSwarm(infoHash: InfoHash): Promise<SwarmId | undefined> {
    const [answer] = await this.#batch([(pipeline) => pipeline.get(`${this.#prefix}alias:${infoHash}`)]);
    return (answer ?? undefined) as SwarmId | undefined;
  }

  /** Counts those that left until their time is over: two numbers for metrics are not worth exact books. */
  async size(): Promise<PeerStoreSize> {
    const [swarms, peers] = await this.#batch([
      (pipeline) => pipeline.shoalCounted(`${this.#prefix}swarms`),
      (pipeline) => pipeline.shoalCounted(`${this.#prefix}hosts`),
    ]);
    return { swarms: swarms as number, peers: peers as number };
  }

  async ready(): Promise<void> {
    await this.#batch([(pipeline) => pipeline.ping()]);
  }

  async close(): Promise<void> {
    this.#redis.disconnect();
  }

  /** One call as a rule; the others of many have nothing to check, the last renews all that the host has. */
  async #report(
    member: string,
    host: Omit<AnnouncingHost, 'id'>,
    report: Omit<HostReport, 'joined' | 'left'> & { readonly changes: readonly Change[] },
    ttlMs: ActivityTimes,
  ): Promise<ReportOutcome> {
    const { changes, sequence = '' } = report;
    const ttls = [ttlMs.downloading, ttlMs.seeding, ttlMs.idle].map(Math.ceil);
    const origin = host.origin ? 1 : 0;
    const commands: AddCommand[] = [];
    for (let from = 0; from === 0 || from < changes.length; from += CHANGES_PER_CALL) {
      const some = changes.slice(from, from + CHANGES_PER_CALL).flat();
      const first = from === 0;
      const last = from + CHANGES_PER_CALL >= changes.length;
      const checked = [sequence, first ? report.since : sequence || 0, first && report.full ? 1 : 0, last ? 1 : 0];
      const described = [origin, host.zone ?? '', formatDescription(host)];
      commands.push((pipeline) =>
        pipeline.shoalReport(this.#prefix, member, ...checked, ...described, ...ttls, ...some),
      );
    }
    return (await this.#batch(commands)).at(-1) as ReportOutcome;
  }

  /** Runs commands in as few round trips as possible. Answers are in the order of the commands. */
  async #batch(commands: readonly AddCommand[]): Promise<unknown[]> {
    const answers: unknown[] = [];
    for (let start = 0; start < commands.length; start += PIPELINE_COMMANDS) {
      const pipeline = this.#redis.pipeline() as ScriptedPipeline;
      for (const add of commands.slice(start, start + PIPELINE_COMMANDS)) add(pipeline);
      for (const answer of await this.#run(pipeline)) answers.push(answer);
    }
    return answers;
  }

  async #run(pipeline: ScriptedPipeline): Promise<unknown[]> {
    if (this.#redis.status !== 'ready') throw this.#unavailable(`the connection is "${this.#redis.status}"`);
    if (this.#batches >= MAX_BATCHES) throw this.#unavailable(`${MAX_BATCHES} batches wait for it already`);
    this.#batches++;
    try {
      const results = await within(pipeline.exec(), this.#timeoutMs);
      return (results ?? []).map(([error, answer]) => {
        if (error !== null) throw error;
        return answer;
      });
    } catch (cause) {
      throw this.#unavailable(cause instanceof Error ? cause.message : String(cause), cause);
    } finally {
      this.#batches--;
    }
  }

  #unavailable(reason: string, cause?: unknown): UnavailableError {
    const message = `the peer store in redis at ${this.#address} did not answer: ${reason}`;
    return new UnavailableError(message, { redis: this.#address }, { cause });
  }
}

function connectionOf({ url, logger, timeoutMs }: RedisPeerStoreOptions): Redis {
  const redis = new Redis(url, {
    lazyConnect: true,
    connectTimeout: FIRST_CONNECT_MS,
    retryStrategy: (attempt) => Math.min(attempt * 50, RECONNECT_MAX_MS),
    // Better to fail at once, so that the peer asks another tracker, than to keep announces for later.
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    // Silence while commands wait: a connection that hangs is closed and made again.
    socketTimeout: 2 * (timeoutMs ?? DEFAULT_TIMEOUT_MS),
    scripts: {
      shoalReport: { lua: reportScript, numberOfKeys: 0 },
      shoalRemove: { lua: removeScript, numberOfKeys: 0 },
      shoalSample: { lua: sampleScript, numberOfKeys: 0 },
      shoalCounted: { lua: countedScript, numberOfKeys: 0 },
    },
  });
  redis.on('error', (error: Error) => logger.debug({ err: error }, 'redis connection failed'));
  return redis;
}

/** What `promise` gives, or an error after `timeoutMs`. */
async function within<T>(promise: Promise<T>, timeoutMs: number): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
  try {
    return await Promise.race([promise, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** Foreign clients choose their own ids: one that takes a host's must not get at what that host reported. */
function foreignMember(infoHash: InfoHash, id: PeerId): string {
  return `${infoHash}/${id}`;
}

/** What is the same in all of a host's swarms: port, origin, address, zone. */
function formatDescription({ port, origin, zone, host }: Omit<AnnouncingHost, 'id'>): string {
  return `${port} ${origin ? 1 : 0} ${host} ${zone ?? ''}`;
}

/**
 * The inverse, for a list of member, description, state, member, …; what another version wrote in another form is passed
 * over.
 */
function readPeers(list: readonly string[]): TrackedPeer[] {
  const peers: TrackedPeer[] = [];
  for (let at = 0; at + 2 < list.length; at += 3) {
    const id = findPeerId(list[at]!.slice(-40));
    const [, port, origin, host, zone] = /^(\d{1,5}) ([01]) (\S+) (\S*)$/.exec(list[at + 1]!) ?? [];
    const [, complete, eighths] = /^([01])([0-8]) /.exec(list[at + 2]!) ?? [];
    if (id === undefined || host === undefined || eighths === undefined) continue;
    const state = { complete: complete === '1', eighths: Number(eighths) };
    const peer = { id, host, port: Number(port), origin: origin === '1', ...state };
    peers.push(zone ? { ...peer, zone } : peer);
  }
  return peers;
}
