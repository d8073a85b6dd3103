import { performance } from 'node:perf_hooks';
import { type Logger, pino } from 'pino';
import { SharedFiles } from '../../castore/index.ts';
import { type Digest, decodeMetainfo, type PeerId, systemClock, UnavailableError } from '../../core/index.ts';
import { HostSwarm } from '../host-swarm.ts';
import type { Download } from '../swarm.ts';
import { CarriedDownload } from './carried-download.ts';
import { Channel, type ChannelMessage, type Handlers } from './channel.ts';
import { packError } from './packed-error.ts';
import type { MainCalls, PeerCalls, PeerProcessSettings } from './protocol.ts';
import { asBuffer, RemoteStore } from './remote-store.ts';

const STATUS_MS = 1_000;
const STATES_MS = 100;
/** Threads that check pieces: this process is there because one event loop was not enough. */
const HASH_WORKERS = 1;

/**
 * A host's swarm in a process of its own, with a peer id and a port of its own, for blobs that the main process hands over.
 * The store stays the main process's, and so does the way to the tracker.
 */
export class PeerHost {
  readonly channel: Channel<MainCalls, PeerCalls>;
  readonly #downloads = new Map<Digest, CarriedDownload>();
  /** Blobs that are offered here, and when they last had wires, or came. */
  readonly #seeds = new Map<Digest, number>();
  #swarm: HostSwarm | undefined;
  #files: SharedFiles | undefined;
  #store: RemoteStore | undefined;
  #idleMs = 0;
  #timers: readonly NodeJS.Timeout[] = [];
  #load = performance.eventLoopUtilization();

  /** @param post sends to the main process */
  constructor(post: (message: ChannelMessage) => void) {
    const onFailure = (error: unknown, name: string) => this.#log('warn', `${name} failed in a peer process`, error);
    this.channel = new Channel<MainCalls, PeerCalls>({ post, handlers: this.#handlers(), onFailure });
  }

  #handlers(): Handlers<PeerCalls> {
    return {
      open: (settings) => this.#open(settings),
      fetch: ({ metainfo }) => this.#fetch(asBuffer(metainfo)),
      cancel: ({ digest }) => this.#cancel(digest),
      supplied: async ({ digest, piece }) => {
        await this.#downloads.get(digest)?.supplied(piece);
        return undefined;
      },
      reader: ({ digest, reader, range }) => {
        this.#downloads.get(digest)?.moveReader(reader, range);
        return undefined;
      },
      seed: ({ metainfo: encoded, share }) => {
        const metainfo = decodeMetainfo(asBuffer(encoded));
        this.#seeds.set(metainfo.digest, performance.now());
        this.#opened().seed(metainfo, undefined, share);
        return undefined;
      },
      unseed: ({ digest }) => {
        this.#seeds.delete(digest);
        this.#opened().unseed(digest);
        this.#files?.forgetBlob(digest);
        return undefined;
      },
      used: ({ digest }) => {
        this.#opened().used(digest);
        return undefined;
      },
      limits: (limits) => {
        this.#opened().setLimits(limits);
        return undefined;
      },
      close: () => this.#close(),
    };
  }

  async #open(settings: PeerProcessSettings): Promise<{ peerId: PeerId; port: number }> {
    const { config, secret, origin, memoryBytes } = settings;
    const logger = this.#makeLogger(settings.logLevel);
    const { channel } = this;
    const files = new SharedFiles({ logger, memoryBytes, hashWorkers: HASH_WORKERS });
    this.#files = files;
    this.#store = new RemoteStore({ channel, files, onWhole: (digest) => this.#tellState(digest) });
    this.#swarm = await HostSwarm.open({
      ...{ config, secret, origin, logger, clock: systemClock, random: Math.random },
      castore: this.#store,
      announcer: { announce: (request, signal) => channel.call('announce', request, signal) },
    });
    this.#idleMs = config.idleSeconds * 1_000;
    // How busy it was while it began says nothing.
    this.#load = performance.eventLoopUtilization();
    this.#timers = [setInterval(() => this.#tellStatus(), STATUS_MS), setInterval(() => this.#tellStates(), STATES_MS)];
    return { peerId: this.#swarm.peerId, port: this.#swarm.port };
  }

  async #fetch(encoded: Buffer): Promise<undefined> {
    const metainfo = decodeMetainfo(encoded);
    const { digest } = metainfo;
    const download = await this.#opened().fetch(metainfo);
    const carried = new CarriedDownload(download, (started) => this.#follow(download, started));
    this.#downloads.set(digest, carried);
    return undefined;
  }

  /** Answered after all that is told of it: another download of the same blob would take that for its own. */
  async #cancel(digest: Digest): Promise<undefined> {
    await this.#downloads.get(digest)?.cancel(new UnavailableError('the main process has ended this download'));
    return undefined;
  }

  async #follow({ finished }: Download, carried: CarriedDownload): Promise<void> {
    const { digest } = carried;
    try {
      await finished;
      // The swarm goes on to offer it, as the main process knows.
      this.#seeds.set(digest, performance.now());
      await this.#store?.letGo(digest);
    } catch (error) {
      await this.#store?.letGo(digest).catch(() => undefined); // The channel is closed then, and so will be the file.
      this.channel.tell('ended', { digest, error: packError(error) });
    } finally {
      if (this.#downloads.get(digest) === carried) this.#downloads.delete(digest);
    }
  }

  async #close(): Promise<undefined> {
    for (const timer of this.#timers) clearInterval(timer);
    await this.#swarm?.close();
    await this.#files?.close();
    return undefined;
  }

  #opened(): HostSwarm {
    if (this.#swarm === undefined) throw new UnavailableError('this peer process has not been opened');
    return this.#swarm;
  }

  #tellStatus(): void {
    const load = performance.eventLoopUtilization();
    const { utilization: utilisation } = performance.eventLoopUtilization(load, this.#load);
    this.#load = load;
    const statistics = this.#opened().statistics();
    this.channel.tell('status', { utilisation, statistics, swarms: this.#downloads.size + this.#seeds.size });
    const digests = this.#idleSeeds();
    if (digests.length > 0) this.channel.tell('idle', { digests });
  }

  /** Told again and again, until the main process has taken them back. */
  #idleSeeds(): Digest[] {
    const nowMs = performance.now();
    for (const { metainfo, wires } of this.#opened().seeds()) {
      if (wires > 0 && this.#seeds.has(metainfo.digest)) this.#seeds.set(metainfo.digest, nowMs);
    }
    return [...this.#seeds].filter(([, busyAtMs]) => nowMs - busyAtMs > this.#idleMs).map(([digest]) => digest);
  }

  #tellStates(): void {
    const states = [...this.#downloads.values()].map((download) => download.changedState());
    const changed = states.filter((state) => state !== undefined);
    if (changed.length > 0) this.channel.tell('states', changed);
  }

  /** Before the last step, so that the main process's sums are right when it is done. */
  #tellState(digest: Digest): void {
    const state = this.#downloads.get(digest)?.changedState();
    if (state !== undefined) this.channel.tell('states', [state]);
  }

  /** Writes to the main process's log. */
  #makeLogger(level: string): Logger {
    const formatters = { level: (label: string) => ({ level: label }) };
    const write = (line: string) => this.channel.tell('log', { line });
    return pino({ level, base: null, timestamp: false, formatters }, { write });
  }

  #log(level: string, msg: string, error: unknown): void {
    const { name, message } = packError(error);
    this.channel.tell('log', { line: JSON.stringify({ level, msg, err: { type: name, message } }) });
  }
}
