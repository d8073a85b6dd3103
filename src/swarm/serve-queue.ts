import type { PeerLink } from './transport.ts';

/** A block that a peer asked for. */
export interface BlockRequest {
  readonly piece: number;
  readonly offset: number;
  readonly length: number;
  readonly respond: (error: Error | null, block?: Uint8Array) => void;
}

/** Foreign clients keep up to 500 blocks of 16 KiB outstanding; one that keeps more is closed. */
const MAX_QUEUED = 1_024;
/** Blocks are read while fewer bytes than this wait for the socket: two blocks of the longest kind. */
const MAX_UNSENT_BYTES = 256 * 1024;

/**
 * What one peer has asked for and not got yet. Bytes are read only as the socket takes them, so that a peer that asks
 * for everything and reads nothing costs two blocks of memory.
 */
export class ServeQueue {
  readonly #link: PeerLink;
  readonly #read: (piece: number, offset: number, length: number) => Promise<Buffer>;
  readonly #onServed: (bytes: number) => void;
  #queue: BlockRequest[] = [];
  #unsentBytes = 0;
  #reading = false;
  #closed = false;

  constructor(options: {
    link: PeerLink;
    read: (piece: number, offset: number, length: number) => Promise<Buffer>;
    onServed: (bytes: number) => void;
  }) {
    this.#link = options.link;
    this.#read = options.read;
    this.#onServed = options.onServed;
    options.link.onSent((bytes) => {
      // Other messages count too, so this may run ahead by a few bytes; never below nothing.
      this.#unsentBytes = Math.max(0, this.#unsentBytes - bytes);
      void this.#pump();
    });
  }

  /** Queues a request. @returns whether there was room */
  push(request: BlockRequest): boolean {
    if (this.#queue.length >= MAX_QUEUED) return false;
    this.#queue.push(request);
    void this.#pump();
    return true;
  }

  /** Drops a request that has not been read yet. */
  cancel(piece: number, offset: number): void {
    this.#queue = this.#queue.filter((request) => request.piece !== piece || request.offset !== offset);
  }

  close(): void {
    this.#closed = true;
    this.#queue = [];
  }

  /** Never rejects: what cannot be read is answered with a refusal. */
  async #pump(): Promise<void> {
    if (this.#reading) return;
    this.#reading = true;
    while (!this.#closed && this.#unsentBytes < MAX_UNSENT_BYTES) {
      const request = this.#queue.shift();
      if (request === undefined) break;
      await this.#serve(request);
    }
    this.#reading = false;
  }

  async #serve({ piece, offset, length, respond }: BlockRequest): Promise<void> {
    let block: Buffer;
    try {
      block = await this.#read(piece, offset, length);
    } catch (error) {
      respond(error instanceof Error ? error : new Error(String(error)));
      return;
    }
    if (this.#closed || this.#link.wire.destroyed) return;
    this.#unsentBytes += block.length;
    respond(null, block);
    this.#onServed(block.length);
  }
}
