import type { LentBytes } from '../../castore/index.ts';
import { lengthOfPiece, type Metainfo } from '../../core/index.ts';
import type { ServeQueue } from './serve-queue.ts';
import type { PeerLink } from './wire-link.ts';
import { BLOCK_BYTES, MessageId, message, WireProtocolError } from './wire-messages.ts';

/** What serving needs of the session that it belongs to. */
export interface ServingOptions {
  readonly link: PeerLink;
  readonly metainfo: Pick<Metainfo, 'length' | 'pieceLength'>;
  /** Foreign clients are choked when others deserve the uplink more; our own agents never are. */
  readonly foreign: boolean;
  readonly has: (piece: number) => boolean;
  readonly lend: (piece: number, offset: number, length: number) => LentBytes | Promise<LentBytes>;
  readonly background: () => boolean;
  /** How much of the blob the peer has, 0 to 1. */
  readonly peerShare: () => number;
  readonly onServed: (bytes: number) => void;
}

/** What one wire is given: its interest, its requests, and what the scheduler sends of them. */
export class PieceServing {
  readonly #options: ServingOptions;
  readonly #link: PeerLink;
  readonly #queue: ServeQueue;
  readonly #chokingId: number | undefined;
  #closed = false;

  constructor(options: ServingOptions) {
    const { link } = options;
    this.#options = options;
    this.#link = link;
    this.#queue = link.hub.scheduler.open({
      sink: link,
      lend: options.lend,
      background: options.background,
      peerShare: options.peerShare,
      onSent: (length) => this.#onSent(length),
      onUnreadable: (piece, offset, length) => this.#reject(piece, offset, length),
    });
    if (!options.foreign) return;
    this.#chokingId = link.hub.choking.join({ choke: () => this.#choke(), unchoke: () => link.wire.unchoke() });
  }

  /** Own agents are never choked, so they need not wait for an answer to their interest: a round trip less to the first byte. */
  welcome(): void {
    if (this.#chokingId === undefined) this.#link.wire.unchoke();
  }

  /** The peer wants something, or nothing any more. */
  onInterest(interested: boolean): void {
    if (this.#chokingId !== undefined) this.#link.hub.choking.setInterested(this.#chokingId, interested);
  }

  /** Bytes that were asked for have come from the peer: tit for tat. */
  received(bytes: number): void {
    if (this.#chokingId !== undefined) this.#link.hub.choking.received(this.#chokingId, bytes);
  }

  /** @throws WireProtocolError for what is no block of the piece, and for more requests than anybody needs */
  onRequest(piece: number, offset: number, length: number): void {
    const size = this.#sizeOf(piece);
    if (length === 0 || length > BLOCK_BYTES || offset + length > size) {
      throw new WireProtocolError(`request of ${length} bytes at ${offset} in piece ${piece}, which has ${size}`);
    }
    if (this.#closed || this.#link.wire.amChoking || !this.#options.has(piece)) {
      this.#reject(piece, offset, length);
    } else if (!this.#queue.push(piece, offset, length)) {
      throw new WireProtocolError(`more than ${this.#queue.length} requests at a time`);
    }
  }

  /** BEP 6: whatever was requested is answered, be it by a refusal. */
  onCancel(piece: number, offset: number, length: number): void {
    if (this.#queue.cancel(piece, offset)) this.#reject(piece, offset, length);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#queue.close();
    if (this.#chokingId !== undefined) this.#link.hub.choking.leave(this.#chokingId);
  }

  #choke(): void {
    this.#link.wire.choke();
    for (const { piece, offset, length } of this.#queue.clear()) this.#reject(piece, offset, length);
  }

  /** Without the fast extension there is no word for it. */
  #reject(piece: number, offset: number, length: number): void {
    if (this.#link.wire.hasFast) this.#link.send(message(MessageId.reject, piece, offset, length));
  }

  #onSent(length: number): void {
    if (!this.#closed) this.#options.onServed(length);
  }

  #sizeOf(piece: number): number {
    return lengthOfPiece(piece, this.#options.metainfo.length, this.#options.metainfo.pieceLength);
  }
}
