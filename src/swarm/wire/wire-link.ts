import type { Socket } from 'node:net';
import type Wire from 'bittorrent-protocol';
import type { WireHub } from './wire-hub.ts';
import { blockHead, HANDSHAKE_BYTES, WireProtocolError } from './wire-messages.ts';
import { MessageParser, type MessageSink } from './wire-parser.ts';
import { ReadRests, type RestingLink } from './wire-rests.ts';
import type { SharedSocket } from './wire-socket.ts';

/** Who reads a link: takes its messages, and is told once when it ends. */
export interface LinkReader extends MessageSink {
  onClosed(): void;
}

/** What a link needs of WebTorrent's peer. */
export interface LinkPeer {
  /** Ends socket and wire, then emits `disconnect`; as does every end of either of them. */
  destroy(): void;
  once(event: 'disconnect', listener: () => void): void;
}

/** What a link is made of. */
export interface LinkOptions {
  readonly wire: Wire;
  readonly peer: LinkPeer;
  readonly shared: SharedSocket;
  readonly hub: WireHub;
  readonly address: string;
  /** The peer's handshake has come. */
  readonly onGreeted: () => void;
}

/** A connection may take this long to say which blob it wants; WebTorrent would wait 25 s. */
export const HANDSHAKE_TIMEOUT_MS = 5_000;

/**
 * Requests, HAVEs and refusals that wait for a peer that reads nothing. The blocks that the scheduler hands out are at most
 * 384 KiB of them, and the HAVEs of the largest blob 230 KB.
 */
const MAX_UNSENT_BYTES = 2 * 1024 * 1024;

/** What closes after its last message waits this long for the peer to take it. */
const LAST_WORDS_MS = 2_000;

/** A wire's rate is measured over at least this time. */
const RATE_MS = 20;
/** Where a shorter rest would do, bytes come in fast enough. */
const LEAST_REST_MS = 0.5;

/** Messages are gathered in memory of this size. */
const OUT_BYTES = 1_024;

/**
 * One wire between its socket and whoever reads it, in place of WebTorrent's pipeline of five streams: bytes of the socket go
 * straight to the parser, messages straight to the socket, those of one turn of the event loop in one write. Limits count
 * here, every byte in both directions.
 *
 * Messages that come before somebody {@link listen}s stay in the kernel, but for the chunk that came with the handshake.
 */
export class PeerLink implements RestingLink {
  /** WebTorrent's protocol object: knows the handshakes, and what each end has said about interest and choking. */
  readonly wire: Wire;
  /** `host:port` of the other end; where this host was dialled, the port is not the one that it listens on. */
  readonly address: string;
  readonly hub: WireHub;
  readonly #peer: LinkPeer;
  readonly #socket: Socket;
  readonly #timer: NodeJS.Timeout;
  readonly #onGreeted: () => void;
  #greeting: Buffer | undefined = Buffer.alloc(HANDSHAKE_BYTES);
  #greetingLength = 0;
  /** What came behind the handshake, until somebody listens. */
  #early: Buffer | undefined;
  #reader: LinkReader | undefined;
  #parser: MessageParser | undefined;
  #out = Buffer.allocUnsafe(OUT_BYTES);
  #outStart = 0;
  #outEnd = 0;
  #flushing = false;
  #limited = false;
  #resting = false;
  /** Bytes a millisecond that come in, of the last moments, and since when bytes are counted for it. */
  #rate = Number.POSITIVE_INFINITY;
  #rateBytes = 0;
  #rateSinceMs = performance.now();
  #closed = false;
  #lastWords: NodeJS.Timeout | undefined;

