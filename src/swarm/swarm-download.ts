import type { BlobInfo, LentBytes } from '../castore/index.ts';
import {
  type ByteRange,
  type Clock,
  InvalidRangeError,
  type Metainfo,
  pieceCount,
  piecesOfRange,
} from '../core/index.ts';
import { REQUEST } from './dispatcher/command-buffer.ts';
import { Dispatcher } from './dispatcher/dispatcher.ts';
import { seedOfPeer } from './dispatcher/peer-table.ts';
import { readVerified, verifiedBytesOf, verifiedEndOf } from './partial-reads.ts';
import { RangeWaiters } from './range-waiters.ts';
import type { SwarmPartial } from './store.ts';
import type { Download, DownloadProgress, DownloadReader } from './swarm.ts';
import type { WireSession } from './wire/wire-session.ts';

/** What a download needs of the swarm that it belongs to. */
export interface DownloadDeps {
  readonly partial: SwarmPartial;
  readonly peerId: string;
  readonly clock: Clock;
  readonly random: () => number;
  /** Tells all neighbours of one more piece. */
  readonly announceHave: (piece: number) => void;
  /** A peer sent bytes that do not match: its wire is closed, and it is not dialled again for this blob. */
  readonly ban: (session: WireSession) => void;
  readonly onReceived: (session: WireSession, bytes: number) => void;
  readonly onWasted: (bytes: number) => void;
}

const TICK_MS = 100;

/** One blob on its way: the dispatcher's commands carried out on wires, and readers served as pieces get verified. */
export class SwarmDownload implements Download {
  readonly metainfo: Metainfo;
  readonly verified: Promise<void>;
  readonly finished: Promise<BlobInfo>;
  readonly #deps: DownloadDeps;
  readonly #dispatcher: Dispatcher;
  readonly #sessions = new Map<number, WireSession>();
  /** Pieces that are being checked and written. */
  readonly #storing = new Set<number>();
  readonly #waiters = new RangeWaiters((piece) => this.has(piece));
  readonly #timer: NodeJS.Timeout;
  readonly #verify = Promise.withResolvers<void>();
  readonly #finish = Promise.withResolvers<BlobInfo>();
  #readers = 0;
  #committing = false;
  #carryingOut = false;
  #ended: Error | undefined;
  #ending: Promise<void> | undefined;
  #fromPeersBytes = 0;
  #fromOriginsBytes = 0;
  #suppliedBytes = 0;
  #wastedBytes = 0;

