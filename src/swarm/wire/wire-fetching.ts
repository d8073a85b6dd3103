import type { Metainfo } from '../../core/index.ts';
import type { PeerLink } from './wire-link.ts';
import { MessageId, WireProtocolError } from './wire-messages.ts';
import { type ArrivingPiece, PieceRequests, StaleRequests } from './wire-requests.ts';

/** A peer that sends more than this unasked is closed. What was asked for and then cancelled does not count. */
const MAX_UNWANTED_BYTES = 64 * 1024 * 1024;

/** What fetching needs of the session that it belongs to. */
export interface FetchingOptions {
  readonly link: Pick<PeerLink, 'send' | 'dropBlock'>;
  readonly metainfo: Pick<Metainfo, 'length' | 'pieceLength'>;
  readonly blockBytes: number;
  readonly pieceBuffer: (piece: number) => Buffer;
  readonly returnBuffer: (buffer: Buffer) => void;
  readonly onBlock: (bytes: number, wanted: boolean) => void;
  readonly onPiece: (piece: number, buffer: Buffer) => void;
  readonly onFailed: (piece: number) => void;
}

/**
 * What one wire brings: asks for whole pieces, and puts their blocks where they belong. Each block is found by its numbers,
 * at the same cost whatever is outstanding; before a byte is taken, piece, offset and length have to be what was asked for.
 */
export class PieceFetching {
  readonly #options: FetchingOptions;
  readonly #requests: PieceRequests;
  readonly #stale = new StaleRequests();
  /** The block that the parser fills; nothing while it passes one that nobody wants. */
  #filling: { readonly arriving: ArrivingPiece; readonly offset: number } | undefined;
  #blockBytes = 0;
  /** Bytes that were asked for and then cancelled: they may come all the same. */
  #forgivenBytes = 0;
  #unwantedBytes = 0;

  constructor(options: FetchingOptions) {
    this.#options = options;
    this.#requests = new PieceRequests({ ...options.metainfo, blockBytes: options.blockBytes });
  }

  /** Asks for all blocks of a piece in one go, unless it is asked for already. */
  request(piece: number): void {
    if (this.#requests.get(piece) !== undefined) return;
    this.#options.link.send(this.#requests.add(piece).messages(MessageId.request));
  }

  /** Takes back what has not come of a piece, and drops what has. */
  cancel(piece: number): void {
    const arriving = this.#requests.remove(piece);
    if (arriving !== undefined) this.#abandon(arriving);
  }

  /** Bytes of a piece that have come in whole blocks. */
  bytesArrived(piece: number): number {
    return this.#requests.get(piece)?.arrivedBytes ?? 0;
  }

  /** A block was refused: the piece fails, once. */
  onReject(piece: number, offset: number, length: number): void {
    if (!this.#requests.isBlock(piece, offset, length)) return; // We ask for no such blocks.
    if (this.#stale.answered(piece, offset)) return;
    const arriving = this.#requests.get(piece);
    if (arriving?.awaits(offset) !== true) return; // Nobody asked for it.
    this.#requests.remove(piece);
    this.#abandon(arriving);
    this.#stale.answered(piece, offset);
    this.#options.onFailed(piece);
  }

  /** All that is outstanding is dropped by the peer without a word (BEP 3). */
  onAllRefused(): void {
    for (const arriving of this.#requests.clear()) {
      this.#returnBuffer(arriving);
      this.#options.onFailed(arriving.piece);
    }
  }

  /** For the parser: where a block goes. @throws WireProtocolError for what is no block that we ever ask for */
  onBlockStart(piece: number, offset: number, length: number): Buffer | undefined {
    if (!this.#requests.isBlock(piece, offset, length)) {
      throw new WireProtocolError(`block of ${length} bytes at ${offset} in piece ${piece}: we ask for no such blocks`);
    }
    this.#blockBytes = length;
    // It may be what a cancelled request brings; the bytes are as good as those of a new one.
    this.#stale.answered(piece, offset);
    const arriving = this.#requests.get(piece);
    if (arriving?.awaits(offset) !== true) return undefined;
    arriving.buffer ??= this.#options.pieceBuffer(piece);
    this.#filling = { arriving, offset };
    return arriving.buffer.subarray(offset, offset + length);
  }

  /** For the parser: the block has passed. @throws WireProtocolError after too much that nobody asked for */
  onBlockEnd(): void {
    const filled = this.#filling;
    this.#filling = undefined;
    if (filled === undefined) {
      this.#onUnwanted(this.#blockBytes);
      return;
    }
    const { arriving, offset } = filled;
    arriving.arrived(offset);
    this.#options.onBlock(this.#blockBytes, true);
    // The owner may have cancelled it, or closed the wire.
    if (!arriving.whole || this.#requests.get(arriving.piece) !== arriving) return;
    this.#requests.remove(arriving.piece);
    const buffer = arriving.buffer!;
    arriving.buffer = undefined;
    this.#options.onPiece(arriving.piece, buffer);
  }

  /** Gives all memory back. */
  close(): void {
    for (const arriving of this.#requests.clear()) this.#returnBuffer(arriving);
  }

  #onUnwanted(bytes: number): void {
    const forgiven = Math.min(bytes, this.#forgivenBytes);
    this.#forgivenBytes -= forgiven;
    this.#unwantedBytes += bytes - forgiven;
    this.#options.onBlock(bytes, false);
    if (this.#unwantedBytes <= MAX_UNWANTED_BYTES) return;
    throw new WireProtocolError(`${this.#unwantedBytes} bytes that nobody asked for, at most ${MAX_UNWANTED_BYTES}`);
  }

  #abandon(arriving: ArrivingPiece): void {
    this.#options.link.send(arriving.messages(MessageId.cancel));
    for (const offset of arriving.openOffsets()) this.#stale.add(arriving.piece, offset);
    this.#forgivenBytes += arriving.size - arriving.arrivedBytes;
    this.#returnBuffer(arriving);
  }

  #returnBuffer(arriving: ArrivingPiece): void {
    if (this.#filling?.arriving === arriving) {
      this.#filling = undefined;
      this.#options.link.dropBlock();
    }
    if (arriving.buffer !== undefined) this.#options.returnBuffer(arriving.buffer);
    arriving.buffer = undefined;
  }
}
