import type { CaStore } from '../../src/castore/index.ts';
import { type Digest, encodeMetainfo, type Metainfo, makePeerId } from '../../src/core/index.ts';
import type { Swarm } from '../../src/swarm/index.ts';
import { ScriptedDownload } from './scripted-download.ts';

/** A swarm whose downloads are scripted; a whole one is put into the store before it has finished, as the real one does. */
export class ScriptedSwarm implements Swarm {
  readonly peerId = makePeerId();
  readonly port = 1;
  /** Every fetch that began a download. */
  readonly fetched: Digest[] = [];
  /** What a peer does with a new download. */
  onFetch: (download: ScriptedDownload) => void = (download) => download.bringAll();
  /** Fetches fail with this. */
  refuse: Error | undefined;
  readonly #downloads = new Map<Digest, ScriptedDownload>();
  readonly #castore: CaStore;
  readonly #bytesOf: (digest: Digest) => Buffer;

  constructor(castore: CaStore, bytesOf: (digest: Digest) => Buffer) {
    this.#castore = castore;
    this.#bytesOf = bytesOf;
  }

  async fetch(metainfo: Metainfo): Promise<ScriptedDownload> {
    if (this.refuse !== undefined) throw this.refuse;
    const running = this.#downloads.get(metainfo.digest);
    if (running !== undefined) return running;
    this.fetched.push(metainfo.digest);
    const download = new ScriptedDownload(metainfo, this.#bytesOf(metainfo.digest));
    this.#downloads.set(metainfo.digest, download);
    download.finished.then(
      () => this.#downloads.delete(metainfo.digest),
      () => this.#downloads.delete(metainfo.digest),
    );
    this.onFetch(download);
    if (download.isWhole) await this.commit(download);
    return download;
  }

  /** Ends a whole download well. */
  async commit(download: ScriptedDownload): Promise<void> {
    const { digest } = download.metainfo;
    await this.#castore.blobs.put(digest, this.#bytesOf(digest));
    await this.#castore.blobs.putMetainfo(digest, encodeMetainfo(download.metainfo));
    download.finish();
  }

  find(digest: Digest): ScriptedDownload | undefined {
    return this.#downloads.get(digest);
  }

  seed(): void {}
  unseed(): void {}
  used(): void {}
  setLimits(): void {}

  statistics() {
    return {
      receivedFromPeersBytes: 0,
      receivedFromOriginsBytes: 0,
      wastedBytes: 0,
      sentBytes: 0,
      wires: 0,
      downloads: this.#downloads.size,
      seeding: 0,
      loaded: 0,
      turnedAway: 0,
      banned: 0,
      processes: 0,
    };
  }

  async close(): Promise<void> {}
  async [Symbol.asyncDispose](): Promise<void> {}
}
