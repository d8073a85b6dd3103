import type { BlobInfo, PartialDownload } from '../castore/index.ts';
import {
  type ByteRange,
  type Clock,
  InvalidRangeError,
  lengthOfPiece,
  type Metainfo,
  pieceCount,
  piecesOfRange,
} from '../core/index.ts';
import { type Command, Dispatcher } from './dispatcher.ts';
import { seedOfPeer } from './peer-table.ts';
import type { Download, DownloadProgress, DownloadReader } from './swarm.ts';
import type { WireSession } from './wire-session.ts';

/** What a download needs of the swarm that it belongs to. */
export interface DownloadDeps {
  readonly partial: PartialDownload;
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
  readonly #waiters = new Set<Waiter>();
  readonly #timer: NodeJS.Timeout;
  readonly #verify = Promise.withResolvers<void>();
  readonly #finish = Promise.withResolvers<BlobInfo>();
  #readers = 0;
  #committing = false;
  #ended: Error | undefined;
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

  get prefixBytes(): number {
    return this.#deps.partial.prefixBytes;
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
    const { length, pieceLength } = this.metainfo;
    const pieces = pieceCount(length, pieceLength);
    const last = pieces - 1;
    const verified = this.#deps.partial.verifiedPieces;
    const shortBy = pieces > 0 && this.has(last) ? pieceLength - lengthOfPiece(last, length, pieceLength) : 0;
    return {
      lengthBytes: length,
      verifiedBytes: verified * pieceLength - shortBy,
      fromPeersBytes: this.#fromPeersBytes,
      fromOriginsBytes: this.#fromOriginsBytes,
      suppliedBytes: this.#suppliedBytes,
      wastedBytes: this.#wastedBytes,
      peers: this.#sessions.size,
    };
  }

