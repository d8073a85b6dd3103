import { type ChainableCommander, Redis } from 'ioredis';
import type { Logger } from 'pino';
import { findPeerId, type InfoHash, type Peer, type PeerId, type SwarmId, UnavailableError } from '../core/index.ts';
import {
  type AnnouncingHost,
  type Candidates,
  groupOf,
  type PeerStore,
  type PeerStoreSize,
  peerGroups,
  type SampleRequest,
  type SwarmKey,
  type SwarmReport,
} from './peer-store.ts';
import { countedScript, countScript, putScript, removeScript, sampleScript } from './redis-scripts.ts';

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

/** The scripts as ioredis adds them to a pipeline. */
interface ScriptedPipeline extends ChainableCommander {
  shoalPut(...keysAndArguments: (string | number)[]): ScriptedPipeline;
  shoalRemove(...keysAndArguments: (string | number)[]): ScriptedPipeline;
  shoalSample(...keysAndArguments: (string | number)[]): ScriptedPipeline;
  shoalCount(...keysAndArguments: (string | number)[]): ScriptedPipeline;
  shoalCounted(...keysAndArguments: (string | number)[]): ScriptedPipeline;
}

type AddCommand = (pipeline: ScriptedPipeline) => unknown;

/**
 * Peers in Redis (6.2 or later): several trackers know the same ones. The keys of a swarm share a hash tag.
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

  async put(host: AnnouncingHost, reports: readonly SwarmReport[], ttlMs: number): Promise<void> {
    if (reports.length === 0) return;
    const ttl = Math.ceil(ttlMs);
    const commands = reports.map((report) => this.#putCommand(host, report, ttl));
    commands.push((pipeline) => pipeline.shoalCount(this.#key('hosts'), ttl, host.id));
    for (let start = 0; start < reports.length; start += PIPELINE_COMMANDS) {
      const swarms = reports.slice(start, start + PIPELINE_COMMANDS).map(({ swarm }) => swarm);
      commands.push((pipeline) => pipeline.shoalCount(this.#key('swarms'), ttl, ...swarms));
    }
    await this.#batch(commands);
  }

  async remove(id: PeerId, swarms: readonly SwarmKey[]): Promise<void> {
    await this.#batch(swarms.map((swarm) => (pipeline) => pipeline.shoalRemove(...this.#keysOf(swarm), id)));
  }

  async sample(requests: readonly SampleRequest[]): Promise<Candidates[]> {
    const answers = await this.#batch(
      requests.map((request) => (pipeline) => {
        pipeline.shoalSample(...this.#keysOf(request.swarm), ...peerGroups.map((group) => request[group]));
      }),
    );
    return answers.map((answer) => {
      const [origins = [], complete = [], incomplete = []] = (answer as string[][]).map(readPeers);
      return { origins, complete, incomplete };
    });
  }

  async findSwarm(infoHash: InfoHash): Promise<SwarmId | undefined> {
    const [answer] = await this.#batch([(pipeline) => pipeline.get(this.#aliasKey(infoHash))]);
    return (answer ?? undefined) as SwarmId | undefined;
  }

  /** Counts those that left until their time is over: two numbers for metrics are not worth exact books. */
  async size(): Promise<PeerStoreSize> {
    const [swarms, peers] = await this.#batch([
      (pipeline) => pipeline.shoalCounted(this.#key('swarms')),
      (pipeline) => pipeline.shoalCounted(this.#key('hosts')),
    ]);
    return { swarms: swarms as number, peers: peers as number };
  }

  async ready(): Promise<void> {
    await this.#batch([(pipeline) => pipeline.ping()]);
  }

  async close(): Promise<void> {
    this.#redis.disconnect();
  }

  #putCommand(host: AnnouncingHost, { swarm, complete, infoHash }: SwarmReport, ttlMs: number): AddCommand {
    const peer: Peer = { id: host.id, host: host.host, port: host.port, origin: host.origin, complete };
    const group = 2 + peerGroups.indexOf(groupOf(peer));
    return (pipeline) => {
      pipeline.shoalPut(...this.#keysOf(swarm), peer.id, group, formatReport(peer), ttlMs);
      if (infoHash !== undefined) pipeline.set(this.#aliasKey(infoHash), swarm, 'PX', ttlMs);
    };
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

  #key(name: string): string {
    return `${this.#prefix}${name}`;
  }

  #aliasKey(infoHash: InfoHash): string {
    return this.#key(`alias:${infoHash}`);
  }

  #keysOf(swarm: SwarmKey): string[] {
    return ['peers', ...peerGroups].map((part) => this.#key(`{${swarm}}:${part}`));
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
      shoalPut: { lua: putScript, numberOfKeys: 4 },
      shoalRemove: { lua: removeScript, numberOfKeys: 4 },
      shoalSample: { lua: sampleScript, numberOfKeys: 4 },
      shoalCount: { lua: countScript, numberOfKeys: 1 },
      shoalCounted: { lua: countedScript, numberOfKeys: 1 },
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

/** A peer as the hash has it, without its id, which is the field's name: port, origin, complete, address. */
function formatReport({ port, origin, complete, host }: Peer): string {
  return `${port} ${origin ? 1 : 0} ${complete ? 1 : 0} ${host}`;
}

/** The inverse, for a list of id, report, id, report, …; what another version wrote in another form is passed over. */
function readPeers(list: readonly string[]): Peer[] {
  const peers: Peer[] = [];
  for (let at = 0; at + 1 < list.length; at += 2) {
    const id = findPeerId(list[at]!);
    const [, port, origin, complete, host] = /^(\d{1,5}) ([01]) ([01]) (\S+)$/.exec(list[at + 1]!) ?? [];
    if (id === undefined || host === undefined) continue;
    peers.push({ id, host, port: Number(port), origin: origin === '1', complete: complete === '1' });
  }
  return peers;
}