  constructor(deps: DownloadDeps) {
    const { partial, clock, random } = deps;
    this.metainfo = partial.metainfo;
    this.#deps = deps;
    this.#dispatcher = new Dispatcher({
      pieces: pieceCount(this.metainfo.length, this.metainfo.pieceLength),
      self: seedOfPeer(deps.peerId),
      has: (piece) => partial.has(piece),
      random,
      nowMs: clock.monotonicMs(),
    });
    this.verified = this.#verify.promise;
    this.finished = this.#finish.promise;
    // Whoever waits gets the error; without anybody waiting it must not end the process.
    for (const promise of [this.verified, this.finished]) promise.catch(() => {});
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
    void this.#commitWhenWhole();
  }

  get pieceBitfield(): Uint8Array {
    return this.#deps.partial.bitfield();
  }

  get verifiedPieces(): number {
    return this.#deps.partial.verifiedPieces;
  }

  has(piece: number): boolean {
    return this.#deps.partial.has(piece);
  }

  progress(): DownloadProgress {
    return {
      lengthBytes: this.metainfo.length,
      verifiedBytes: verifiedBytesOf(this.#deps.partial),
      fromPeersBytes: this.#fromPeersBytes,
      fromOriginsBytes: this.#fromOriginsBytes,
      suppliedBytes: this.#suppliedBytes,
      wastedBytes: this.#wastedBytes,
      peers: this.#sessions.size,
    };
  }

  waitFor(range: ByteRange, signal?: AbortSignal): Promise<void> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    this.#checkRange(range);
    const { first, last } = piecesOfRange(range, this.metainfo.pieceLength);
    return this.#waiters.wait(first, last, signal);
  }

  verifiedEnd(range: ByteRange): number {
    return verifiedEndOf(this.#deps.partial, range);
  }

  async read(offset: number, length: number): Promise<Buffer> {
    this.#checkRange({ offset, length });
    return readVerified(this.#deps.partial, offset, length);
  }

  openReader(range: ByteRange): DownloadReader {
    const id = this.#readers++;
    const { pieceLength } = this.metainfo;
    const { last } = piecesOfRange(range, pieceLength);
    let next = 0;
    const moveTo = (offset: number) => {
      this.#now();
      // Never back: what was verified further on need not be looked at again for every step of a slow reader.
      next = Math.max(next, Math.floor(offset / pieceLength));
      while (next <= last && this.has(next)) next++;
      if (next > last) this.#dispatcher.readerClosed(id);
      else this.#dispatcher.readerMoved(id, next, last);
      this.#carryOut();
    };
    moveTo(range.offset);
    return { moveTo, close: () => this.#dispatcher.readerClosed(id) };
  }

  nextMissing(range: ByteRange): number | undefined {
    this.#now();
    const { first, last } = piecesOfRange(range, this.metainfo.pieceLength);
    for (let piece = first; piece <= last; piece++) {
      if (!this.has(piece) && !this.#dispatcher.isArriving(piece)) return piece;
    }
    return undefined;
  }

  async supply(index: number, bytes: Buffer): Promise<boolean> {
    if (this.#ended !== undefined) throw this.#ended;
    if (this.has(index)) return true;
    if (!(await this.#deps.partial.writePiece(index, bytes))) return false;
    this.#suppliedBytes += bytes.length;
    this.#onVerified(index, -1);
    return true;
  }

  async cancel(reason: Error): Promise<boolean> {
    if (this.#ended === undefined && this.#committing) return false;
    await this.#end(reason);
    return true;
  }

  /** Memory for a piece that begins to come in. Whoever takes it ends with {@link onPiece} or {@link returnBuffer}. */
  pieceBuffer(piece: number): Buffer {
    return this.#deps.partial.pieceBuffer(piece);
  }

  returnBuffer(buffer: Buffer): void {
    this.#deps.partial.returnBuffer(buffer);
  }

  /** Bytes of one verified piece, to be released. */
  lend(piece: number, offset: number, length: number): LentBytes | Promise<LentBytes> {
    return this.#deps.partial.lend(piece, offset, length);
  }

  /** A wire to a peer of this blob. Its id is a slot number that no other wire of the blob has now. */
  addSession(session: WireSession): void {
    this.#now();
    this.#sessions.set(session.id, session);
    this.#dispatcher.peerJoined(session.id, seedOfPeer(session.peerId), session.origin);
  }

  removeSession(session: WireSession): void {
    if (this.#sessions.get(session.id) !== session) return;
    this.#sessions.delete(session.id);
    this.#now();
    this.#dispatcher.peerLeft(session.id);
    this.#carryOut();
  }

  onPeerHas(session: WireSession, piece: number): void {
    this.#now();
    this.#dispatcher.peerHas(session.id, piece);
    this.#carryOut();
  }

  /** @param bits a BEP 3 bitfield */
  onPeerBits(session: WireSession, bits: Uint8Array): void {
    this.#now();
    this.#dispatcher.peerHasBits(session.id, bits);
    this.#carryOut();
  }

  onPeerHasAll(session: WireSession): void {
    this.#now();
    this.#dispatcher.peerHasAll(session.id);
    this.#carryOut();
  }

  onUnchoked(session: WireSession): void {
    this.#now();
    this.#dispatcher.peerUnchoked(session.id);
    this.#carryOut();
  }

  onChoked(session: WireSession): void {
    this.#now();
    this.#dispatcher.peerChoked(session.id);
    this.#carryOut();
  }

  /** A peer suggests a piece; heeded when it is an origin. */
  onSuggested(session: WireSession, piece: number): void {
    this.#now();
    this.#dispatcher.peerSuggested(session.id, piece);
    this.#carryOut();
  }

  onBlock(session: WireSession, bytes: number, wanted: boolean): void {
    if (session.origin) this.#fromOriginsBytes += bytes;
    else this.#fromPeersBytes += bytes;
    this.#deps.onReceived(session, bytes);
    if (!wanted) this.#waste(bytes);
    this.#now();
    this.#dispatcher.progressed(session.id);
  }

  onRequestFailed(session: WireSession, piece: number): void {
    this.#now();
    this.#dispatcher.requestFailed(session.id, piece);
    this.#carryOut();
  }

  /**
   * Asks for the next piece at once, then checks, stores and announces this one. Never rejects: a disk that fails ends the
   * download.
   *
   * @param buffer from {@link pieceBuffer}; it is this download's from now on
   */
  async onPiece(session: WireSession, piece: number, buffer: Buffer): Promise<void> {
    if (this.#ended !== undefined) {
      this.returnBuffer(buffer);
      return;
    }
    const { length } = buffer;
    // Two copies may be in at almost the same moment, in the endgame.
    const known = this.has(piece) || this.#storing.has(piece);
    this.#storing.add(piece);
    this.#now();
    this.#dispatcher.pieceReceived(session.id, piece);
    this.#carryOut();
    let matches: boolean;
    try {
      matches = await this.#deps.partial.writePiece(piece, buffer);
    } catch (error) {
      this.#fail(error);
      return;
    } finally {
      this.#storing.delete(piece);
    }
    if (known || !matches) this.#waste(length);
    // The wire may be gone by now, and its slot another's.
    const from = this.#sessions.get(session.id) === session ? session.id : -1;
    if (matches) {
      this.#onVerified(piece, from);
      return;
    }
    this.#now();
    this.#dispatcher.requestFailed(from, piece);
    this.#deps.ban(session);
    this.#carryOut();
  }

  #onVerified(piece: number, from: number): void {
    this.#now();
    this.#dispatcher.pieceVerified(piece, from);
    this.#deps.announceHave(piece);
    this.#waiters.onVerified();
    this.#carryOut();
    void this.#commitWhenWhole();
  }

  #tick(): void {
    this.#now();
    this.#dispatcher.tick();
    this.#carryOut();
  }

  #now(): void {
    this.#dispatcher.advance(this.#deps.clock.monotonicMs());
  }

  /** Carries commands out, also those that come while it does so: a wire can fail in the middle of a request. */
  #carryOut(): void {
    if (this.#carryingOut) return;
    this.#carryingOut = true;
    const { commands } = this.#dispatcher;
    try {
      for (let index = 0; index < commands.count && this.#ended === undefined; index++) {
        this.#carryOutOne(commands.kind(index), commands.peer(index), commands.piece(index));
      }
    } finally {
      commands.clear();
      this.#carryingOut = false;
    }
  }

  #carryOutOne(kind: number, peer: number, piece: number): void {
    const session = this.#sessions.get(peer);
    if (session === undefined) return;
    if (kind === REQUEST) {
      session.request(piece);
      return;
    }
    this.#waste(session.bytesArrived(piece));
    session.cancel(piece);
  }

  async #commitWhenWhole(): Promise<void> {
    if (this.#dispatcher.missing > 0 || this.#committing || this.#ended !== undefined) return;
    this.#committing = true;
    try {
      await this.#deps.partial.verify();
      this.#verify.resolve();
      const blob = await this.#deps.partial.commit();
      clearInterval(this.#timer);
      this.#finish.resolve(blob);
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Ends it for a reason of its own; what it has stays on disk for the next attempt. */
  #fail(error: unknown): void {
    void this.#end(error instanceof Error ? error : new Error(String(error)));
  }

  /** Never rejects. */
  #end(reason: Error): Promise<void> {
    this.#ending ??= this.#endOnce(reason);
    return this.#ending;
  }

  /** It has finished only when the store has let go of it: who hears of the end may begin anew at once. */
  async #endOnce(reason: Error): Promise<void> {
    this.#ended = reason;
    clearInterval(this.#timer);
    this.#waiters.end(reason);
    this.#verify.reject(reason);
    // Why it cannot be closed matters less than why it ended; a damaged disk says so again.
    await this.#deps.partial.close().catch(() => undefined);
    this.#finish.reject(reason);
  }

  #waste(bytes: number): void {
    this.#wastedBytes += bytes;
    this.#deps.onWasted(bytes);
  }

  #checkRange({ offset, length }: ByteRange): void {
    if (offset >= 0 && length >= 0 && offset + length <= this.metainfo.length) return;
    throw new InvalidRangeError(
      `bytes ${offset} to ${offset + length} are outside of blob ${this.metainfo.digest}, which has ${this.metainfo.length}`,
    );
  }
}