  waitFor(range: ByteRange, signal?: AbortSignal): Promise<void> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    if (signal?.aborted === true) return Promise.reject(signal.reason);
    this.#checkRange(range);
    const { first, last } = piecesOfRange(range, this.metainfo.pieceLength);
    const waiter: Waiter = { next: first, last, ...Promise.withResolvers<void>() };
    if (this.#advance(waiter)) return Promise.resolve();
    const onAbort = () => {
      this.#waiters.delete(waiter);
      waiter.reject(signal?.reason);
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    this.#waiters.add(waiter);
    return waiter.promise.finally(() => signal?.removeEventListener('abort', onAbort));
  }

  async read(offset: number, length: number): Promise<Buffer> {
    this.#checkRange({ offset, length });
    const { pieceLength } = this.metainfo;
    const parts: Buffer[] = [];
    for (let at = offset; at < offset + length; ) {
      const piece = Math.floor(at / pieceLength);
      const inPiece = at - piece * pieceLength;
      const take = Math.min(pieceLength - inPiece, offset + length - at);
      parts.push(await this.readPiece(piece, inPiece, take));
      at += take;
    }
    return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
  }

  /** Bytes of one verified piece, for readers and for peers. */
  readPiece(piece: number, offset: number, length: number): Promise<Buffer> {
    return this.#deps.partial.read(piece, offset, length);
  }

  openReader(range: ByteRange): DownloadReader {
    const id = this.#readers++;
    const { pieceLength } = this.metainfo;
    const { last } = piecesOfRange(range, pieceLength);
    const moveTo = (offset: number) => {
      let next = Math.floor(offset / pieceLength);
      while (next <= last && this.has(next)) next++;
      if (next > last) this.#dispatcher.readerClosed(id);
      else this.#dispatcher.readerMoved(id, next, last);
      this.#carryOut();
    };
    moveTo(range.offset);
    return { moveTo, close: () => this.#dispatcher.readerClosed(id) };
  }

  nextMissing(range: ByteRange): number | undefined {
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
    this.#onVerified(index, undefined);
    return true;
  }

  async cancel(reason: Error): Promise<void> {
    if (this.#ended !== undefined || this.#committing) return;
    this.#end(reason);
    await this.#deps.partial.close();
  }

  /** A wire to a peer of this blob. */
  addSession(session: WireSession): void {
    this.#sessions.set(session.id, session);
    this.#dispatcher.peerJoined(session.id, seedOfPeer(session.peerId), session.origin);
  }

  removeSession(session: WireSession): void {
    if (!this.#sessions.delete(session.id)) return;
    this.#dispatcher.peerLeft(session.id);
    this.#carryOut();
  }

  onPeerHas(session: WireSession, piece: number): void {
    this.#dispatcher.peerHas(session.id, piece);
    this.#carryOut();
  }

  onPeerHasAll(session: WireSession): void {
    this.#dispatcher.peerHasAll(session.id);
    this.#carryOut();
  }

  onUnchoked(session: WireSession): void {
    this.#dispatcher.peerUnchoked(session.id);
    this.#carryOut();
  }

  onChoked(session: WireSession): void {
    this.#dispatcher.peerChoked(session.id);
    this.#carryOut();
  }

  onBlock(session: WireSession, bytes: number, wanted: boolean): void {
    if (session.origin) this.#fromOriginsBytes += bytes;
    else this.#fromPeersBytes += bytes;
    this.#deps.onReceived(session, bytes);
    if (!wanted) this.#waste(bytes);
    this.#dispatcher.progressed(session.id);
  }

  onRequestFailed(session: WireSession, piece: number): void {
    this.#dispatcher.requestFailed(session.id, piece);
    this.#carryOut();
  }

  /** Checks, stores and announces a piece. Never rejects: a disk that fails ends the download. */
  async onPiece(session: WireSession, piece: number, bytes: Buffer): Promise<void> {
    if (this.#ended !== undefined) return;
    const known = this.has(piece);
    let matches: boolean;
    try {
      matches = await this.#deps.partial.writePiece(piece, bytes);
    } catch (error) {
      this.#end(error instanceof Error ? error : new Error(String(error)));
      return;
    }
    if (known || !matches) this.#waste(bytes.length);
    if (!matches) {
      this.#dispatcher.requestFailed(session.id, piece);
      this.#deps.ban(session);
      this.#carryOut();
      return;
    }
    this.#onVerified(piece, session.id);
  }

  #onVerified(piece: number, from: number | undefined): void {
    this.#dispatcher.pieceVerified(piece, from);
    this.#deps.announceHave(piece);
    for (const waiter of this.#waiters) {
      if (!this.#advance(waiter)) continue;
      this.#waiters.delete(waiter);
      waiter.resolve();
    }
    this.#carryOut();
    void this.#commitWhenWhole();
  }

  #tick(): void {
    this.#dispatcher.tick(this.#deps.clock.monotonicMs());
    this.#carryOut();
  }

  #carryOut(): void {
    if (this.#ended !== undefined) return;
    for (const command of this.#dispatcher.takeCommands()) this.#carryOutOne(command);
  }

  #carryOutOne({ kind, peer, piece }: Command): void {
    const session = this.#sessions.get(peer);
    if (session === undefined) return;
    if (kind === 'request') {
      session.request(piece);
      return;
    }
    this.#waste(session.bytesArrived(piece));
    session.cancel(piece);
  }

  /** Moves a waiter over verified pieces. @returns whether it has all it waits for */
  #advance(waiter: Waiter): boolean {
    while (waiter.next <= waiter.last && this.has(waiter.next)) waiter.next++;
    return waiter.next > waiter.last;
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
      this.#end(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #end(reason: Error): void {
    if (this.#ended !== undefined) return;
    this.#ended = reason;
    clearInterval(this.#timer);
    for (const waiter of this.#waiters) waiter.reject(reason);
    this.#waiters.clear();
    this.#verify.reject(reason);
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

interface Waiter extends PromiseWithResolvers<void> {
  next: number;
  readonly last: number;
}
