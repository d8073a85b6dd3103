import type { CaStore } from '../../castore/index.ts';
import { type Digest, type Metainfo, type PeerId, UnavailableError } from '../../core/index.ts';
import type { HostSwarm, SwarmDeps } from '../host-swarm.ts';
import type { Download, PieceSource, SeedShare, Swarm, SwarmLimits, SwarmStatistics } from '../swarm.ts';
import { DelegatedDownload } from './delegated-download.ts';
import { type LimitedProcess, LimitSharing } from './limit-sharing.ts';
import { BUSY, LOAD_STEP_MS, type LoopBusyness } from './loop-busyness.ts';
import { PeerProcess } from './peer-process.ts';
import { ProcessPool } from './process-pool.ts';
import { SeedMover } from './seed-mover.ts';
import { sumOf } from './summed-statistics.ts';

/** What a {@link SwarmOfProcesses} is made of. */
export interface SwarmOfProcessesDeps extends SwarmDeps {
  readonly castore: CaStore;
  /** The swarm of this process; closed with the whole. */
  readonly local: HostSwarm;
  readonly busyness: LoopBusyness;
  /** Peer processes at most. */
  readonly most: number;
  /** A peer process that has had no swarm for this long is ended. */
  readonly emptyMs: number;
}

/** Of shared memory for pieces, in each peer process. */
const MEMORY_BYTES = 32 * 1024 * 1024;

/**
 * A host's swarm that hands whole blobs to other processes when its own event loop is busy: fetches that begin then, and
 * after ten seconds also blobs that are served. Each of these processes has a peer id and a port of its own, and is one more
 * peer for the tracker; the store, and readers, stay in this one.
 */
export class SwarmOfProcesses implements Swarm {
  readonly #deps: SwarmOfProcessesDeps;
  readonly #local: HostSwarm;
  readonly #pool: ProcessPool<PeerProcess>;
  readonly #seeds: SeedMover;
  readonly #limits: LimitSharing;
  readonly #timer: NodeJS.Timeout;
  /** This process, among those that share the limits. */
  readonly #thisOne: LimitedProcess;
  /** Fetches that are under way, here or elsewhere. */
  readonly #fetching = new Map<Digest, Promise<Download>>();
  /** Those elsewhere that are open. */
  readonly #delegated = new Map<Digest, DelegatedDownload>();
  #closing: Promise<void> | undefined;

