import type { BlobFile, BlobInfo, SharedFiles } from '../../castore/index.ts';
import type { Digest, Metainfo } from '../../core/index.ts';
import type { SwarmStore } from '../store.ts';
import type { Channel } from './channel.ts';
import type { MainCalls, PeerCalls } from './protocol.ts';
import { RemotePartial } from './remote-partial.ts';

/** The store of the main process as a peer process sees it: its files are read and written here, all else is a call. */
export class RemoteStore implements SwarmStore {
  readonly downloads: SwarmStore['downloads'];
  readonly blobs: SwarmStore['blobs'];
  readonly #channel: Channel<MainCalls, PeerCalls>;
  readonly #files: SharedFiles;
  readonly #onWhole: (digest: Digest) => void;
  /** Downloads that have been opened and not let go of. */
  readonly #partials = new Map<Digest, RemotePartial>();

  /**
   * @param deps.files the caller closes it
   * @param deps.onWhole all pieces of a download are there; called before it is verified
   */
  constructor(deps: {
    channel: Channel<MainCalls, PeerCalls>;
    files: SharedFiles;
    onWhole: (digest: Digest) => void;
  }) {
    this.#channel = deps.channel;
    this.#files = deps.files;
    this.#onWhole = deps.onWhole;
    this.downloads = { open: (metainfo) => this.#openDownload(metainfo) };
    this.blobs = {
      list: () => noBlobs(),
      find: (digest) => this.#channel.call('findBlob', { digest }),
      openFile: (digest) => this.#openFile(digest),
      findMetainfo: async (digest) => {
        const encoded = await this.#channel.call('findMetainfo', { digest });
        return encoded === undefined ? undefined : asBuffer(encoded);
      },
      putMetainfo: async (digest, encoded) => asBuffer(await this.#channel.call('putMetainfo', { digest, encoded })),
    };
  }

  /** A download has ended, whichever way: nothing is written into its file any more once this has resolved. */
  async letGo(digest: Digest): Promise<void> {
    const partial = this.#partials.get(digest);
    this.#partials.delete(digest);
    await partial?.close();
  }

  async #openDownload(metainfo: Metainfo): Promise<RemotePartial> {
    const { digest } = metainfo;
    const channel = this.#channel;
    const { path, bitfield } = await channel.call('openDownload', { digest });
    try {
      const deps = { channel, blobs: this.blobs, onWhole: () => this.#onWhole(digest) };
      const partial = await RemotePartial.open(metainfo, deps, (onStored) =>
        this.#files.openPieces({ metainfo, path, bitfield }, onStored),
      );
      this.#partials.set(digest, partial);
      return partial;
    } catch (error) {
      await channel.call('closeDownload', { digest });
      throw error;
    }
  }

  async #openFile(digest: Digest): Promise<BlobFile> {
    const { path, sizeBytes } = await this.#channel.call('locateBlob', { digest });
    return this.#files.openBlob({ digest, path, sizeBytes });
  }
}

/** A peer process offers what it is given, not what the store has. */
async function* noBlobs(): AsyncIterable<BlobInfo> {}

/** The bytes of a message, whatever class they arrived as. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}
