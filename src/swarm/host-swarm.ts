import type { Logger } from 'pino';
import {
  type Clock,
  type Digest,
  decodeMetainfo,
  type Metainfo,
  makePeerId,
  type PeerId,
  UnavailableError,
} from '../core/index.ts';
import { AnnounceLoop } from './announce/announce-loop.ts';
import { BlobFetches } from './blob-fetches.ts';
import { BlobSwarm } from './blob-swarm.ts';
import type { SwarmConfig } from './config.ts';
import { LoadedBlobs } from './loaded-blobs.ts';
import { type Offer, Offers } from './offers.ts';
import type { LoadedSeed, SwarmStore } from './store.ts';
import type {
  AnnouncedPeer,
  Announcer,
  Download,
  PieceSource,
  SeedShare,
  Swarm,
  SwarmLimits,
  SwarmReport,
  SwarmStatistics,
} from './swarm.ts';
import { SwarmCounters } from './swarm-counters.ts';
import { type MeetingPoint, Transport } from './wire/transport.ts';

/** What a host's swarm is made of. */
export interface SwarmDeps {
  readonly config: SwarmConfig;
  /** Downloads go here, and seeds are read from here. The caller closes it after the swarm. */
  readonly castore: SwarmStore;
  readonly announcer: Announcer;
  /** The cluster's secret, from which swarm ids are made. */
  readonly secret: string;
  readonly origin: boolean;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly random: () => number;
}

/** How often time passes for neighbourhoods and suggesters. */
const TICK_MS = 100;
/** Peers that are missing, and blobs that have become whole, are announced this often at most. */
const CHANGES_MS = 300;
/** How often idle blobs are looked for. */
const IDLE_CHECK_MS = 1_000;
/** Origins that are remembered by their peer id: each start of one has another. */
const MAX_ORIGINS = 1_000;

/** {@link Swarm} in one process. */
export class HostSwarm implements Swarm {
  readonly peerId: PeerId;
  readonly #deps: SwarmDeps;
  readonly #offers: Offers;
  readonly #loaded: LoadedBlobs;
  readonly #fetches: BlobFetches;
  readonly #closing = new AbortController();
  readonly #origins = new Set<string>();
  readonly #announces: AnnounceLoop;
  readonly #timers: readonly NodeJS.Timeout[];
  readonly #counters = new SwarmCounters();
  /** Something is to be announced that can wait a little. */
  #changed = false;
  #announcedAtMs = 0;
  #limits: SwarmLimits;
  #transport!: Transport;