  /** Takes the swarm of this process over. */
  constructor(deps: SwarmOfProcessesDeps) {
    const { local, castore, config, clock, logger } = deps;
    this.#deps = deps;
    this.#local = local;
    const { egressBytesPerSecond, ingressBytesPerSecond, seedingEgressBytesPerSecond } = config;
    this.#limits = new LimitSharing({ egressBytesPerSecond, ingressBytesPerSecond, seedingEgressBytesPerSecond });
    this.#thisOne = {
      get sums() {
        return local.statistics();
      },
      setLimits: (limits) => local.setLimits(limits),
    };
    this.#pool = new ProcessPool({
      ...{ most: deps.most, emptyMs: deps.emptyMs, clock, logger },
      start: (slot, onEnded) => this.#startProcess(slot, onEnded),
      onChange: () => this.#divideLimits(),
    });
    this.#seeds = new SeedMover({ local, pool: this.#pool, blobs: castore.blobs, secret: deps.secret, logger });
    this.#timer = setInterval(() => this.#step(), LOAD_STEP_MS).unref();
  }

  get peerId(): PeerId {
    return this.#local.peerId;
  }

  get port(): number {
    return this.#local.port;
  }

  /** Peer processes that run. */
  processes(): readonly PeerProcess[] {
    return this.#pool.all();
  }

  seed(metainfo: Metainfo, source?: PieceSource, share?: SeedShare): void {
    if (source === undefined && this.#seeds.seedAgain(metainfo, share)) return;
    this.#seeds.takeOut(metainfo.digest);
    this.#local.seed(metainfo, source, share);
  }

  unseed(digest: Digest): void {
    this.#seeds.takeOut(digest);
    this.#local.unseed(digest);
  }

  used(digest: Digest): void {
    if (!this.#seeds.used(digest) && !this.#fetching.has(digest)) this.#local.used(digest);
  }

  fetch(metainfo: Metainfo): Promise<Download> {
    const { digest } = metainfo;
    const running = this.#fetching.get(digest);
    if (running !== undefined) return running;
    this.#seeds.takeOut(digest);
    const process = this.#processForFetch();
    const started = process === undefined ? this.#local.fetch(metainfo) : this.#delegate(metainfo, process);
    this.#fetching.set(digest, started);
    const ended = () => this.#fetching.delete(digest);
    started.then(({ finished }) => finished.then(ended, ended), ended);
    return started;
  }

  find(digest: Digest): Download | undefined {
    return this.#delegated.get(digest) ?? this.#local.find(digest);
  }

  setLimits(limits: Partial<SwarmLimits>): void {
    this.#limits.change(limits);
    this.#divideLimits();
  }

  statistics(): SwarmStatistics {
    return sumOf(this.#local.statistics(), this.#pool.statistics());
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    clearInterval(this.#timer);
    this.#seeds.close();
    const reason = new UnavailableError('the swarm is closing');
    await Promise.all([...this.#delegated.values()].map((download) => download.cancel(reason)));
    await this.#pool.close();
    await this.#local.close();
    await Promise.allSettled(this.#fetching.values());
  }

  /** A process that has more time than this one, when this one has none left; one more is started when there is none. */
  #processForFetch(): PeerProcess | undefined {
    const { busyness, config } = this.#deps;
    if (this.#closing !== undefined || busyness.utilisation <= BUSY) return undefined;
    if (this.#fetching.size >= config.maxDownloads) return undefined;
    const process = this.#pool.idlest(busyness.utilisation);
    if (process === undefined) this.#pool.startOne();
    return process;
  }

  async #delegate(metainfo: Metainfo, process: PeerProcess): Promise<Download> {
    const { digest } = metainfo;
    // What was offered before may be gone from the store: whoever fetches knows better.
    this.#local.unseed(digest);
    const download = new DelegatedDownload({
      metainfo,
      downloads: this.#deps.castore.downloads,
      carrier: process.carrierOf(digest),
      fetchHere: (why) => this.#fetchHere(metainfo, why),
    });
    const ended = () => {
      if (this.#delegated.get(digest) === download) this.#delegated.delete(digest);
    };
    download.finished.then(() => {
      ended();
      if (!download.isHere) this.#seeds.isAt(metainfo, process);
    }, ended);
    await download.begun(process.fetch(download));
    if (download.isUnderWay) this.#delegated.set(digest, download);
    return download;
  }

  #fetchHere(metainfo: Metainfo, why: Error): Promise<Download> {
    if (this.#closing !== undefined) throw new UnavailableError('the swarm is closing', {}, { cause: why });
    const { digest } = metainfo;
    this.#deps.logger.warn(
      { err: why, digest },
      'another process cannot go on with a download; it goes on in this one',
    );
    return this.#local.fetch(metainfo);
  }

  #startProcess(slot: number, onEnded: () => void): Promise<PeerProcess> {
    const { config, secret, origin, castore, announcer, logger } = this.#deps;
    const limits = this.#limits.equalShare(this.#pool.all().length + 2);
    const port = config.processPort === 0 ? 0 : config.processPort + slot;
    const settings = { secret, origin, logLevel: logger.level, memoryBytes: MEMORY_BYTES };
    return PeerProcess.start({
      settings: { ...settings, config: { ...config, ...limits, port, processes: 0 } },
      ...{ castore, announcer, logger },
      onIdle: (digests, process) => this.#seeds.takeBack(digests, process),
      onEnded: () => {
        onEnded();
        this.#seeds.takeBackFromEnded();
      },
    });
  }

  #step(): void {
    const { busyness } = this.#deps;
    busyness.measure();
    this.#pool.step();
    this.#divideLimits();
    this.#seeds.step(busyness);
  }

  #divideLimits(): void {
    this.#limits.divide([this.#thisOne, ...this.#pool.all()]);
  }
}
