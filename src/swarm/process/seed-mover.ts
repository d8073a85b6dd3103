import type { Logger } from 'pino';
import type { BlobStore } from '../../castore/index.ts';
import { type Digest, decodeMetainfo, type Metainfo, swarmIdOf } from '../../core/index.ts';
import type { HostSwarm } from '../host-swarm.ts';
import type { LoadedSeed } from '../store.ts';
import type { SeedShare } from '../swarm.ts';
import type { LoopBusyness } from './loop-busyness.ts';
import type { PeerProcess } from './peer-process.ts';
import type { ProcessPool } from './process-pool.ts';

/** What a {@link SeedMover} works with. */
export interface SeedMoverDeps {
  readonly local: Pick<HostSwarm, 'seed' | 'unseed' | 'seeds' | 'statistics'>;
  readonly pool: Pick<ProcessPool<PeerProcess>, 'idlest' | 'startOne'>;
  readonly blobs: Pick<BlobStore, 'findMetainfo'>;
  /** The cluster's secret, from which swarm ids are made. */
  readonly secret: string;
  readonly logger: Logger;
}

/** Seeds are moved after the event loop has been busy for this long, and for as long again before more are. */
const MOVE_AFTER_MS = 10_000;
/** Moved at once at most: all their wires are made anew. */
const MAX_MOVED = 8;
/** The tracker has to hear of a seed at its new place within this time, or it stays. */
const ANNOUNCE_TIMEOUT_MS = 20_000;

/** A blob that another process offers. */
interface Placed {
  readonly process: PeerProcess;
  share: SeedShare | undefined;
}

/** Which whole blobs other processes offer: moves the busiest there when this one has no time, and takes idle ones back. */
export class SeedMover {
  readonly #deps: SeedMoverDeps;
  readonly #placed = new Map<Digest, Placed>();
  readonly #returning = new Set<Digest>();
  readonly #closing = new AbortController();
  #moving = false;
  #dueAtBusyMs = MOVE_AFTER_MS;

  constructor(deps: SeedMoverDeps) {
    this.#deps = deps;
  }

  /** A blob came into the store in another process, which goes on to offer it. */
  isAt({ digest }: Metainfo, process: PeerProcess): void {
    this.#placed.set(digest, { process, share: undefined });
    if (process.hasEnded) this.takeBack([digest], process);
  }

  /** Offers a blob in another way where it is. @returns `false` when no other process offers it */
  seedAgain(metainfo: Metainfo, share: SeedShare | undefined): boolean {
    const placed = this.#placed.get(metainfo.digest);
    if (placed === undefined || placed.process.hasEnded) return false;
    placed.share = share ?? placed.share;
    placed.process.seedAgain(metainfo, placed.share);
    return true;
  }

  /** A blob was read. @returns `false` when no other process offers it */
  used(digest: Digest): boolean {
    const placed = this.#placed.get(digest);
    placed?.process.used(digest);
    return placed !== undefined;
  }

  /** No other process offers this blob from now on. */
  takeOut(digest: Digest): void {
    this.#placed.get(digest)?.process.unseed(digest);
    this.#placed.delete(digest);
  }

  /** Offers blobs in this process again that another one offers. */
  takeBack(digests: readonly Digest[], process: PeerProcess): void {
    for (const digest of digests) {
      // It may not have heard yet that it has them no more.
      if (this.#placed.get(digest)?.process !== process) process.unseed(digest);
      if (this.#placed.get(digest)?.process !== process || this.#returning.has(digest)) continue;
      this.#returning.add(digest);
      void this.#takeBackOne(digest).finally(() => this.#returning.delete(digest));
    }
  }

  /** A process has ended: what it offered is offered here. */
  takeBackFromEnded(): void {
    for (const [digest, { process }] of this.#placed) if (process.hasEnded) this.takeBack([digest], process);
  }

  /** Time has passed: moves seeds when this process has been busy for long. */
  step(busyness: LoopBusyness): void {
    if (busyness.busyMs === 0) this.#dueAtBusyMs = MOVE_AFTER_MS;
    if (this.#moving || this.#closing.signal.aborted || busyness.busyMs < this.#dueAtBusyMs) return;
    const chosen = this.#choose();
    if (chosen.length === 0) return;
    const process = this.#deps.pool.idlest(busyness.utilisation);
    if (process === undefined) {
      this.#deps.pool.startOne();
      return;
    }
    this.#dueAtBusyMs = busyness.busyMs + MOVE_AFTER_MS;
    this.#moving = true;
    void Promise.all(chosen.map((seed) => this.#move(seed, process))).finally(() => {
      this.#moving = false;
    });
  }

  close(): void {
    this.#closing.abort(new Error('the swarm is closing'));
    this.#placed.clear();
  }

  /** Those with the most wires, up to half of all wires. The only swarm of a process is not moved: nothing would be gained. */
  #choose(): LoadedSeed[] {
    const { local } = this.#deps;
    const busy = [...local.seeds()].filter(({ wires }) => wires > 0).sort((a, b) => b.wires - a.wires);
    const stays = local.statistics().downloads > 0 ? 0 : 1;
    const half = busy.reduce((sum, { wires }) => sum + wires, 0) / 2;
    const chosen: LoadedSeed[] = [];
    let wires = 0;
    for (const seed of busy.slice(0, Math.min(MAX_MOVED, busy.length - stays))) {
      if (wires >= half) break;
      wires += seed.wires;
      chosen.push(seed);
    }
    return chosen;
  }

  /** Offers a blob there, and here no more once the tracker knows. */
  async #move({ metainfo, share }: LoadedSeed, process: PeerProcess): Promise<void> {
    const { local, logger, secret } = this.#deps;
    const { digest } = metainfo;
    const placed: Placed = { process, share };
    this.#placed.set(digest, placed);
    const signal = AbortSignal.any([this.#closing.signal, AbortSignal.timeout(ANNOUNCE_TIMEOUT_MS)]);
    try {
      await process.seed(metainfo, swarmIdOf(metainfo, secret), share, signal);
    } catch (error) {
      logger.warn({ err: error, digest }, 'a blob is not moved to another process');
      if (this.#placed.get(digest) === placed) this.takeOut(digest);
      return;
    }
    // It may have been taken out meanwhile.
    if (this.#placed.get(digest) === placed && !process.hasEnded) local.unseed(digest);
  }

  async #takeBackOne(digest: Digest): Promise<void> {
    const { blobs, local, logger } = this.#deps;
    const placed = this.#placed.get(digest);
    if (placed === undefined) return;
    try {
      const encoded = await blobs.findMetainfo(digest);
      if (this.#placed.get(digest) !== placed) return;
      if (encoded !== undefined) local.seed(decodeMetainfo(encoded), undefined, placed.share);
    } catch (error) {
      // It can be read here all the same.
      logger.warn({ err: error, digest }, 'a blob is not offered again');
    }
    if (this.#placed.get(digest) === placed) this.takeOut(digest);
  }
}
