import type { Logger } from 'pino';
import type { CaStore } from '../castore/index.ts';
import {
  type Clock,
  type Digest,
  decodeMetainfo,
  encodeMetainfo,
  type Metainfo,
  makePeerId,
  type PeerId,
} from '../core/index.ts';
import { AnnounceLoop } from './announce-loop.ts';
import { BlobSwarm } from './blob-swarm.ts';
import type { SwarmConfig } from './config.ts';
import { type Offer, Offers } from './offers.ts';
import type { AnnouncedPeer, Announcer, Download, PieceSource, Swarm, SwarmStatistics } from './swarm.ts';
import { SwarmDownload } from './swarm-download.ts';
import { type MeetingPoint, Transport } from './transport.ts';

/** What a host's swarm is made of. */
export interface SwarmDeps {
  readonly config: SwarmConfig;
  /** Downloads go here, and seeds are read from here. The caller closes it after the swarm. */
  readonly castore: CaStore;
  readonly announcer: Announcer;
  /** The cluster's secret, from which swarm ids are made. */
  readonly secret: string;
  readonly origin: boolean;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly random: () => number;
}

/** Opens this host's port, and offers every blob of the store that has metainfo. The caller closes it. */
export async function openSwarm(deps: SwarmDeps): Promise<Swarm> {
  return HostSwarm.open(deps);
}

class HostSwarm implements Swarm {
  readonly peerId: PeerId;
  readonly #deps: SwarmDeps;
  readonly #offers: Offers;
  /** Loaded blobs, and their points as they are being opened. */
  readonly #blobs = new Map<Digest, BlobSwarm>();
  /** Blobs that are being fetched, by the ids under which peers ask for them. */
  readonly #fetched = new Map<string, Digest>();
  readonly #opening = new Map<string, Promise<MeetingPoint>>();
  readonly #fetching = new Map<Digest, Promise<Download>>();
  readonly #origins = new Set<string>();
  readonly #announces: AnnounceLoop;
  readonly #idleTimer: NodeJS.Timeout;
  #transport!: Transport;
  #closed = false;
  #receivedFromPeersBytes = 0;
  #receivedFromOriginsBytes = 0;
  #wastedBytes = 0;
  #sentBytes = 0;