  /** Made for every connection, incoming or dialled, once its socket is connected. */
  constructor(options: LinkOptions) {
    const { wire, peer, hub, address, onGreeted } = options;
    const { socket } = options.shared;
    this.#onGreeted = onGreeted;
    this.wire = wire;
    this.address = address;
    this.hub = hub;
    this.#peer = peer;
    this.#socket = socket;
    this.#timer = setTimeout(() => this.close(), HANDSHAKE_TIMEOUT_MS);
    this.#timer.unref();
    peer.once('disconnect', () => this.#onDisconnect());
    // Listeners for good: a wire or socket that fails in between must not end the process. WebTorrent destroys the peer.
    wire.on('error', () => this.close());
    socket.on('error', () => this.close());
    socket.setNoDelay(true);
    wire._push = (bytes) => {
      this.send(bytes);
      return true;
    };
    wire._debug = () => {}; // It formats a string for every message.
    options.shared.onBytes((chunk) => this.#onData(chunk));
    socket.resume();
  }

  get peerId(): string {
    return this.wire.peerId;
  }

  /** Whether this host dialled. */
  get outgoing(): boolean {
    return this.wire.type.includes('Outgoing');
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Bytes handed over that the kernel has not taken yet. */
  get unsentBytes(): number {
    return this.#socket.writableLength + this.#outEnd - this.#outStart;
  }

  /** Whether the handshakes of both ends are through. */
  get greeted(): boolean {
    return this.#greeting === undefined;
  }

  /** Begins to read. `bitfieldBytes` is the length that the bitfield of this blob has. Called once. */
  listen(reader: LinkReader, bitfieldBytes: number): void {
    if (this.#closed) {
      reader.onClosed();
      return;
    }
    this.#reader = reader;
    this.#parser = new MessageParser({ sink: reader, bitfieldBytes });
    const early = this.#early;
    this.#early = undefined;
    if (early !== undefined) this.#parse(early);
    this.#updateReading();
  }

  /** The present block goes nowhere: its buffer belongs to somebody else from now on. */
  dropBlock(): void {
    this.#parser?.dropBlock();
  }

  /** Queues a message; those of one turn of the event loop leave together. The bytes are copied. */
  send(bytes: Uint8Array): void {
    if (this.#closed) return;
    if (this.#outEnd + bytes.length > this.#out.length) this.#growOut(bytes.length);
    this.#out.set(bytes, this.#outEnd);
    this.#outEnd += bytes.length;
    if (this.#flushing) return;
    this.#flushing = true;
    this.hub.flushLater(this);
  }

  /** Writes what has been gathered. */
  flush(): void {
    this.#flushing = false;
    if (this.#closed || this.#outEnd === this.#outStart) return;
    this.#writeGathered();
    // A peer that asks and asks and never reads the refusals.
    if (this.unsentBytes > MAX_UNSENT_BYTES) this.#violated(new WireProtocolError('peer reads nothing'));
  }

  /**
   * Writes a block with its head, after the messages gathered so far, in one go and without a copy. `done` comes once: when
   * the kernel has taken it, or the socket has died and let go of the bytes.
   */
  sendBlock(piece: number, offset: number, bytes: Buffer, done: (sent: boolean) => void): void {
    const socket = this.#socket;
    if (this.#closed) {
      done(false);
      return;
    }
    const head = blockHead(piece, offset, bytes.length);
    this.hub.egress.take(head.length + bytes.length);
    socket.cork();
    if (this.#outEnd > this.#outStart) this.#writeGathered();
    socket.write(head);
    socket.write(bytes, (error) => done(error === null || error === undefined));
    socket.uncork();
  }

  /** Ends the wire at once, on both sides. */
  close(): void {
    this.#peer.destroy();
  }

  /** Ends the wire when what was sent so far has left, or after 2 s. */
  closeAfterFlush(): void {
    if (this.#closed || this.#lastWords !== undefined) return;
    this.flush();
    this.#lastWords = setTimeout(() => this.close(), LAST_WORDS_MS);
    this.#lastWords.unref();
    this.#socket.end();
  }

  /** For {@link IngressLimit}. */
  pauseReading(): void {
    this.#limited = true;
    this.#updateReading();
  }

  /** For {@link IngressLimit}. */
  resumeReading(): void {
    this.#limited = false;
    this.#updateReading();
  }

  #onData(chunk: Buffer): void {
    this.hub.ingress.received(this, chunk.length);
    if (this.#greeting !== undefined) this.#greet(chunk, this.#greeting);
    else if (this.#parser === undefined) this.#keepEarly(chunk);
    else this.#parse(chunk);
  }

  #parse(chunk: Buffer): void {
    const parser = this.#parser;
    if (parser === undefined) return;
    try {
      parser.feed(chunk);
    } catch (error) {
      // Whatever the peer sent, it costs this wire only.
      this.#violated(error);
      return;
    }
    this.#restAfter(chunk.length, parser.blockLeft);
  }

  /** Stops to read for some milliseconds when a block comes in drop by drop. */
  #restAfter(chunkBytes: number, blockLeft: number): void {
    this.#rateBytes += chunkBytes;
    if (chunkBytes >= blockLeft) return;
    const nowMs = performance.now();
    const passedMs = nowMs - this.#rateSinceMs;
    if (passedMs >= RATE_MS) {
      const rate = this.#rateBytes / passedMs;
      this.#rate = Number.isFinite(this.#rate) ? (this.#rate + rate) / 2 : rate;
      this.#rateBytes = 0;
      this.#rateSinceMs = nowMs;
    }
    const restMs = ReadRests.after(chunkBytes, blockLeft, this.#rate);
    if (restMs < LEAST_REST_MS || this.#resting || this.#closed) return;
    this.#resting = true;
    this.#updateReading();
    this.hub.rests.add(this, restMs);
  }

  /** For {@link ReadRests}. */
  endRest(): void {
    this.#resting = false;
    this.#updateReading();
  }

  /** Gathers the handshake. WebTorrent finds out which blob is meant, answers, and hands the link on. */
  #greet(chunk: Buffer, greeting: Buffer): void {
    const taken = chunk.copy(greeting, this.#greetingLength);
    this.#greetingLength += taken;
    if (greeting[0] !== 19) {
      this.close();
      return;
    }
    if (this.#greetingLength < HANDSHAKE_BYTES) return;
    this.#greeting = undefined;
    clearTimeout(this.#timer);
    this.#onGreeted();
    this.#updateReading();
    if (taken < chunk.length) this.#keepEarly(chunk.subarray(taken));
    try {
      this.wire._onHandshakeBuffer(greeting.subarray(1));
    } catch (error) {
      this.#violated(error);
    }
  }

  #keepEarly(chunk: Buffer): void {
    this.#early = this.#early === undefined ? Buffer.from(chunk) : Buffer.concat([this.#early, chunk]);
  }

  #updateReading(): void {
    if (this.#closed) return;
    const reading = !this.#limited && !this.#resting && (this.#greeting !== undefined || this.#parser !== undefined);
    if (reading) this.#socket.resume();
    else this.#socket.pause();
  }

  #growOut(bytes: number): void {
    const waiting = this.#out.subarray(this.#outStart, this.#outEnd);
    const grown = Buffer.allocUnsafe(Math.max(OUT_BYTES, 2 * (waiting.length + bytes)));
    grown.set(waiting);
    this.#out = grown;
    this.#outStart = 0;
    this.#outEnd = waiting.length;
  }

  #writeGathered(): void {
    const bytes = this.#out.subarray(this.#outStart, this.#outEnd);
    // What the socket has been given is not written to again: the next messages go behind it.
    this.#outStart = this.#outEnd;
    this.hub.egress.take(bytes.length);
    this.#socket.write(bytes);
  }

  #violated(error: unknown): void {
    this.hub.logger.debug({ err: error, peer: this.address }, 'wire closed: the peer broke the protocol');
    this.close();
  }

  #onDisconnect(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#lastWords);
    this.hub.ingress.forget(this);
    this.#parser?.stop();
    this.#early = undefined;
    this.#reader?.onClosed();
  }
}