  private constructor(deps: SwarmDeps, peerId: PeerId) {
    const { config, secret, castore, announcer, logger } = deps;
    this.peerId = peerId;
    this.#deps = deps;
    this.#offers = new Offers(secret, castore.blobs);
    this.#loaded = new LoadedBlobs({
      meet: (id, onLink) => this.#transport.meet(id, onLink),
      offers: this.#offers,
      idleMs: config.idleSeconds * 1_000,
    });
    this.#fetches = new BlobFetches({
      ...{ castore, logger, peerId, clock: deps.clock, random: deps.random, maxDownloads: config.maxDownloads },
      ...{ offers: this.#offers, loaded: this.#loaded, counters: this.#counters, closing: this.#closing.signal },
      load: (metainfo) => this.#load(metainfo, 'opening', undefined),
      announce: () => this.#announces.soon(),
      onWhole: () => {
        this.#changed = true;
      },
    });
    const { egressBytesPerSecond, ingressBytesPerSecond, seedingEgressBytesPerSecond } = config;
    this.#limits = { egressBytesPerSecond, ingressBytesPerSecond, seedingEgressBytesPerSecond };
    this.#announces = new AnnounceLoop({
      announcer,
      logger,
      describe: () => this.#describe(),
      onPeers: (swarmId, peers) => this.#onPeers(swarmId, peers),
    });
    this.#timers = [
      setInterval(() => this.#tick(), TICK_MS).unref(),
      setInterval(() => this.#letGoOfIdle(), IDLE_CHECK_MS).unref(),
    ];
  }

  /** Opens this host's port, and offers every blob of the store that has metainfo. The caller closes it. */
  static async open(deps: SwarmDeps): Promise<HostSwarm> {
    const swarm = new HostSwarm(deps, makePeerId());
    const { host, port, maxConnections, maxConnectionsPerAddress, acceptsPerSecond } = deps.config;
    try {
      swarm.#transport = await Transport.open({
        peerId: swarm.peerId,
        host,
        port,
        maxConnections,
        maxConnectionsPerAddress,
        acceptsPerSecond,
        random: deps.random,
        find: (id) => swarm.#find(id),
        logger: deps.logger,
      });
      swarm.#transport.setLimits(swarm.#limits);
      await swarm.#offerStored();
    } catch (error) {
      for (const timer of swarm.#timers) clearInterval(timer);
      await (swarm.#transport as Transport | undefined)?.close();
      throw error;
    }
    swarm.#announces.start();
    return swarm;
  }

  get port(): number {
    return this.#transport.port;
  }

  seed(metainfo: Metainfo, source?: PieceSource, share?: SeedShare): void {
    const { digest } = metainfo;
    const before = this.#offers.get(digest)?.source?.pieces;
    const isNew = this.#offers.add(metainfo, { source, share, nowMs: this.#deps.clock.monotonicMs() });
    // A source that is being read from is closed when its blob is unloaded.
    if (before !== undefined && before !== source && this.#loaded.get(digest) === undefined) void before.close();
    // Whoever gets the metainfo next is to find this host at the tracker.
    if (isNew) this.#announces.soon();
  }

  unseed(digest: Digest): void {
    const offer = this.#offers.remove(digest);
    if (offer === undefined) return;
    void offer.source?.pieces.close();
    void this.#loaded.unload(digest);
    this.#announces.soon();
  }

  used(digest: Digest): void {
    const offer = this.#offers.get(digest);
    if (offer !== undefined) offer.askedAtMs = this.#deps.clock.monotonicMs();
    else if (!this.#fetches.has(digest)) void this.#offerAgain(digest);
  }

  fetch(metainfo: Metainfo): Promise<Download> {
    return this.#fetches.fetch(metainfo);
  }

  find(digest: Digest): Download | undefined {
    return this.#loaded.get(digest)?.download;
  }

  /** The whole blobs that are loaded, without those that are read from elsewhere than the store. */
  *seeds(): Iterable<LoadedSeed> {
    for (const { metainfo, complete, wires } of this.#loaded.all()) {
      const offer = this.#offers.get(metainfo.digest);
      if (complete && offer !== undefined && offer.source === undefined) yield { metainfo, wires, share: offer.share };
    }
  }

  setLimits(limits: Partial<SwarmLimits>): void {
    this.#limits = { ...this.#limits, ...limits };
    this.#transport.setLimits(this.#limits);
  }

  statistics(): SwarmStatistics {
    return this.#counters.statistics(this.#loaded.all(), this.#offers.size);
  }

  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return;
    const reason = new UnavailableError('the swarm is closing');
    this.#closing.abort(reason);
    for (const timer of this.#timers) clearInterval(timer);
    await Promise.all([...this.#loaded.all()].map((blob) => blob.download?.cancel(reason)));
    await this.#fetches.settled();
    await this.#announces.stop();
    await this.#loaded.close();
    await Promise.all([...this.#offers.all()].map((offer) => offer.source?.pieces.close()));
    await this.#transport.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #offerStored(): Promise<void> {
    for await (const { digest } of this.#deps.castore.blobs.list()) {
      const encoded = await this.#deps.castore.blobs.findMetainfo(digest);
      if (encoded !== undefined) this.seed(decodeMetainfo(encoded));
    }
  }

  /** Offers a blob that was let go of because nobody asked for it; one that has no metainfo was never offered. */
  async #offerAgain(digest: Digest): Promise<void> {
    try {
      const encoded = await this.#deps.castore.blobs.findMetainfo(digest);
      if (encoded !== undefined && !this.#closing.signal.aborted) this.seed(decodeMetainfo(encoded));
    } catch (error) {
      // It can be read here all the same.
      this.#deps.logger.warn({ err: error, digest }, 'a blob is not offered again');
    }
  }

  #load(metainfo: Metainfo, state: 'opening' | 'whole', offer: Offer | undefined): BlobSwarm {
    const { config, castore, clock, random, secret, origin } = this.#deps;
    const blob = new BlobSwarm(
      {
        metainfo,
        secret,
        peerId: this.peerId,
        wantedPeers: config.wantedPeers,
        maxWires: origin ? config.originWiresPerBlob : config.maxWiresPerBlob,
        clock,
        random,
        share: origin ? offer?.share : undefined,
        openSource: async () => offer?.source?.pieces ?? castore.blobs.openFile(metainfo.digest),
        isOrigin: (peerId) => this.#origins.has(peerId),
        onServed: (bytes) => {
          this.#counters.sentBytes += bytes;
        },
        onTurnedAway: () => {
          this.#counters.turnedAway++;
        },
      },
      state,
    );
    this.#loaded.add(blob);
    return blob;
  }

  /** What an incoming handshake asks for, loaded on demand. */
  async #find(id: string): Promise<MeetingPoint | undefined> {
    const fetched = this.#fetches.find(id) ?? this.#loaded.findFetched(id);
    const offer = fetched === undefined ? this.#offers.find(id) : undefined;
    if (offer !== undefined) offer.askedAtMs = this.#deps.clock.monotonicMs();
    const blob = fetched ?? (offer === undefined ? undefined : await this.#loadOffer(offer));
    if (blob === undefined || this.#closing.signal.aborted) return undefined;
    if (id === blob.infoHash && !this.#deps.config.foreignClients) return undefined;
    return this.#loaded.openPoint(blob, id);
  }

  async #loadOffer(offer: Offer): Promise<BlobSwarm | undefined> {
    const loaded = this.#loaded.get(offer.digest);
    if (loaded !== undefined) return loaded;
    const metainfo = await this.#offers.metainfoOf(offer);
    if (metainfo !== undefined) return this.#loaded.get(offer.digest) ?? this.#load(metainfo, 'whole', offer);
    // A blob that was evicted from the store is offered no more.
    this.#offers.remove(offer.digest);
    this.#announces.soon();
    return undefined;
  }

  #onPeers(swarmId: string, peers: readonly AnnouncedPeer[]): void {
    for (const peer of peers) if (peer.origin) this.#rememberOrigin(peer.id);
    this.#fetches.find(swarmId)?.onPeers(peers);
  }

  #rememberOrigin(id: string): void {
    this.#origins.delete(id);
    this.#origins.add(id);
    if (this.#origins.size <= MAX_ORIGINS) return;
    for (const oldest of this.#origins) {
      this.#origins.delete(oldest);
      return;
    }
  }

  /** All swarms of this host as they stand, for the tracker. */
  #describe(): Parameters<Announcer['announce']>[0] {
    const { announceHost, zone } = this.#deps.config;
    const swarms: SwarmReport[] = [];
    for (const blob of this.#fetches.all()) swarms.push(blob.report());
    for (const { swarmId, infoHash } of this.#offers.all()) {
      if (this.#fetches.find(swarmId) === undefined)
        swarms.push({ swarmId, infoHash, complete: true, eighths: 8, want: 0 });
    }
    return {
      peerId: this.peerId,
      port: this.port,
      ...(announceHost === undefined ? {} : { host: announceHost }),
      ...(zone === undefined ? {} : { zone }),
      origin: this.#deps.origin,
      swarms,
    };
  }

  #tick(): void {
    let due = this.#changed;
    for (const blob of this.#loaded.all()) {
      blob.tick();
      due ||= blob.hungry;
    }
    const nowMs = this.#deps.clock.monotonicMs();
    if (!due || nowMs - this.#announcedAtMs < CHANGES_MS) return;
    this.#announcedAtMs = nowMs;
    this.#changed = false;
    this.#announces.soon();
  }

  #letGoOfIdle(): void {
    const nowMs = this.#deps.clock.monotonicMs();
    this.#loaded.unloadIdle(nowMs);
    const idleMs = this.#deps.config.seedIdleSeconds * 1_000;
    if (this.#deps.origin || idleMs === 0) return;
    for (const offer of this.#offers.all()) {
      if (nowMs - offer.askedAtMs > idleMs && (this.#loaded.get(offer.digest)?.wires ?? 0) === 0) {
        this.unseed(offer.digest);
      }
    }
  }
}