  private constructor(deps: SwarmDeps, peerId: PeerId) {
    this.peerId = peerId;
    this.#deps = deps;
    this.#offers = new Offers(deps.secret, deps.castore.blobs);
    this.#announces = new AnnounceLoop({
      announcer: deps.announcer,
      logger: deps.logger,
      describe: () => this.#describe(),
      onPeers: (swarmId, peers) => this.#onPeers(swarmId, peers),
    });
    this.#idleTimer = setInterval(() => void this.#unloadIdle(), 1_000);
    this.#idleTimer.unref();
  }

  static async open(deps: SwarmDeps): Promise<HostSwarm> {
    const swarm = new HostSwarm(deps, makePeerId());
    const { host, port, maxConnections, egressBytesPerSecond, ingressBytesPerSecond } = deps.config;
    swarm.#transport = await Transport.open({
      peerId: swarm.peerId,
      host,
      port,
      maxConnections,
      find: (id) => swarm.#find(id),
      logger: deps.logger,
    });
    swarm.#transport.limitEgress(egressBytesPerSecond);
    swarm.#transport.limitIngress(ingressBytesPerSecond);
    await swarm.#offerStored();
    swarm.#announces.start();
    return swarm;
  }

  get port(): number {
    return this.#transport.port;
  }

  seed(metainfo: Metainfo, source?: PieceSource): void {
    this.#offers.add(metainfo, source, this.#deps.clock.monotonicMs());
    this.#announces.soon();
  }

  unseed(digest: Digest): void {
    const offer = this.#offers.remove(digest);
    if (offer === undefined) return;
    void offer.source?.pieces.close();
    void this.#unload(digest);
  }

  fetch(metainfo: Metainfo): Promise<Download> {
    const running = this.#fetching.get(metainfo.digest);
    if (running !== undefined) return running;
    const started = this.#startFetch(metainfo);
    this.#fetching.set(metainfo.digest, started);
    started.catch(() => this.#fetching.delete(metainfo.digest));
    return started;
  }

  find(digest: Digest): Download | undefined {
    return this.#blobs.get(digest)?.download;
  }

  statistics(): SwarmStatistics {
    let wires = 0;
    let downloads = 0;
    for (const blob of this.#blobs.values()) {
      wires += blob.wires;
      if (blob.download !== undefined) downloads++;
    }
    return {
      receivedFromPeersBytes: this.#receivedFromPeersBytes,
      receivedFromOriginsBytes: this.#receivedFromOriginsBytes,
      wastedBytes: this.#wastedBytes,
      sentBytes: this.#sentBytes,
      wires,
      downloads,
      seeding: this.#offers.size,
    };
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#idleTimer);
    const reason = new Error('the swarm is closing');
    await Promise.all([...this.#blobs.values()].map((blob) => blob.download?.cancel(reason)));
    await this.#announces.stop();
    await Promise.all([...this.#blobs.keys()].map((digest) => this.#unload(digest)));
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

  async #startFetch(metainfo: Metainfo): Promise<Download> {
    const { digest } = metainfo;
    // What was offered before may be gone from the store: whoever fetches knows better.
    await this.#offers.remove(digest)?.source?.pieces.close();
    await this.#unload(digest);
    const partial = await this.#deps.castore.downloads.open(metainfo);
    const blob = this.#load(metainfo, undefined);
    const download = new SwarmDownload({
      partial,
      peerId: this.peerId,
      clock: this.#deps.clock,
      random: this.#deps.random,
      announceHave: (piece) => blob.announceHave(piece),
      ban: (session) => {
        this.#deps.logger.warn({ digest, peer: session.link.address }, 'peer sent bytes that do not match: banned');
        blob.ban(session);
      },
      onReceived: (session, bytes) => {
        if (session.origin) this.#receivedFromOriginsBytes += bytes;
        else this.#receivedFromPeersBytes += bytes;
      },
      onWasted: (bytes) => {
        this.#wastedBytes += bytes;
      },
    });
    blob.startDownload(download);
    this.#fetched.set(blob.swarmId, digest).set(blob.infoHash, digest);
    void this.#follow(blob, download);
    await this.#openPoint(blob, blob.swarmId);
    this.#announces.soon();
    return download;
  }

  /** Waits for the end of a download, and turns the blob into a seed or forgets it. */
  async #follow(blob: BlobSwarm, download: SwarmDownload): Promise<void> {
    const { metainfo } = download;
    try {
      await download.finished;
      await this.#deps.castore.blobs.putMetainfo(metainfo.digest, encodeMetainfo(metainfo));
      blob.endDownload();
      this.seed(metainfo);
    } catch (error) {
      this.#deps.logger.info({ err: error, digest: metainfo.digest }, 'download ended before it was whole');
      await this.#unload(metainfo.digest);
    } finally {
      this.#fetched.delete(blob.swarmId);
      this.#fetched.delete(blob.infoHash);
      this.#fetching.delete(metainfo.digest);
    }
  }

  #load(metainfo: Metainfo, source: PieceSource | undefined): BlobSwarm {
    const blob = new BlobSwarm({
      metainfo,
      secret: this.#deps.secret,
      peerId: this.peerId,
      maxWires: this.#deps.config.maxWiresPerBlob,
      openSource: async () => source ?? this.#deps.castore.blobs.openFile(metainfo.digest),
      isOrigin: (peerId) => this.#origins.has(peerId),
      onServed: (bytes) => {
        this.#sentBytes += bytes;
      },
    });
    this.#blobs.set(metainfo.digest, blob);
    return blob;
  }

  async #unload(digest: Digest): Promise<void> {
    const blob = this.#blobs.get(digest);
    if (blob === undefined) return;
    this.#blobs.delete(digest);
    this.#opening.delete(blob.swarmId);
    this.#opening.delete(blob.infoHash);
    await blob.close();
  }

  /** A peer has dialled and asks for an id: loads the blob when this host offers it. */
  async #find(id: string): Promise<MeetingPoint | undefined> {
    const offer = this.#offers.find(id);
    const digest = this.#fetched.get(id) ?? offer?.digest;
    if (digest === undefined || this.#closed) return undefined;
    const loaded = this.#blobs.get(digest) ?? (offer === undefined ? undefined : await this.#loadOffer(offer));
    if (loaded === undefined || (id === loaded.infoHash && !this.#deps.config.foreignClients)) return undefined;
    return this.#openPoint(loaded, id);
  }

  async #loadOffer(offer: Offer): Promise<BlobSwarm | undefined> {
    const metainfo = await this.#offers.metainfoOf(offer);
    if (metainfo !== undefined) return this.#blobs.get(offer.digest) ?? this.#load(metainfo, offer.source?.pieces);
    // A blob that was evicted from the store is offered no more.
    this.#offers.remove(offer.digest);
    this.#announces.soon();
    return undefined;
  }

  #openPoint(blob: BlobSwarm, id: string): Promise<MeetingPoint> {
    const opening = this.#opening.get(id);
    if (opening !== undefined) return opening;
    const opened = this.#transport
      .meet(id, (link) => blob.onLink(link, id === blob.infoHash))
      .then((point) => {
        blob.addPoint(id, point);
        return point;
      });
    this.#opening.set(id, opened);
    return opened;
  }

  #onPeers(swarmId: string, peers: readonly AnnouncedPeer[]): void {
    const digest = this.#fetched.get(swarmId);
    if (digest === undefined) return;
    for (const peer of peers) if (peer.origin) this.#origins.add(peer.id);
    this.#blobs.get(digest)?.dial(peers);
  }

  /** All swarms of this host, for the tracker. */
  #describe(): Parameters<Announcer['announce']>[0] {
    const { announceHost, wantedPeers } = this.#deps.config;
    const downloading = [...this.#blobs.values()].filter((blob) => blob.download !== undefined);
    const seeding = [...this.#offers.all()].filter(({ digest }) => this.find(digest) === undefined);
    return {
      peerId: this.peerId,
      port: this.port,
      ...(announceHost === undefined ? {} : { host: announceHost }),
      origin: this.#deps.origin,
      swarms: [
        ...downloading.map((blob) => ({
          swarmId: blob.swarmId,
          infoHash: blob.infoHash,
          complete: false,
          want: Math.max(0, wantedPeers - blob.wires),
        })),
        ...seeding.map(({ swarmId, infoHash }) => ({ swarmId, infoHash, complete: true, want: 0 })),
      ],
    };
  }

  /** Lets go of seeded blobs that nobody has asked for in a while. */
  async #unloadIdle(): Promise<void> {
    const now = this.#deps.clock.monotonicMs();
    for (const [digest, blob] of [...this.#blobs]) {
      const offer = this.#offers.get(digest);
      if (offer === undefined || blob.download !== undefined) continue;
      if (blob.wires > 0) offer.idleSinceMs = now;
      // A source that the caller gave stays open with the blob: it could not be opened again.
      else if (offer.source === undefined && now - offer.idleSinceMs > this.#deps.config.idleSeconds * 1000) {
        await this.#unload(digest);
      }
    }
  }
}
